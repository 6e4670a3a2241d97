"""What is known of the most similar datasets."""

__all__ = ["NearestDatasets"]

from numbers import Integral, Real

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentedMixin, Interval, StrOptions, fit_context
from .._regressor import RecordRegressorMixin
from .._versioned import VersionedMixin
from ..graph import additive_effects, build_graph
from ..records import lookup_ids, read_pairs

_METRICS = {"euclidean": "euclidean", "manhattan": "cityblock", "cosine": "cosine"}
#: How many times as many similar datasets are looked through for those that have a result of the model.
_CANDIDATES = 8
#: Numbers in memory at a time.
_BLOCK = 2**22


class NearestDatasets(DocumentedMixin, VersionedMixin, RecordRegressorMixin, BaseEstimator):
    """Predict the result of a model on a dataset from its results on the most similar datasets.

    What a model reached on another dataset is taken relative to the level of that dataset and to the model's own
    mean effect; the weighted mean over the most similar datasets with a result of the model (among eight times as
    many candidates) is put on the level of the dataset that is asked for. Where no similar dataset has a result of
    the model, the model's effect remains; where nothing is known of the model, the level.

    Parameters
    ----------
    model, dataset, target : str
        The columns of the model ids, the dataset ids and the scores.
    n_neighbors : int, default=10
        The most datasets that a prediction is taken from.
    metric : {"euclidean", "manhattan", "cosine"}, default="euclidean"
        Distance between the metadata of two datasets, standardised column by column. The similarity falls with it
        as a Gaussian whose width is the median distance to the ``n_neighbors``-th nearest dataset.
    damping : float, default=2.0
        In records: how many similar results are needed to believe half of their mean, and how many models two
        datasets must share to believe half of the correlation of their results.
    shrinkage : float, default=1.0
        How strongly the effects of models and datasets are drawn to zero; in units of records.
    duplicates : {"mean", "raise"}, default="mean"
        What to do with a pair that occurs with different scores.

    Attributes
    ----------
    graph_ : Graph
        The records, as a graph in numpy.
    models_, datasets_ : array of ids
        What was seen in ``fit``.
    mean_ : float
        The mean score.
    model_effects_, dataset_effects_ : array
        The effect of each model and each dataset.
    neighbors_ : integer array of shape (n_datasets, n_candidates)
        The most similar known datasets of each known dataset, as positions in ``datasets_``, the most similar first.
    similarities_ : array of shape (n_datasets, n_candidates)
        How similar they are: zero or less is not at all, 1 is the same.
    bandwidth_ : float
        The width of the Gaussian; nan without metadata of datasets.
    n_features_in_ : int
        The number of columns of X without the target.
    feature_names_in_ : array of str
        Their names, when X had names.

    Notes
    -----
    The similarity of two known datasets is the mean of what their metadata say and of the correlation of their
    results, over the models that have both, of what the effects leave over. Of an unknown dataset there is only the
    metadata, and its level is the mean score and what the similar datasets have above it.

    Metadata must be numbers, such as a :class:`~skgat.MetadataEncoder` makes; the ids alone are enough.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgat import MetadataEncoder
    >>> from skgat.baselines import NearestDatasets
    >>> from skgat.datasets import load_vision_zoo
    >>> records = load_vision_zoo().records
    >>> seen = records[records["dataset"] != "pets"]
    >>> nearest = make_pipeline(MetadataEncoder(), NearestDatasets()).fit(seen)
    >>> nearest.predict(records[records["dataset"] == "pets"]).shape
    (23,)
    """

    _parameter_constraints = {  # noqa: RUF012
        "model": [str],
        "dataset": [str],
        "target": [str],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(set(_METRICS))],
        "damping": [Interval(Real, 0, None, closed="neither")],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "duplicates": [StrOptions({"mean", "raise"})],
    }

    def __init__(
        self,
        *,
        model="model",
        dataset="dataset",
        target="score",
        n_neighbors=10,
        metric="euclidean",
        damping=2.0,
        shrinkage=1.0,
        duplicates="mean",
    ):
        self.model = model
        self.dataset = dataset
        self.target = target
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.damping = damping
        self.shrinkage = shrinkage
        self.duplicates = duplicates

    @property
    def models_(self):
        """The known models."""
        check_is_fitted(self)
        return self.graph_.models

    @property
    def datasets_(self):
        """The known datasets."""
        check_is_fitted(self)
        return self.graph_.datasets

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Estimate effects and find similar datasets.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)
        y : array of shape (n_records,), optional
            The scores; by default X's target column.
        sample_weight : array of shape (n_records,), optional

        Returns
        -------
        self
        """
        pairs = read_pairs(self, X, y, sample_weight, reset=True, scores=True)
        graph = self.graph_ = build_graph(pairs, self.duplicates)
        self.mean_, self.model_effects_, self.dataset_effects_ = additive_effects(graph, self.shrinkage)
        of_models, of_datasets = self.model_effects_[graph.edge_models], self.dataset_effects_[graph.edge_datasets]
        self._rest = graph.scores - self.mean_ - of_models - of_datasets
        self._weights = graph.weights / graph.weights.mean()
        self._scaling = _scaling(graph.dataset_features)
        self.bandwidth_ = self._find_bandwidth()
        self.neighbors_, self.similarities_ = self._rank_known()
        # Where all are candidates an unknown dataset has one more than a known one, which is none of its own.
        self._most_of_unknown = min(_CANDIDATES * self.n_neighbors, graph.n_datasets)
        return self

    def _find_bandwidth(self):
        table = self._scaled(self.graph_.dataset_features)
        if not table.shape[1] or len(table) < 2:
            return float("nan")
        place = min(self.n_neighbors, len(table) - 1)
        rows = gen_batches(len(table), max(1, _BLOCK // len(table)))
        # Place 0 is the dataset itself.
        reach = np.concatenate([np.partition(self._distances(table[r]), place, axis=1)[:, place] for r in rows])
        return max(float(np.median(reach)), np.finfo(float).tiny)

    def _scaled(self, table):
        center, scale = self._scaling
        return (table[:, scale > 0] - center[scale > 0]) / scale[scale > 0]

    def _distances(self, table):
        # cdist looks at each pair by itself; a product of matrices would round by the size of the call.
        distances = cdist(table, self._scaled(self.graph_.dataset_features), _METRICS[self.metric])
        return np.nan_to_num(distances, nan=1.0)  # the cosine of an average dataset

    def _likeness(self, table):
        """How similar datasets are to the known ones by their metadata; zeros where there is none."""
        if np.isnan(self.bandwidth_):
            return np.zeros((len(table), self.graph_.n_datasets))
        # Where most datasets are the same, all others are infinitely far away.
        with np.errstate(over="ignore"):
            return np.exp(-0.5 * (self._distances(self._scaled(table)) / self.bandwidth_) ** 2)

    def _rank_known(self):
        graph = self.graph_
        shape = (graph.n_datasets, graph.n_models)
        ends = graph.edge_datasets, graph.edge_models
        rest, squares, seen = (csr_array((part, ends), shape=shape) for part in self._parts())
        doubt = self.damping * max(np.average(self._rest**2, weights=self._weights), np.finfo(float).tiny)
        found = []
        for rows in gen_batches(graph.n_datasets, max(1, _BLOCK // graph.n_datasets)):
            spread = (squares[rows] @ seen.T).toarray() * (seen[rows] @ squares.T).toarray()
            similar = (rest[rows] @ rest.T).toarray() / (np.sqrt(spread) + doubt)
            if not np.isnan(self.bandwidth_):
                similar = 0.5 * (similar + self._likeness(graph.dataset_features[rows]))
            own = np.arange(graph.n_datasets)[rows]
            similar[np.arange(len(own)), own] = -np.inf
            found.append(_best(similar, min(_CANDIDATES * self.n_neighbors, graph.n_datasets - 1)))
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))

    def _parts(self):
        """What the sums over the models that two datasets share are made of."""
        root = np.sqrt(self._weights)
        return root * self._rest, root * self._rest**2, root

    def predict(self, X):
        """Predict the score of each pair.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)

        Returns
        -------
        scores : array of shape (n_records,)
        """
        check_is_fitted(self)
        pairs = read_pairs(self, X, reset=False, missing=True)
        models = lookup_ids(self.graph_.models, pairs.models)
        datasets = lookup_ids(self.graph_.datasets, pairs.datasets)
        neighbors, similarities, levels = self._neighborhoods(pairs, datasets)
        values = self.mean_ + levels + np.append(self.model_effects_, 0.0)[models]
        known = np.flatnonzero(models >= 0)
        step = max(1, _BLOCK // max(neighbors.shape[1], 1))
        for start in range(0, len(known), step):
            rows = known[start : start + step]
            values[rows] += self._interaction(models[rows], neighbors[datasets[rows]], similarities[datasets[rows]])
        return values

    def _neighborhoods(self, pairs, datasets):
        """Candidates of every dataset of the call; ``datasets`` is changed to count the unknown ones on."""
        columns = list(self.graph_.dataset_columns)
        new = np.flatnonzero(datasets < 0)
        levels = np.append(self.dataset_effects_, 0.0)[datasets]
        if not len(new):
            return self.neighbors_, self.similarities_, levels
        center = self._scaling[0]
        table = pairs.features.iloc[new].reindex(columns=columns).astype(np.float64)
        bare = [column not in pairs.features for column in columns]
        if any(bare) and not all(bare):
            raise ValueError(
                f"X has no column {columns[bare.index(True)]!r}, which is needed to place the unknown dataset "
                f"{pairs.datasets[new].tolist()[0]!r}."
            )
        table = table.fillna(dict(zip(columns, center, strict=True))).to_numpy()
        table, inverse = np.unique(table, axis=0, return_inverse=True)
        similar = np.zeros((len(table), self.graph_.n_datasets)) if all(bare) else self._likeness(table)
        n_candidates = self.neighbors_.shape[1]
        # Files that were saved before there was a number of its own say what they said.
        most = getattr(self, "_most_of_unknown", n_candidates)
        neighbors, similarities = _best(similar, most)
        nearest, near = neighbors[:, : self.n_neighbors], similarities[:, : self.n_neighbors]
        mass = near.sum(axis=1) + self.shrinkage
        # Where no dataset is similar and nothing is shrunken it is the average one.
        guessed = (near * self.dataset_effects_[nearest]).sum(axis=1) / np.where(mass > 0, mass, 1.0)
        inverse = inverse.reshape(-1)
        levels[new] = guessed[inverse]
        datasets[new] = self.graph_.n_datasets + inverse
        known = (np.pad(part, ((0, 0), (0, most - n_candidates))) for part in (self.neighbors_, self.similarities_))
        tables = zip(known, (neighbors, similarities), strict=True)
        return *(np.vstack(pair) for pair in tables), levels

    def _interaction(self, models, neighbors, similarities):
        """The weighted mean of what the effects leave over, on the first neighbors that have the model."""
        graph = self.graph_
        cells = graph.edge_datasets * graph.n_models + graph.edge_models
        wanted = neighbors * graph.n_models + models[:, None]
        place = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
        there = (cells[place] == wanted) & (similarities > 0)
        there &= np.cumsum(there, axis=1) <= self.n_neighbors
        weights = np.where(there, similarities * self._weights[place], 0.0)
        return (weights * self._rest[place]).sum(axis=1) / (weights.sum(axis=1) + self.damping)


def _scaling(table):
    center = table.mean(axis=0)
    scale = table.std(axis=0)
    # A column that is constant but for rounding tells nothing apart.
    return center, np.where(scale > 1e-12 * np.maximum(np.abs(table).max(axis=0, initial=0.0), 1e-300), scale, 0.0)


def _best(similar, most):
    """The columns of the largest entries of each row, and these, largest first; ties in the order of the columns."""
    order = np.argsort(-similar, axis=1, kind="stable")[:, :most]
    return order, np.take_along_axis(similar, order, axis=1)
