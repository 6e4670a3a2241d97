"""The graph of TransferGraph: who did well where, what a measure says of it, and which datasets are alike.

Nodes are numbered models first, then datasets. Scores and measures are compared within a dataset only: the best share
of its models is linked to it, the worst share is kept apart as known negatives.
"""

__all__ = ["KINDS", "Measures", "TransferGraph", "build_transfer_graph", "make_measures"]

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..records import lookup_ids

#: The kinds of edges.
KINDS = ("score", "pair", "similarity")
_FLAG = "_missing"
_LEVELS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class TransferGraph:
    """Weighted edges between models and datasets and among datasets.

    Attributes
    ----------
    n_models, n_datasets : int
    sources, targets : integer arrays of shape (n_edges,)
        The ends of each edge, as numbers of nodes: models first, then datasets.
    weights : float array of shape (n_edges,)
        Above 0, at most 1.
    kinds : integer array of shape (n_edges,)
        The kind of each edge, as a position in ``("score", "pair", "similarity")``.
    negatives : integer array of shape (n_negatives, 2)
        Pairs of a model and a dataset that is known not to suit it.
    """

    n_models: int
    n_datasets: int
    sources: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray
    negatives: np.ndarray

    @property
    def n_nodes(self):
        """The number of nodes."""
        return self.n_models + self.n_datasets


@dataclass(frozen=True)
class Measures:
    """The pair columns that say how well a model suits a dataset.

    Attributes
    ----------
    columns : list of str
    flags : list of str or None
        For each column, the one that flags its missing values.
    levels : float array of shape (101, n_columns)
        The quantiles of each column over all pairs of fit.
    """

    columns: list
    flags: list
    levels: np.ndarray

    def read(self, features):
        """The values of a frame's rows; NaN where a value is flagged as missing."""
        values = features[self.columns].to_numpy(dtype=np.float64, copy=True)
        for i, flag in enumerate(self.flags):
            if flag is not None:
                values[features[flag].to_numpy() > 0, i] = np.nan
        return values

    def standing(self, features):
        """How each row stands among the pairs of fit, from 0 to 1; NaN for a row without a measure."""
        values = self.read(features)
        ranks = [_rank(column, levels) for column, levels in zip(values.T, self.levels.T, strict=True)]
        return _mean_known(np.column_stack([*ranks, np.full(len(values), np.nan)]))


def _rank(values, levels):
    """Where values stand among quantiles, from 0 to 1; in the middle of those that are the same, as in fit."""
    above = np.interp(values, levels, _LEVELS)
    below = 1.0 - np.interp(-values, -levels[::-1], 1.0 - _LEVELS[::-1])
    return (above + below) / 2


def make_measures(features, chosen=None):
    """Find the measures among the pair columns of a frame.

    Parameters
    ----------
    features : DataFrame
        The pair columns, one row a pair.
    chosen : sequence of str, optional
        The names of the measures; by default all columns but those that flag missing values of others.

    Returns
    -------
    Measures
    """
    columns = list(features.columns)
    flags = {column: f"{column}{_FLAG}" for column in columns if f"{column}{_FLAG}" in columns}
    if chosen is None:
        chosen = [column for column in columns if column not in flags.values()]
    for column in chosen:
        if column not in columns:
            raise ValueError(f"Got pair_columns with {column!r}, but X has no such pair column; it has {columns}.")
    measures = Measures(list(chosen), [flags.get(column) for column in chosen], np.zeros((len(_LEVELS), 0)))
    values = measures.read(features)
    known = [column[~np.isnan(column)] for column in values.T]
    levels = [np.quantile(column, _LEVELS) if len(column) else np.zeros(len(_LEVELS)) for column in known]
    return Measures(measures.columns, measures.flags, np.array(levels).reshape(len(levels), len(_LEVELS)).T)


def _mean_known(ranks):
    """The mean of each row over what is there; NaN where nothing is."""
    there = ~np.isnan(ranks)
    return np.where(there, ranks, 0.0).sum(axis=1) / np.where(there.any(axis=1), there.sum(axis=1), np.nan)


def build_transfer_graph(nodes, scored, measures, likeness, edges, positive_share, negative_share):
    """Link models and datasets.

    Parameters
    ----------
    nodes : Graph
        All pairs, with or without a score.
    scored : Graph or None
        Those with a score.
    measures : Measures
    likeness : Likeness
        Of the datasets.
    edges : sequence of str
        The kinds of edges to make.
    positive_share, negative_share : float
        The shares of a dataset's models that are linked to it and kept apart from it.

    Returns
    -------
    TransferGraph
    """
    found, negatives = [], []
    if "score" in edges and scored is not None:
        models = lookup_ids(nodes.models, scored.models)[scored.edge_models]
        datasets = lookup_ids(nodes.datasets, scored.datasets)[scored.edge_datasets]
        ranks = _ranks_within(scored.scores, datasets)
        found.append((0, models, nodes.n_models + datasets, ranks))
    if "pair" in edges and measures.columns:
        frame = pd.DataFrame(nodes.pair_features, columns=list(nodes.pair_columns))
        ranks = [_ranks_within(values, nodes.edge_datasets) for values in measures.read(frame).T]
        found.append((1, nodes.edge_models, nodes.n_models + nodes.edge_datasets, _mean_known(np.column_stack(ranks))))
    positive = []
    for kind, sources, targets, ranks in found:
        good, bad = ranks > 1.0 - positive_share, ranks <= negative_share
        positive.append((np.full(good.sum(), kind), sources[good], targets[good], ranks[good]))
        negatives.append(np.column_stack([sources[bad], targets[bad]]))
    if "similarity" in edges:
        left, right, weights = likeness.edges()
        positive.append((np.full(len(left), 2), nodes.n_models + left, nodes.n_models + right, weights))
    nothing = [np.zeros(0, dtype=np.int64)] * 3 + [np.zeros(0)]
    kinds, sources, targets, weights = map(np.concatenate, zip(nothing, *positive, strict=True))
    return TransferGraph(
        n_models=nodes.n_models,
        n_datasets=nodes.n_datasets,
        sources=sources,
        targets=targets,
        weights=weights,
        kinds=kinds,
        negatives=_not_linked(np.concatenate(negatives) if negatives else np.zeros((0, 2)), sources, targets, nodes),
    )


def _ranks_within(values, groups):
    """Ranks within groups from 0 (excluded) to 1, equal values sharing their mean; NaN stays NaN."""
    return pd.Series(values).groupby(groups).rank(pct=True).to_numpy()


def _not_linked(negatives, sources, targets, nodes):
    """The distinct negative pairs that no edge speaks against."""
    n_nodes = nodes.n_models + nodes.n_datasets
    keys = np.setdiff1d(negatives[:, 0] * n_nodes + negatives[:, 1], sources * n_nodes + targets)
    return np.column_stack(np.divmod(keys.astype(np.int64), n_nodes))
