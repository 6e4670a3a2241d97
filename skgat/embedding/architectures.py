"""Vectors of the structure of networks."""

__all__ = ["Archi2Vec"]

import warnings
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentedMixin, Interval, StrOptions, fit_context
from .._versioned import VersionedMixin
from ._documents import LearnedDocuments, SingularDocuments
from ._tracing import trace
from ._words import describe, words

_METHODS = {"wl": SingularDocuments, "graph2vec": LearnedDocuments}
#: A word of one network alone tells nothing about what networks share.
_LEAST_NETWORKS = 2


class Archi2Vec(DocumentedMixin, VersionedMixin, TransformerMixin, BaseEstimator):
    """Encode networks by their structure: similar architectures get similar vectors.

    Each network is traced, which runs none of its operations, to the graph of its operations: their types, kernel
    sizes, strides, widths, groups and parameters, and the skips and joins between them. Every operation with its
    surroundings is a Weisfeiler-Lehman word of that graph, and a network is embedded as the document of its words.
    The weights are never looked at, so untrained ones suffice; nor does it matter in which order the graph was put
    down.

    Parameters
    ----------
    n_components : int, default=32
        The most columns. There are fewer when fewer networks are in ``fit``.
    method : {"wl", "graph2vec"}, default="wl"
        How words become vectors. ``"wl"``: principal components of the logarithms of their counts, with some sizes of
        the graph beside them. ``"graph2vec"``: learned, such that the vector of a network tells its words [1]_, with
        the full softmax in place of random samples.
    n_iter : int, default=3
        How many steps around an operation a word reaches.
    size_weight : float, default=1.0
        How much the numbers of parameters, operations, skips and joins, the depth and the width count beside the
        words; only for ``method="wl"``.
    example_input : tensor, tuple or dict, default=None
        An input of each network, for those that symbolic tracing fails for: a tensor, a shape such as
        ``(1, 3, 224, 224)``, a tuple of tensors, or a dict of arguments. By default a network's own ``dummy_inputs``,
        ``pretrained_cfg`` or ``example_input_array``, where it has such.
    errors : {"warn", "raise"}, default="warn"
        What to do with networks that nothing can be found out about: name them in a warning and let their vectors be
        NaN, or raise.

    Attributes
    ----------
    n_components_ : int
        The number of columns.
    trace_methods_ : dict
        How the structure of each network in ``fit`` was found out: ``"fx"`` (symbolic tracing), ``"export"``
        (``torch.export``), ``"modules"`` (no graph, the modules in the order in which they were made), or
        ``"failed"``. By id, or by position if there were no ids.
    trace_errors_ : dict
        Why, for each network that was not found out by the first.
    vocabulary_ : array of uint64
        The hashed words.
    documents_ : object
        What turns counts of words into vectors.

    References
    ----------
    .. [1] A. Narayanan et al., "graph2vec: Learning Distributed Representations of Graphs", 2017, arXiv:1707.05005.

    Examples
    --------
    >>> from torch import nn
    >>> from skgat.embedding import Archi2Vec
    >>> networks = {
    ...     "small": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)),
    ...     "larger": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)),
    ...     "other": nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.GELU(), nn.Linear(64, 10)),
    ... }
    >>> vectors = Archi2Vec(n_components=2).fit_transform(networks)
    >>> vectors.index.tolist(), vectors.columns.tolist()
    (['small', 'larger', 'other'], ['archi0', 'archi1'])
    """

    _parameter_constraints = {  # noqa: RUF012 - scikit-learn's own form
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions(set(_METHODS))],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "size_weight": [Interval(Real, 0, None, closed="left")],
        "example_input": "no_validation",
        "errors": [StrOptions({"warn", "raise"})],
    }

    def __init__(self, *, n_components=32, method="wl", n_iter=3, size_weight=1.0, example_input=None, errors="warn"):
        self.n_components = n_components
        self.method = method
        self.n_iter = n_iter
        self.size_weight = size_weight
        self.example_input = example_input
        self.errors = errors

    def fit(self, X, y=None):
        """Learn the words and their vectors.

        Parameters
        ----------
        X : dict, pandas.Series, or list or array of networks
            Each a ``torch.nn.Module``, a ``torch.fx.GraphModule`` or a ``torch.export.ExportedProgram``. The keys of
            a dict and the index of a series are the ids.
        y : ignored

        Returns
        -------
        Archi2Vec
        """
        self.fit_transform(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn the words and their vectors, and encode the same networks.

        Parameters
        ----------
        X : dict, pandas.Series, or list or array of networks
            See :meth:`fit`.
        y : ignored

        Returns
        -------
        pandas.DataFrame, or array where X has no ids
        """
        ids, networks = _read(X)
        architectures, failures = self._trace(ids, networks)
        found = [architecture for architecture in architectures if architecture is not None]
        if not found:
            raise ValueError(f"Got no network whose structure could be found out: {_listed(failures)}")
        names = range(len(networks)) if ids is None else ids
        self.trace_methods_ = {
            name: "failed" if architecture is None else architecture.method
            for name, architecture in zip(names, architectures, strict=True)
        }
        reasons = {
            name: "; ".join(architecture.reasons)
            for name, architecture in zip(names, architectures, strict=True)
            if architecture is not None and architecture.reasons
        }
        self.trace_errors_ = reasons | failures
        self.vocabulary_ = _vocabulary([words(architecture, self.n_iter)[0] for architecture in found])
        self.documents_ = _METHODS[self.method].fit(self._count(found), self.n_components)
        self.n_components_ = self.documents_.embed(self._count(found[:1])).shape[1]
        return self._encode(ids, architectures)

    def transform(self, X):
        """Encode networks, each by itself.

        Parameters
        ----------
        X : dict, pandas.Series, or list or array of networks
            See :meth:`fit`.

        Returns
        -------
        pandas.DataFrame, or array where X has no ids
            One row a network, the columns ``archi0``, ``archi1``, ...; ready for ``make_records(models=)``.
        """
        check_is_fitted(self)
        ids, networks = _read(X)
        return self._encode(ids, self._trace(ids, networks, known=True)[0])

    def _trace(self, ids, networks, known=False):
        """The architecture of each network, None for those that fail; and why they do.

        A warning names those that fail, unless all do and no vocabulary is known: that is an error.
        """
        names = range(len(networks)) if ids is None else ids
        architectures, failures = [], {}
        for name, network in zip(names, networks, strict=True):
            try:
                architectures.append(trace(network, self.example_input))
            except (TypeError, ValueError) as error:
                if self.errors == "raise":
                    raise ValueError(f"The structure of network {name!r} cannot be found out: it {error}.") from error
                architectures.append(None)
                failures[name] = str(error)
        if failures and (known or len(failures) < len(networks)):
            warnings.warn(
                f"The structure of {len(failures)} network(s) cannot be found out, their vectors are NaN: "
                f"{_listed(failures)}",
                UserWarning,
                stacklevel=4,
            )
        return architectures, failures

    def _count(self, architectures):
        """Counts of the known words, and the sizes of the graph, one row an architecture."""
        counts = np.zeros((len(architectures), len(self.vocabulary_)))
        for row, architecture in zip(counts, architectures, strict=True):
            names, times = words(architecture, self.n_iter)
            place = np.searchsorted(self.vocabulary_, names)
            known = self.vocabulary_[np.minimum(place, len(self.vocabulary_) - 1)] == names
            row[place[known]] = times[known]
        if self.method == "graph2vec":
            return np.sqrt(counts)
        sizes = np.array([describe(architecture) for architecture in architectures])
        # As if all words together and all sizes together were of one size.
        weight = self.size_weight * np.sqrt(len(self.vocabulary_) / sizes.shape[1]) / 4
        return np.column_stack([np.log1p(counts), weight * sizes])

    def _encode(self, ids, architectures):
        vectors = np.full((len(architectures), self.n_components_), np.nan)
        found = np.array([architecture is not None for architecture in architectures], dtype=bool)
        if found.any():
            vectors[found] = self.documents_.embed(self._count([a for a in architectures if a is not None]))
        return vectors if ids is None else pd.DataFrame(vectors, index=ids, columns=self.get_feature_names_out())

    def get_feature_names_out(self, input_features=None):
        """The names of the columns.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        array of str
        """
        check_is_fitted(self)
        return np.array([f"archi{i}" for i in range(self.n_components_)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags


def _read(X):
    """The ids, None if there are none, and the networks."""
    if isinstance(X, Mapping):
        ids, networks = pd.Index(list(X), name="model"), list(X.values())
    elif isinstance(X, pd.Series):
        ids, networks = X.index.rename(X.index.name or "model"), X.tolist()
    elif isinstance(X, list | tuple | np.ndarray):
        ids, networks = None, list(X)
    else:
        raise TypeError(
            f"Got X of type {type(X).__name__}, but expected a dict, a pandas Series or a list of networks."
        )
    if not networks:
        raise ValueError("Found array with 0 sample(s): got no networks, but expected at least 1.")
    return ids, networks


def _listed(failures, most=5):
    shown = "; ".join(f"{name!r} {reason}" for name, reason in list(failures.items())[:most])
    return f"{shown}{'; ...' if len(failures) > most else ''}."


def _vocabulary(documents):
    names, networks = np.unique(np.concatenate(documents), return_counts=True)
    shared = networks >= _LEAST_NETWORKS
    return names[shared] if shared.any() else names
