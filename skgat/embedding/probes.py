"""Datasets described by what one probe model makes of them."""

__all__ = ["ProbeEncoder"]

from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.extmath import svd_flip
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentedMixin, Interval, fit_context
from .._versioned import VersionedMixin
from ._features import read_datasets


class ProbeEncoder(DocumentedMixin, VersionedMixin, TransformerMixin, BaseEstimator):
    """Describe each dataset by the features that one probe model has of its samples.

    One forward pass of one model tells where a dataset lies, and so which other datasets it is like: the columns are
    metadata of datasets from which a recommender places an unknown one, see
    :class:`~skgat.baselines.TransferSpaceRegressor`.

    The columns, for ``make_records(datasets=)``:

    - ``probe_mean0``, ...: the mean of the features, on the principal axes of the means of the datasets in ``fit``;
    - ``probe_spectrum0``, ...: the logarithms of the largest shares of the variance in the covariance matrix;
    - ``probe_rank``: the logarithm of the effective number of directions, exp(entropy of the shares);
    - ``probe_spread``: the logarithm of the total variance;
    - ``probe_samples``: the logarithm of the number of samples;
    - ``probe_classes``, ``probe_separation``, ``probe_balance``, where all datasets in ``fit`` come with labels: the
      logarithm of the number of classes; the variance between the class means over that within the classes, with its
      expectation for labels that mean nothing taken off; the entropy of the labels over its maximum.

    Parameters
    ----------
    n_components : int, default=8
        The most columns of means.
    n_spectrum : int, default=4
        The columns of the spectrum.

    Attributes
    ----------
    center_ : array of shape (n_probe_features,)
        The average of the datasets' means.
    components_ : array of shape (n_means, n_probe_features)
        The principal axes of the means.
    has_labels_ : bool
        Whether labels are described.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.embedding import ProbeEncoder
    >>> rng = np.random.default_rng(0)
    >>> features = {name: rng.normal(shift, size=(50, 5)) for shift, name in enumerate(["a", "b", "c"])}
    >>> table = ProbeEncoder(n_components=2, n_spectrum=1).fit_transform(features)
    >>> table.columns.tolist()
    ['probe_mean0', 'probe_mean1', 'probe_spectrum0', 'probe_rank', 'probe_spread', 'probe_samples']
    """

    _parameter_constraints = {  # noqa: RUF012 - scikit-learn's own form
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_spectrum": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, *, n_components=8, n_spectrum=4):
        self.n_components = n_components
        self.n_spectrum = n_spectrum

    def fit(self, X, y=None):
        """Learn the axes on which the means of datasets are described.

        Parameters
        ----------
        X : dict or pandas.Series
            By dataset id: the probe model's features of shape (n_samples, n_features), the path of an ``.npy`` file
            with such, or a pair of one of these and labels.
        y : ignored

        Returns
        -------
        ProbeEncoder
        """
        self.fit_transform(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn the axes, and describe the same datasets.

        Parameters
        ----------
        X : dict or pandas.Series
            See :meth:`fit`.
        y : ignored

        Returns
        -------
        pandas.DataFrame
        """
        ids, found = read_datasets(X, scatter=True)
        self.has_labels_ = all(moments.class_means is not None for moments in found)
        means = np.array([moments.mean for moments in found])
        self.center_ = means.mean(axis=0)
        left, sizes, right = np.linalg.svd(means - self.center_, full_matrices=False)
        _, right = svd_flip(left, right, u_based_decision=False)
        varied = int((sizes > 1e-9 * max(sizes[0], np.finfo(float).tiny)).sum()) if sizes[0] > 0 else 0
        self.components_ = right[: min(self.n_components, varied)]
        return self._describe(ids, found)

    def transform(self, X):
        """Describe datasets, known or unknown, each by itself.

        Parameters
        ----------
        X : dict or pandas.Series
            See :meth:`fit`; with labels if those in ``fit`` had them.

        Returns
        -------
        pandas.DataFrame
            One row a dataset.
        """
        check_is_fitted(self)
        ids, found = read_datasets(X, labels="needed" if self.has_labels_ else "optional", scatter=True)
        width = len(self.center_)
        if len(found[0].mean) != width:
            raise ValueError(
                f"Got {len(found[0].mean)} features for dataset {ids[0]!r}, but expected the {width} of the probe "
                "model in fit."
            )
        return self._describe(ids, found)

    def _describe(self, ids, found):
        rows = [self._row(moments) for moments in found]
        return pd.DataFrame(np.array(rows), index=ids, columns=self.get_feature_names_out())

    def _row(self, moments):
        spectrum, tiny = moments.spectrum, np.finfo(float).tiny
        total = spectrum.sum()
        shares = spectrum / total if total > 0 else np.zeros_like(spectrum)
        leading = np.zeros(self.n_spectrum)
        leading[: len(shares)] = shares[: self.n_spectrum]
        entropy = -(shares * np.log(np.maximum(shares, tiny))).sum()
        row = [
            *(self.components_ @ (moments.mean - self.center_)),
            # Shares of less than a millionth are rounding for features of single precision.
            *np.log(np.maximum(leading, 1e-6)),
            entropy,
            # Features that do not vary at all vary by no less than rounding.
            np.log(max(total, 1e-12 * (moments.mean @ moments.mean)) or 1.0),
            np.log(moments.n_samples),
        ]
        return [*row, *_label_columns(moments, total)] if self.has_labels_ else row

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
        names = [f"mean{i}" for i in range(len(self.components_))]
        names += [f"spectrum{i}" for i in range(self.n_spectrum)]
        names += ["rank", "spread", "samples"]
        names += ["classes", "separation", "balance"] if self.has_labels_ else []
        return np.array([f"probe_{name}" for name in names], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags


def _label_columns(moments, total):
    """The number of classes, how far they stand apart, and how even they are."""
    counts, n = moments.class_counts, moments.n_samples
    n_classes = len(counts)
    between = (counts @ ((moments.class_means - moments.mean) ** 2).sum(axis=1)) / n
    within = max(total - between, 0.0)
    # Means of classes differ by chance too, the more the fewer samples there are.
    chance = (n_classes - 1) / max(n - n_classes, 1)
    separation = np.log1p(max(between - chance * within, 0.0) / max(within, 1e-6 * total, np.finfo(float).tiny))
    shares = counts / n
    balance = -(shares * np.log(shares)).sum() / np.log(n_classes) if n_classes > 1 else 1.0
    return [np.log(n_classes), separation, balance]
