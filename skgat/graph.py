"""Records become a graph: models and datasets are nodes, every scored pair is an edge.

The graph is plain numpy, built once and never changed afterwards. Its order is canonical (ids sorted, edges sorted by
dataset, then model), so that the order of the records cannot change what is learned from them.
"""

__all__ = ["Graph", "additive_effects", "build_graph", "extend_graph", "neighbors"]

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .exceptions import DuplicatePairWarning
from .records import id_codes, infer_roles, lookup_ids


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


def build_graph(pairs, duplicates="mean"):
    """Build the graph of the records.

    Parameters
    ----------
    pairs : Pairs
        Read by :func:`skgat.records.read_pairs`, with scores.
    duplicates : {"mean", "raise"}
        What to do with a pair that occurs more than once with different scores: take the weighted mean and warn, or
        raise.

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
    edge_weights = np.bincount(edge_of_row, weights[order])
    edge_datasets, edge_models = np.divmod(edges, len(models))
    edge_scores = scores[order][first]
    if len(edges) < len(key):
        differs = scores[order] != edge_scores[edge_of_row]
        if differs.any():
            pair = int(edge_of_row[differs.argmax()])
            _report_duplicates(
                duplicates, models[edge_models[pair]], datasets[edge_datasets[pair]], edge_of_row, differs
            )
            edge_scores = np.bincount(edge_of_row, weights[order] * scores[order]) / edge_weights

    columns = {role: [] for role in ("model", "dataset", "pair")}
    for column, role in infer_roles(features, model_codes, dataset_codes).items():
        columns[role].append(column)
    rows = order[first]
    return Graph(
        models=models,
        datasets=datasets,
        edge_models=edge_models,
        edge_datasets=edge_datasets,
        scores=edge_scores,
        weights=edge_weights,
        model_features=_node_features(features, columns["model"], model_codes, len(models)),
        dataset_features=_node_features(features, columns["dataset"], dataset_codes, len(datasets)),
        pair_features=features[columns["pair"]].to_numpy(dtype=np.float64)[rows],
        model_columns=tuple(columns["model"]),
        dataset_columns=tuple(columns["dataset"]),
        pair_columns=tuple(columns["pair"]),
    )


def _report_duplicates(duplicates, model, dataset, edge_of_row, differs):
    n_pairs = len(np.unique(edge_of_row[differs]))
    message = (
        f"{n_pairs} (model, dataset) pair(s) occur more than once with different scores, the first is model {model!r} "
        f"on dataset {dataset!r}"
    )
    if duplicates == "raise":
        raise ValueError(f'{message}. Keep one score a pair, or set duplicates="mean".')
    warnings.warn(f"{message}; their scores are averaged.", DuplicatePairWarning, stacklevel=4)


def _node_features(features, columns, codes, n_nodes):
    """One row a node: what its first record says of it."""
    values = features[columns].to_numpy(dtype=np.float64)
    nodes, first = np.unique(codes, return_index=True)
    table = np.zeros((n_nodes, len(columns)))
    table[nodes] = values[first]
    return table


def extend_graph(graph, pairs, model_features, dataset_features, pair_features):
    """The graph with further records: new nodes join, a pair that is there already takes the new score.

    Parameters
    ----------
    graph : Graph
    pairs : Pairs
        The further records.
    model_features, dataset_features, pair_features : float arrays
        One row a record, in the columns of ``graph``.

    Returns
    -------
    Graph
    """
    models, model_codes, model_table = _extend_nodes(graph.models, pairs.models, graph.model_features, model_features)
    datasets, dataset_codes, dataset_table = _extend_nodes(
        graph.datasets, pairs.datasets, graph.dataset_features, dataset_features
    )
    weights = np.ones(len(pairs)) if pairs.weights is None else pairs.weights
    old_models = lookup_ids(models, graph.models)
    old_datasets = lookup_ids(datasets, graph.datasets)
    frame = pd.DataFrame(
        {
            "dataset": np.concatenate([old_datasets[graph.edge_datasets], dataset_codes]),
            "model": np.concatenate([old_models[graph.edge_models], model_codes]),
            "score": np.concatenate([graph.scores, pairs.scores]),
            "weight": np.concatenate([graph.weights, weights]),
            "row": np.arange(graph.n_edges + len(pairs)),
        }
    )
    frame = frame[frame["weight"] > 0].drop_duplicates(["dataset", "model"], keep="last")
    frame = frame.sort_values(["dataset", "model"])
    return replace(
        graph,
        models=models,
        datasets=datasets,
        edge_models=frame["model"].to_numpy(),
        edge_datasets=frame["dataset"].to_numpy(),
        scores=frame["score"].to_numpy(),
        weights=frame["weight"].to_numpy(),
        model_features=model_table,
        dataset_features=dataset_table,
        pair_features=np.concatenate([graph.pair_features, pair_features])[frame["row"].to_numpy()],
    )


def _extend_nodes(ids, further, table, further_table):
    new = lookup_ids(ids, further) < 0
    both = np.concatenate([ids.astype(object), further[new].astype(object)])
    merged, codes = id_codes(both if ids.dtype == object or further.dtype == object else both.astype(ids.dtype))
    merged_table = np.zeros((len(merged), table.shape[1]))
    # The last word on a node is what fit saw, so that a known one keeps its features.
    merged_table[codes[len(ids) :][::-1]] = further_table[new][::-1]
    merged_table[codes[: len(ids)]] = table
    return merged, lookup_ids(merged, further), merged_table


def additive_effects(graph, shrinkage=1.0, n_iter=100, tol=1e-10):
    """Split the scores into a mean, an effect of each model and an effect of each dataset.

    The effects minimise the weighted squared error plus ``shrinkage`` times their squared sizes; a model with one
    result is so drawn half way to the mean. Solved by alternating between the two sides, each exactly.

    Returns
    -------
    mean : float
    model_effects : array of shape (n_models,)
    dataset_effects : array of shape (n_datasets,)
    """
    weights = graph.weights / graph.weights.mean()
    rest = graph.scores - np.average(graph.scores, weights=weights)
    mass_models = np.bincount(graph.edge_models, weights, graph.n_models) + shrinkage
    mass_datasets = np.bincount(graph.edge_datasets, weights, graph.n_datasets) + shrinkage
    of_models, of_datasets = np.zeros(graph.n_models), np.zeros(graph.n_datasets)
    for _ in range(n_iter):
        before = of_models
        weighted = weights * (rest - of_models[graph.edge_models])
        of_datasets = np.bincount(graph.edge_datasets, weighted, graph.n_datasets) / mass_datasets
        weighted = weights * (rest - of_datasets[graph.edge_datasets])
        of_models = np.bincount(graph.edge_models, weighted, graph.n_models) / mass_models
        if np.abs(of_models - before).max() <= tol * np.abs(rest).max():
            break
    return float(np.average(graph.scores, weights=weights)), of_models, of_datasets


def neighbors(features, others, n_neighbors, exclude_self=False):
    """The nearest rows of ``others`` for each row of ``features``, by Euclidean distance.

    Returns
    -------
    indices, distances : arrays of shape (n_rows, k)
        ``k`` is ``n_neighbors`` or as many as there are.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(n_neighbors, len(others) - exclude_self)
    if k < 1 or not features.shape[1]:
        return np.zeros((len(features), 0), dtype=np.int64), np.zeros((len(features), 0))
    search = NearestNeighbors(n_neighbors=k).fit(others)
    distances, indices = search.kneighbors(None if exclude_self else features)
    return indices, distances
