"""Records become a graph: models and datasets are nodes, every scored pair is an edge.

The graph is plain numpy, built once and never changed afterwards. Its order is canonical (ids sorted, edges sorted by
dataset, then model), so that the order of the records cannot change what is learned from them.
"""

__all__ = ["SIDES", "Graph", "additive_effects", "build_graph", "extend_graph", "neighbors"]

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import lsqr
from sklearn.neighbors import NearestNeighbors

from .exceptions import DuplicatePairWarning
from .records import ROLES, IdIndex, id_codes, infer_roles, lookup_ids

#: The two kinds of nodes.
SIDES = ("model", "dataset")
#: The solver of the additive effects stops long before, as soon as they are exact.
_MOST_ITERATIONS = 10_000
#: As a share of the largest weight; smaller ones count as this, since a quotient of the two would overflow.
_LEAST_WEIGHT = 1e-300


@dataclass(frozen=True)
class Graph:
    """A bipartite graph of models and datasets.

    Attributes
    ----------
    models, datasets : array of ids
        The nodes, sorted.
    edge_models, edge_datasets : integer arrays of shape (n_edges,)
        The two ends of each edge, as positions in ``models`` and ``datasets``.
    scores, weights : float arrays of shape (n_edges,)
    model_features, dataset_features, pair_features : float arrays
        One row a model, a dataset, an edge.
    model_columns, dataset_columns, pair_columns : tuple of str
        The columns of X that the features come from.
    unit : float
        The weight of a usual record.
    """

    models: np.ndarray
    datasets: np.ndarray
    edge_models: np.ndarray
    edge_datasets: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    model_features: np.ndarray
    dataset_features: np.ndarray
    pair_features: np.ndarray
    model_columns: tuple
    dataset_columns: tuple
    pair_columns: tuple
    unit: float = 1.0

    def find(self, side, ids):
        """Where each id stands among the nodes of a side; -1 for an unknown one."""
        # To hash the ids of a large zoo takes longer than a prediction: it is done once, and not saved.
        indexes = self.__dict__.setdefault("_indexes", {})
        if side not in indexes:
            indexes[side] = IdIndex(getattr(self, f"{side}s"))
        return indexes[side].find(ids)

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_indexes"}

    @property
    def relative_weights(self):
        """The weights of the edges in units of the largest: equal weights are none, to the last bit."""
        return self.weights / self.weights.max()

    @property
    def n_models(self):
        """The number of models."""
        return len(self.models)

    @property
    def n_datasets(self):
        """The number of datasets."""
        return len(self.datasets)

    @property
    def n_edges(self):
        """The number of scored pairs."""
        return len(self.scores)


def build_graph(pairs, duplicates="mean", columns=None):
    """Build the graph of the records.

    Parameters
    ----------
    pairs : Pairs
        Read by :func:`skgat.records.read_pairs`, with scores.
    duplicates : {"mean", "raise"}
        What to do with a pair that occurs more than once with different scores: take the weighted mean and warn, or
        raise. Features of the pair that differ are averaged in the same way.
    columns : dict of sequences of str, optional
        The feature columns by role; by default inferred.

    Returns
    -------
    Graph
    """
    weights = np.ones(len(pairs)) if pairs.weights is None else pairs.weights
    kept = weights > 0
    features = pairs.features.loc[kept] if not kept.all() else pairs.features
    models, model_codes = id_codes(pairs.models[kept])
    datasets, dataset_codes = id_codes(pairs.datasets[kept])
    scores, weights = pairs.scores[kept], weights[kept]

    key = dataset_codes * len(models) + model_codes
    order = np.argsort(key, kind="stable")
    edges, first, edge_of_row = np.unique(key[order], return_index=True, return_inverse=True)
    edge_mass = np.bincount(edge_of_row, weights[order])
    edge_datasets, edge_models = np.divmod(edges, len(models))
    edge_scores = scores[order][first]
    if len(edges) < len(key):
        differs = scores[order] != edge_scores[edge_of_row]
        if differs.any():
            pair = int(edge_of_row[differs.argmax()])
            _report_duplicates(
                duplicates,
                models.tolist()[edge_models[pair]],
                datasets.tolist()[edge_datasets[pair]],
                edge_of_row,
                differs,
            )
            edge_scores = np.bincount(edge_of_row, weights[order] * scores[order]) / edge_mass

    if columns is None:
        roles = infer_roles(features, model_codes, dataset_codes)
        columns = {role: [column for column in roles if roles[column] == role] for role in ROLES}
    return Graph(
        models=models,
        datasets=datasets,
        edge_models=edge_models,
        edge_datasets=edge_datasets,
        scores=edge_scores,
        weights=np.maximum(edge_mass, _LEAST_WEIGHT * edge_mass.max()),
        model_features=_node_features(features, columns["model"], model_codes, "model"),
        dataset_features=_node_features(features, columns["dataset"], dataset_codes, "dataset"),
        pair_features=_pair_features(features, columns["pair"], order, first, edge_of_row, weights[order]),
        model_columns=tuple(columns["model"]),
        dataset_columns=tuple(columns["dataset"]),
        pair_columns=tuple(columns["pair"]),
        unit=1.0 if pairs.weights is None else float(weights.mean()),
    )


def _pair_features(features, columns, order, first, edge_of_row, weights):
    """One row an edge: what its records say of the pair, averaged where they differ."""
    values = features[list(columns)].to_numpy(dtype=np.float64)[order]
    table = values[first]
    if len(table) == len(values):
        return table
    differs = np.zeros(len(table), dtype=bool)
    differs[edge_of_row[(values != table[edge_of_row]).any(axis=1)]] = True
    if differs.any():
        mass = np.bincount(edge_of_row, weights)
        for column, said in zip(table.T, values.T, strict=True):
            column[differs] = (np.bincount(edge_of_row, weights * said) / mass)[differs]
    return table


