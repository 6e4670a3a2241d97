"""What the baselines share: records of ids alone, and the additive part of a prediction."""

__all__ = ["additive_part", "ids_graph"]

from dataclasses import replace

import numpy as np

from ..graph import build_graph
from ..records import lookup_ids, read_pairs


def ids_graph(estimator, X, y, sample_weight):
    """Read the scored pairs of a call of ``fit``, and note on the estimator which ids and pairs there are.

    Parameters
    ----------
    estimator : estimator
        Gives the names of the columns and ``duplicates``.
    X : frame of records or array of shape (n_records, n_columns)
    y : array of shape (n_records,) or None
    sample_weight : array of shape (n_records,) or None

    Returns
    -------
    Graph
        Without any features.
    """
    pairs = read_pairs(estimator, X, y, sample_weight, reset=True, scores=True, numeric=False)
    graph = build_graph(replace(pairs, features=pairs.features.iloc[:, :0]), estimator.duplicates)
    estimator.models_, estimator.datasets_ = graph.models, graph.datasets
    estimator.pairs_ = np.column_stack([graph.edge_models, graph.edge_datasets])
    return graph


def additive_part(estimator, X):
    """The additive prediction of each row, and where its model and dataset stand among the known ones.

    Returns
    -------
    values : array of shape (n_records,)
    models, datasets : integer arrays of shape (n_records,)
        -1 for the unknown, which have no effect.
    """
    pairs = read_pairs(estimator, X, reset=False, numeric=False, missing=True)
    models = lookup_ids(estimator.models_, pairs.models)
    datasets = lookup_ids(estimator.datasets_, pairs.datasets)
    of_models = np.append(estimator.model_effects_, 0.0)[models]
    of_datasets = np.append(estimator.dataset_effects_, 0.0)[datasets]
    return estimator.mean_ + of_models + of_datasets, models, datasets
