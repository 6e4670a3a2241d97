"""What is held out of each member's training, and the honest errors that follow from it."""

__all__ = ["Fold", "draw_folds", "noise_of", "scarcity"]

from dataclasses import dataclass, replace

import numpy as np

from ..graph import Graph
from .inference import CASES
from .targets import TargetScale, fit_target, normal_scale

#: Share of the models, of the datasets and of the other edges that a member never hears of.
_HELD_SHARE = 0.05
#: Fewer nodes of a side are all needed, and fewer edges too.
_FEWEST_NODES = 5
_FEWEST_EDGES = 20
#: The error of a case that was met on so many edges counts half, that of the cases in which more is known the rest.
_FEW_ERRORS = 15
#: The cases in which more is known of the pair.
_EASIER = {"pair": (), "dataset": ("pair",), "model": ("pair",), "both": ("dataset", "model")}


def scarcity(n_records):
    """How much the variance of an error grows when a node has few records; 1 without any, which is a case apart."""
    n_records = np.asarray(n_records)
    return np.where(n_records > 0, 1.0 + 2.0 / (1.0 + n_records), 1.0)


@dataclass(frozen=True)
class Fold:
    """What one member hears of.

    Attributes
    ----------
    held : boolean array of shape (n_edges,)
        The edges that it does not hear of.
    graph : Graph
        The others, between the same nodes.
    target : array of shape (n_edges,)
        In the units of this fold; zero where held.
    scale : TargetScale
        Of these units, which no held score has a part in.
    """

    held: np.ndarray
    graph: Graph
    target: np.ndarray
    scale: TargetScale


def draw_folds(graph, n_folds, kind, dataset_features, seed):
    """One fold a member, or None where everything is needed for training.

    Each holds out a few models and a few datasets with all their edges, and some of the other edges.

    Parameters
    ----------
    graph : Graph
    n_folds : int
    kind : str
        The target transform.
    dataset_features : array of shape (n_datasets, n_features)
        Scaled.
    seed : int

    Returns
    -------
    list of Fold or None
    """
    if graph.n_edges < _FEWEST_EDGES:
        return None
    rng = np.random.default_rng(seed)
    held = rng.random((n_folds, graph.n_edges)) < _HELD_SHARE
    for codes, n_nodes in ((graph.edge_models, graph.n_models), (graph.edge_datasets, graph.n_datasets)):
        if n_nodes < _FEWEST_NODES:
            continue
        size = max(round(_HELD_SHARE * n_nodes), 1)
        # Different ones for different members, as far as there are enough.
        order = np.concatenate([rng.permutation(n_nodes) for _ in range(-(-n_folds * size // n_nodes))])
        for number in range(n_folds):
            held[number] |= np.isin(codes, order[number * size : (number + 1) * size])
    if (held.mean(axis=1) > 0.5).any() or not held.any(axis=1).all():
        return None
    return [_fold(graph, rows, kind, dataset_features) for rows in held]


def _fold(graph, held, kind, dataset_features):
    names = ("edge_models", "edge_datasets", "scores", "weights", "pair_features")
    heard = replace(graph, **{name: getattr(graph, name)[~held] for name in names})
    target = np.zeros(graph.n_edges)
    target[~held], scale = fit_target(kind, heard, dataset_features)
    return Fold(held, heard, target, scale)


def noise_of(graph, target, scale, folds, predictions, disagreement):
    """How far predictions are off, by what is known of the pair.

    Parameters
    ----------
    graph : Graph
    target : array of shape (n_edges,)
    scale : TargetScale
        Of the target.
    folds : list of Fold
    predictions : list of arrays of shape (n_edges,)
        What is said of every edge by one who heard of the fold's edges alone, in the units of the fold.
    disagreement : array of shape (n_edges,)
        The variance that is known apart, in the units of the target.

    Returns
    -------
    errors, ranking_errors : dict of float
        Of the scores, and of the scores relative to the others of their dataset, by the names in ``CASES``; in the
        units of the target, without the disagreement and the growth by ``scarcity``.
    """
    parts = []
    for fold, values in zip(folds, predictions, strict=True):
        records = {
            side: np.bincount(getattr(fold.graph, f"edge_{side}s"), minlength=getattr(graph, f"n_{side}s"))[codes]
            for side, codes in (("model", graph.edge_models), ("dataset", graph.edge_datasets))
        }
        growth = np.sqrt(scarcity(records["model"]) * scarcity(records["dataset"]))
        off = (scale.errors(graph, target, values, fold.scale, records["dataset"] > 0) / growth)[fold.held]
        ranking = _centred(off, graph.edge_datasets[fold.held], graph.n_datasets)
        cases = (1 * (records["dataset"] == 0) + 2 * (records["model"] == 0))[fold.held]
        parts.append((off, ranking, cases, disagreement[fold.held]))
    off, ranking, cases, apart = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _by_case(off, cases, apart), _by_case(ranking, cases, apart)


def _centred(errors, codes, n_datasets):
    """Errors relative to the others on the dataset; NaN for a single one."""
    counts = np.bincount(codes, minlength=n_datasets)[codes]
    means = np.bincount(codes, errors, n_datasets)[codes] / counts
    with np.errstate(divide="ignore", invalid="ignore"):
        # A mean over n takes one n-th of the freedom.
        return np.where(counts > 1, (errors - means) / np.sqrt(1.0 - 1.0 / counts), np.nan)


def _by_case(errors, cases, apart):
    """The size of the errors in each case; who knows less of a pair is not taken to err less."""
    usable = np.isfinite(errors)
    sizes = {"": _size_of(errors, apart, usable)}
    for number, name in enumerate(CASES):
        rows = usable & (cases == number)
        least = max((sizes[easier] for easier in _EASIER[name]), default=None)
        sizes[name] = _size_of(errors, apart, rows) if rows.any() else sizes[""]
        if least is not None:
            # A few edges, often all of one dataset, would tell more of that dataset than of the case.
            n_errors = rows.sum()
            shared = (n_errors * sizes[name] ** 2 + _FEW_ERRORS * least**2) / (n_errors + _FEW_ERRORS)
            sizes[name] = max(float(np.sqrt(shared)), least)
    return {name: sizes[name] for name in CASES}


def _size_of(errors, apart, rows):
    if not rows.any():
        return 0.0
    size = normal_scale(errors[rows])
    # What members disagree by is added again at every prediction.
    return float(np.sqrt(max(size**2 - apart[rows].mean(), 0.25 * size**2)))