def _report_duplicates(duplicates, model, dataset, edge_of_row, differs):
    n_pairs = len(np.unique(edge_of_row[differs]))
    message = (
        f"{n_pairs} (model, dataset) pair(s) occur more than once with different scores, the first is model {model!r} "
        f"on dataset {dataset!r}"
    )
    if duplicates == "raise":
        raise ValueError(f'{message}. Keep one score a pair, or set duplicates="mean".')
    warnings.warn(f"{message}; their scores are averaged.", DuplicatePairWarning, stacklevel=5)


def _node_features(features, columns, codes, role):
    """One row a node: what its first record says of it."""
    values = features[list(columns)].to_numpy(dtype=np.float64)
    table = values[np.unique(codes, return_index=True)[1]]
    for column, said, taken in zip(columns, values.T, table.T, strict=True):
        if (said != taken[codes]).any():
            warnings.warn(
                f"Column {column!r} describes the {role} but differs between the records of one {role}; what the "
                f"first record of each {role} says is taken.",
                UserWarning,
                stacklevel=5,
            )
    return table


def extend_graph(graph, further):
    """The graph with the nodes and edges of another one over the same columns.

    New nodes join; a pair that is there already takes the new score; a node that is there already keeps its features.
    What is a usual record in one is one in the other.

    Parameters
    ----------
    graph, further : Graph

    Returns
    -------
    Graph
    """
    models, old_models, new_models = _merge_ids(graph.models, further.models)
    datasets, old_datasets, new_datasets = _merge_ids(graph.datasets, further.datasets)
    key = np.concatenate(
        [
            old_datasets[graph.edge_datasets] * len(models) + old_models[graph.edge_models],
            new_datasets[further.edge_datasets] * len(models) + new_models[further.edge_models],
        ]
    )
    # np.unique finds the first of equal keys; reversed, that is the last word on the pair.
    edges, last = np.unique(key[::-1], return_index=True)
    rows = len(key) - 1 - last
    edge_datasets, edge_models = np.divmod(edges, len(models))

    further = replace(further, weights=further.weights * (graph.unit / further.unit))

    def both(name):
        return np.concatenate([getattr(graph, name), getattr(further, name)])[rows]

    return replace(
        graph,
        models=models,
        datasets=datasets,
        edge_models=edge_models,
        edge_datasets=edge_datasets,
        scores=both("scores"),
        weights=both("weights"),
        pair_features=both("pair_features"),
        model_features=_merge_tables(len(models), old_models, graph.model_features, new_models, further.model_features),
        dataset_features=_merge_tables(
            len(datasets), old_datasets, graph.dataset_features, new_datasets, further.dataset_features
        ),
    )


def _merge_ids(ids, further):
    new = further[lookup_ids(ids, further) < 0]
    if ids.dtype.kind != new.dtype.kind and len(new):
        ids, new = ids.astype(object), new.astype(object)
    merged, codes = id_codes(np.concatenate([ids, new]) if len(new) else ids)
    return merged, codes[: len(ids)], lookup_ids(merged, further)


def _merge_tables(n_nodes, codes, table, further_codes, further_table):
    merged = np.zeros((n_nodes, table.shape[1]))
    merged[further_codes] = further_table
    merged[codes] = table
    return merged


def additive_effects(graph, shrinkage=1.0):
    """Split the scores into a mean, an effect of each model and an effect of each dataset.

    The effects minimise the weighted squared error plus ``shrinkage`` times their squared sizes; a model with one
    result is so drawn half way to the mean. Without shrinkage they are the smallest of the least-squares solutions.

    Returns
    -------
    mean : float
    model_effects : array of shape (n_models,)
    dataset_effects : array of shape (n_datasets,)
    """
    weights = graph.weights / graph.weights.mean()
    mean = float(np.average(graph.scores, weights=weights))
    root = np.sqrt(weights)
    ends = np.column_stack([graph.edge_models, graph.n_models + graph.edge_datasets])
    shape = (graph.n_edges, graph.n_models + graph.n_datasets)
    design = csr_array((np.repeat(root, 2), ends.ravel(), np.arange(0, 2 * graph.n_edges + 1, 2)), shape=shape)
    tight = {"atol": 1e-12, "btol": 1e-12, "iter_lim": _MOST_ITERATIONS}
    off = graph.scores - mean
    # Scores of any unit: the solver takes what is near 1e-16 for nothing. A power of two changes no digit.
    unit = 2.0 ** np.frexp(np.abs(off).max())[1]
    effects = unit * lsqr(design, root * (off / unit), damp=np.sqrt(shrinkage), **tight)[0]
    return mean, effects[: graph.n_models], effects[graph.n_models :]


def neighbors(features, others, n_neighbors, exclude_self=False):
    """The nearest rows of ``others`` for each row of ``features``, by Euclidean distance.

    Returns
    -------
    indices, distances : arrays of shape (n_rows, k)
        ``k`` is ``n_neighbors`` or as many as there are.
    """
    k = min(n_neighbors, len(others) - exclude_self)
    if k < 1 or not features.shape[1]:
        return np.zeros((len(features), 0), dtype=np.int64), np.zeros((len(features), 0))
    search = NearestNeighbors(n_neighbors=k).fit(others)
    distances, indices = search.kneighbors(None if exclude_self else features)
    return indices, distances
