"""What is learned in place of the raw scores, and the way back to their own scale."""

__all__ = ["TargetScale", "fit_target"]

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata

#: Records of the average dataset that are added to each one's own when its level and spread are estimated.
_PRIOR_RECORDS = 2.0
_RIDGE = 1.0
_LOGIT_MARGIN = 0.005


@dataclass(frozen=True)
class TargetScale:
    """The scale of the learned target.

    Attributes
    ----------
    kind : {"none", "zscore", "rank", "logit"}
    center, scale : float
        The target is standardised by these in the end.
    bounds : tuple of float
        The range of the scores, for ``logit`` and for a sigmoid decoder.
    levels, spreads : arrays of shape (n_datasets,)
        Of each dataset's scores; zeros and ones unless ``zscore`` or ``rank``.
    coefficients : array of shape (n_dataset_features + 1, 2)
        Level and log spread of an unknown dataset from its features, a constant last.
    """

    kind: str
    center: float
    scale: float
    bounds: tuple
    levels: np.ndarray
    spreads: np.ndarray
    coefficients: np.ndarray

    def of_datasets(self, codes, features):
        """Level and spread of the dataset of each pair.

        Parameters
        ----------
        codes : integer array of shape (n_pairs,)
            -1 for an unknown dataset.
        features : array of shape (n_pairs, n_dataset_features)
            Scaled; read for unknown datasets only.
        """
        guess = features @ self.coefficients[:-1] + self.coefficients[-1]
        known = codes >= 0
        level = np.where(known, self.levels[codes], guess[:, 0])
        spread = np.where(known, self.spreads[codes], np.exp(guess[:, 1]))
        return level, spread

    def inverse(self, values, std, codes, features):
        """Predictions and their standard deviations in the scores' own scale."""
        level, spread = self.of_datasets(codes, features)
        values = level + spread * (values * self.scale + self.center)
        std = std * spread * self.scale
        if self.kind == "logit":
            low, high = self.bounds
            share = expit(values)
            return low + (high - low) * share, std * (high - low) * share * (1.0 - share)
        return values, std


def fit_target(kind, graph, dataset_features, sigmoid=False):
    """The target of each edge and the scale that it is in.

    Parameters
    ----------
    kind : {"none", "zscore", "rank", "logit"}
    graph : Graph
    dataset_features : array of shape (n_datasets, n_features)
        Scaled.
    sigmoid : bool
        Whether the decoder ends in a sigmoid: then the target is moved to its range instead of standardised.

    Returns
    -------
    target : array of shape (n_edges,)
    scale : TargetScale
    """
    scores, weights = graph.scores, graph.weights
    levels, spreads = np.zeros(graph.n_datasets), np.ones(graph.n_datasets)
    coefficients = np.zeros((dataset_features.shape[1] + 1, 2))
    bounds = (0.0, 1.0)
    if kind == "logit" or sigmoid:
        bounds = _bounds(scores, strict=kind == "logit")
    if kind == "logit":
        share = (scores - bounds[0]) / (bounds[1] - bounds[0])
        values = logit(np.clip(share, _LOGIT_MARGIN, 1.0 - _LOGIT_MARGIN))
    elif kind in ("zscore", "rank"):
        levels, spreads = _dataset_moments(graph)
        coefficients = _ridge(dataset_features, np.column_stack([levels, np.log(spreads)]))
        if kind == "zscore":
            values = (scores - levels[graph.edge_datasets]) / spreads[graph.edge_datasets]
        else:
            values = _normal_ranks(graph)
    else:
        values = scores
    if sigmoid:
        center, scale = (bounds[0], bounds[1] - bounds[0]) if kind == "none" else (values.min(), np.ptp(values) or 1.0)
    else:
        center = float(np.average(values, weights=weights))
        scale = float(np.sqrt(np.average((values - center) ** 2, weights=weights)))
        # Scores that differ by rounding only are constant, and so is what is predicted.
        scale = scale if scale > 1e-12 * max(abs(center), 1e-300) else 0.0
    fitted = TargetScale(kind, float(center), float(scale), bounds, levels, spreads, coefficients)
    return (values - center) / (scale or 1.0), fitted


def _bounds(scores, strict):
    for low, high in ((0.0, 1.0), (0.0, 100.0)):
        if scores.min() >= low and scores.max() <= high:
            return low, high
    if strict:
        raise ValueError(
            f'target_transform="logit" expects scores between 0 and 1 (or 0 and 100), but they run from '
            f"{scores.min():g} to {scores.max():g}."
        )
    low, high = float(scores.min()), float(scores.max())
    return (low, high) if high > low else (low, low + 1.0)


def _dataset_moments(graph):
    codes, weights = graph.edge_datasets, graph.weights
    mass = np.bincount(codes, weights, graph.n_datasets)
    center = np.average(graph.scores, weights=weights)
    sums = np.bincount(codes, weights * (graph.scores - center), graph.n_datasets)
    means = center + sums / mass
    squared = weights * (graph.scores - means[codes]) ** 2
    within = np.bincount(codes, squared, graph.n_datasets)
    prior = max(squared.sum() / weights.sum(), 1e-24)
    levels = center + sums / (mass + _PRIOR_RECORDS)
    return levels, np.sqrt((within + _PRIOR_RECORDS * prior) / (mass + _PRIOR_RECORDS))


def _normal_ranks(graph):
    """The normal quantile of each score's rank within its dataset."""
    values = np.empty(graph.n_edges)
    starts = np.flatnonzero(np.diff(graph.edge_datasets, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], graph.n_edges], strict=True):
        values[start:stop] = rankdata(graph.scores[start:stop]) / (stop - start + 1)
    return ndtri(values)


def _ridge(features, values):
    center = values.mean(axis=0)
    gram = features.T @ features + _RIDGE * np.eye(features.shape[1])
    return np.vstack([np.linalg.solve(gram, features.T @ (values - center)), center])
