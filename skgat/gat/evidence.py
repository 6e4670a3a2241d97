"""What a fitted recommender would say without some of its records or features, and which records it looks at."""

__all__ = [
    "attention_on_records",
    "similarity_to_datasets",
    "similarity_to_records",
    "without_features",
    "without_records",
]

import copy
from dataclasses import replace

import numpy as np

from ..graph import SIDES
from ..records import ROLES, lookup_ids, read_pairs
from .kernel import similarity
from .prediction import end_of, predict_pairs
from .reading import read_features

_OF_EDGES = ("edge_models", "edge_datasets", "scores", "weights", "pair_features")


def without_records(estimator, X, edges):
    """Predictions after these records are taken out of the graph, all of them at once.

    The weights of the networks and the strengths of the kernel stay; all that follows from the records is computed
    anew, as ``partial_fit`` does when records are added: states, additive effects, the solved regression, the level
    and the spread of each dataset.

    Parameters
    ----------
    estimator : TransferabilityGAT
    X : frame of records, or what was read of one
    edges : integer array
        Positions among the edges of the graph.

    Returns
    -------
    array of shape (n_records,)
    """
    kept = np.ones(estimator.graph_.n_edges, dtype=bool)
    kept[edges] = False
    rest = {name: getattr(estimator.graph_, name)[kept] for name in _OF_EDGES}
    return _predict_over(estimator, replace(estimator.graph_, **rest), X)


def without_features(estimator, X, side, node, columns):
    """Predictions after features of a node are set to their average over the nodes of the graph.

    Parameters
    ----------
    estimator : TransferabilityGAT
    X : frame of records, or what was read of one
    side : {"model", "dataset"}
    node : id
        A node of the graph, or an unknown one that rows of X are about.
    columns : list of str

    Returns
    -------
    array of shape (n_records,)
    """
    graph, X = estimator.graph_, read_pairs(estimator, X, reset=False, missing=True)
    places = [getattr(graph, f"{side}_columns").index(column) for column in columns]
    average = estimator.network_.scaling[f"{side}_center"][places]
    code = lookup_ids(getattr(graph, f"{side}s"), np.array([node], dtype=object))[0]
    if code < 0:
        if not set(columns) & set(X.features):
            # Of what is not said the average is assumed already.
            return predict_pairs(estimator, X)[0]
        described = X.features.copy()
        described.loc[getattr(X, f"{side}s") == node, columns] = average
        return predict_pairs(estimator, replace(X, features=described))[0]
    features = getattr(graph, f"{side}_features").copy()
    features[code, places] = average
    return _predict_over(estimator, replace(graph, **{f"{side}_features": features}), X)


def _predict_over(estimator, graph, X):
    from .fitting import refresh

    twin = copy.copy(estimator)
    for name, value in refresh(estimator, graph).items():
        setattr(twin, name, value)
    return predict_pairs(twin, X)[0]


def attention_on_records(estimator):
    """The average attention of the model and of the dataset of each record to it.

    Parameters
    ----------
    estimator : TransferabilityGAT

    Returns
    -------
    dict of arrays of shape (n_edges,)
        By side; the weights of a node sum to one. With ``conv="gatconv"`` to less, and models, which hear nothing of
        their results there, have NaN.
    """
    from .fitting import attention_weights

    found = {side: [] for side in SIDES}
    for side, _, weights in attention_weights(estimator, estimator.graph_):
        found[side].append(weights.mean(axis=0))
    silent = np.full(estimator.graph_.n_edges, np.nan)
    return {side: np.mean(weights, axis=0) if weights else silent for side, weights in found.items()}


def similarity_to_records(estimator, X):
    """How alike a pair and each record are to the recommender, and how much the record moves what is said of the pair.

    Similarity is the correlation that the kernel regression assumes between both; without a regression, the mean cosine
    of what the decoder reads of their models and of their datasets.

    Parameters
    ----------
    estimator : TransferabilityGAT
    X : frame of records
        One row, the pair.

    Returns
    -------
    similarity, influence : arrays of shape (n_edges,)
        The influence is a quick estimate, good for an order.
    """
    pairs = read_pairs(estimator, X, reset=False, missing=True)
    tables, ends, _ = read_features(estimator.graph_, estimator.network_.scaling, pairs)
    if estimator.kernel_ is None:
        cosine = _cosine_to_records(estimator, pairs, tables, ends)
        return cosine, np.abs(cosine)
    from .fitting import prepare

    graph, kernel, network = estimator.graph_, estimator.kernel_, estimator.network_
    task = prepare(estimator, graph, network.scaling, estimator.target_scale_, network.config)
    pair = {role: network.scale(role, tables[role]) for role in ROLES}
    codes = {side: getattr(graph, f"edge_{side}s") for side in SIDES}
    records = {side: task.features[side][codes[side]] for side in SIDES} | {"pair": task.features["pair"]}
    same = {side: codes[side] == ends[side] for side in SIDES}
    itself = dict.fromkeys(SIDES, np.ones(1, dtype=bool))
    covariance = kernel.covariance(pair, records, same)
    variances = kernel.covariance(pair, pair, itself), kernel.covariance(records, records, itself)
    influence = kernel.influence(graph, task.features, task.target, covariance)
    return covariance / np.sqrt(variances[0] * variances[1]), influence


def _cosine_to_records(estimator, pairs, tables, codes):
    graph, network = estimator.graph_, estimator.network_
    cosines = []
    for side in SIDES:
        ids = getattr(pairs, f"{side}s")
        end = end_of(estimator, side, codes[side], ids, network.scale(side, tables[side]))
        own = end.rows(0, network.terms[side], slice(0, 1))[:, 0].ravel()
        known = network.terms[side].transpose(1, 0, 2).reshape(-1, len(own))
        lengths = np.linalg.norm(known, axis=1) * np.linalg.norm(own)
        cosine = np.divide(known @ own, lengths, out=np.zeros(len(known)), where=lengths > 0)
        cosines.append(cosine[getattr(graph, f"edge_{side}s")])
    return np.mean(cosines, axis=0)


def similarity_to_datasets(estimator, X):
    """How alike the dataset of a pair and each known dataset are by their features, from 0 to 1.

    Parameters
    ----------
    estimator : TransferabilityGAT
    X : frame of records
        One row.

    Returns
    -------
    array of shape (n_datasets,) or None
        In the units of the kernel regression, if there is one; None where datasets have no features.
    """
    graph, network = estimator.graph_, estimator.network_
    if not graph.dataset_columns:
        return None
    pairs = read_pairs(estimator, X, reset=False, missing=True)
    tables, _, _ = read_features(graph, network.scaling, pairs)
    own, known = (network.scale("dataset", table) for table in (tables["dataset"], graph.dataset_features))
    lengths = 1.0 if estimator.kernel_ is None else estimator.kernel_.strengths.lengths["dataset"]
    return similarity(own, known, lengths)[0]
