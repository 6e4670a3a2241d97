"""What is held out of each member's training, and the honest errors that follow from it."""

__all__ = [
    "Fold",
    "Rival",
    "Trial",
    "blend",
    "blend_by_order",
    "draw_folds",
    "errors_on_held",
    "noise_of",
    "scarcity",
    "try_folds",
]

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
#: A share that was learned from so many strangers, or pairs of known ends, is taken for half of what it seems.
_FEW_STRANGERS = 10
_FEW_PAIRS = 40
#: What a share may be where it is chosen by the order.
_SHARES = np.linspace(0.0, 1.0, 21)
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


@dataclass(frozen=True)
class Trial:
    """How those fared who did not hear of some edges.

    Attributes
    ----------
    off : array of shape (n_held,)
        What was predicted too low, in the units of the target.
    truth : array of shape (n_held,)
        What was to be predicted.
    untold : array of shape (n_held,)
        How much less it would be off, had the level and the spread of the dataset been told.
    edges : integer array of shape (n_held,)
        Which edge it was about.
    groups : integer array of shape (n_held,)
        One number for each dataset in each fold.
    cases : integer array of shape (n_held,)
        What else was not heard of, as numbered in ``CASES``.
    growth : array of shape (n_held,)
        By how much the error grows for want of records.
    apart : array of shape (n_held,)
        The variance that is known apart.
    """

    off: np.ndarray
    truth: np.ndarray
    untold: np.ndarray
    edges: np.ndarray
    groups: np.ndarray
    cases: np.ndarray
    growth: np.ndarray
    apart: np.ndarray


def try_folds(graph, target, scale, folds, predictions, disagreement):
    """Compare predictions with what was held out.

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
    Trial
    """
    parts = []
    for number, fold in enumerate(folds):
        records = {
            side: np.bincount(getattr(fold.graph, f"edge_{side}s"), minlength=getattr(graph, f"n_{side}s"))[codes]
            for side, codes in (("model", graph.edge_models), ("dataset", graph.edge_datasets))
        }
        parts.append(
            (
                np.flatnonzero(fold.held),
                number * graph.n_datasets + graph.edge_datasets[fold.held],
                (1 * (records["dataset"] == 0) + 2 * (records["model"] == 0))[fold.held],
                np.sqrt(scarcity(records["model"]) * scarcity(records["dataset"]))[fold.held],
                disagreement[fold.held],
            )
        )
    edges, *others = (np.concatenate(part) for part in zip(*parts, strict=True))
    off, told = (errors_on_held(graph, target, scale, folds, predictions, told) for told in (False, True))
    return Trial(off, target[edges], off - told, edges, *others)


def errors_on_held(graph, target, scale, folds, predictions, told=False):
    """What was predicted too low of the edges that folds do not hear of, one fold after the other.

    Parameters
    ----------
    graph, target, scale, folds, predictions : see :func:`try_folds`
    told : bool, default=False
        Whether level and spread of each dataset are what all its records say, and not what the fold takes them to be.

    Returns
    -------
    array of shape (n_held,)
        In the units of the target.
    """
    parts = []
    for fold, values in zip(folds, predictions, strict=True):
        known = np.isin(graph.edge_datasets, fold.graph.edge_datasets)
        of_fold = replace(fold.scale, levels=scale.levels, spreads=scale.spreads) if told else fold.scale
        parts.append(scale.errors(graph, target, values, of_fold, known)[fold.held])
    return np.concatenate(parts)


def noise_of(trial):
    """How far predictions are off, by what is known of the pair.

    Returns
    -------
    errors, ranking_errors : dict of float
        Of the scores, and of the scores relative to the others of their dataset, by the names in ``CASES``; in the
        units of the target, without the disagreement and the growth by ``scarcity``.
    """
    off = trial.off / trial.growth
    errors = _by_case(off, trial.cases, trial.apart)
    ranking = _by_case(_centred(off, trial.groups), trial.cases, trial.apart)
    # Estimated from fewer errors it may come out larger, but what is left when the level is known is a part of all.
    return errors, {case: min(size, errors[case]) for case, size in ranking.items()}


@dataclass(frozen=True)
class Rival:
    """How another predictor fared in a trial.

    Attributes
    ----------
    off : array of shape (n_held,)
        What it predicted too low; NaN where it cannot tell.
    apart : array of shape (n_held,)
        The part of its variance that it will not have when it is asked.
    trust : array of shape (n_held,)
        What part of its share it is to have on each edge.
    """

    off: np.ndarray
    apart: np.ndarray
    trust: np.ndarray

    @classmethod
    def plain(cls, off):
        """One that is what it will be, and trusted everywhere alike."""
        return cls(off, np.zeros(len(off)), np.ones(len(off)))


def blend(trial, graph, rivals, share="auto"):
    """Let other predictors take part.

    Parameters
    ----------
    trial : Trial
    graph : Graph
    rivals : dict of Rival
        By the case in which they may take part, in the order of ``CASES``.
    share : float or "auto"
        The part of the other one; by default the one that errs least in the trial. Where both ends are unknown it is
        that of unknown models: there are few pairs of two strangers to learn from, and their datasets are fewer still.

    Returns
    -------
    trial : Trial
        Of both together.
    shares : dict of float
        By case, from 0 to 1.
    """
    shares = {}
    for case, rival in rivals.items():
        rows = _rows_of(trial, case, rival)
        if share != "auto":
            shares[case] = float(share)
        elif case == "both":
            shares[case] = shares["model"]
        else:
            shares[case] = _best_share(trial, graph, case, rows, rival)
    return _mixed(trial, rivals, shares), shares


def blend_by_order(trial, graph, rivals, usual):
    """As :func:`blend`, with the shares with which models are best in order on each dataset.

    Parameters
    ----------
    trial, graph, rivals : see :func:`blend`
    usual : float
        The share that is taken where the trial does not tell.
    """
    shares = {
        case: _share_by_order(trial, graph, _rows_of(trial, case, rival), rival, usual)
        for case, rival in rivals.items()
    }
    return _mixed(trial, rivals, shares), shares


def _rows_of(trial, case, rival):
    return np.flatnonzero((trial.cases == CASES.index(case)) & np.isfinite(rival.off))


def _mixed(trial, rivals, shares):
    off, apart = trial.off.copy(), trial.apart.copy()
    for case, rival in rivals.items():
        rows = _rows_of(trial, case, rival)
        part = shares[case] * rival.trust[rows]
        off[rows] += part * (rival.off[rows] - off[rows])
        apart[rows] *= (1.0 - part) ** 2
    return replace(trial, off=off, apart=apart)


def _best_share(trial, graph, case, rows, rival):
    own, its, apart = trial.off[rows], rival.off[rows], trial.apart[rows]
    its_apart, trust = rival.apart[rows], rival.trust[rows]
    gap = own - its
    # A single member errs by what members disagree on too, the ensemble does not.
    gain = trust @ (own * gap - apart)
    most = trust**2 @ (gap**2 - apart - its_apart)
    if gain <= 0 or most <= 0:
        return 0.0
    n_witnesses, few = len(rows), _FEW_PAIRS
    if case != "pair":
        # Errors on one model have a cause in common.
        n_witnesses, few = len(np.unique(graph.edge_models[trial.edges[rows]])), _FEW_STRANGERS
    return float(min(gain / most, 1.0) * n_witnesses / (n_witnesses + few))


def _share_by_order(trial, graph, rows, rival, usual):
    """The share with which predictions go best with the truth within datasets, whatever their scale.

    Errors would be in favour of who says least: where a few noisy scores tell how far those of a dataset lie apart,
    it is best to predict that all models are alike.
    """
    _, groups, counts = np.unique(trial.groups[rows], return_inverse=True, return_counts=True)
    rows = rows[counts[groups] > 1]
    _, groups, counts = np.unique(trial.groups[rows], return_inverse=True, return_counts=True)
    truth, freedom = trial.truth[rows], 1.0 - 1.0 / counts[groups]
    apart, its_apart = (variance[rows] * freedom for variance in (trial.apart, rival.apart))
    own, its = (truth - (off - trial.untold)[rows] for off in (trial.off, rival.off))
    truth, fits = _relative(truth, groups), np.empty(len(_SHARES))
    for place, share in enumerate(_SHARES):
        part = share * rival.trust[rows]
        values = _relative(own + part * (its - own), groups)
        # A single member varies by what members disagree on too, the ensemble does not; nor do all trees as a few.
        size = max(values @ values - (1.0 - part) ** 2 @ apart - part**2 @ its_apart, 0.25 * (values @ values), 1e-12)
        fits[place] = (truth @ values) / np.sqrt(size)
    # Errors on one dataset have a cause in common.
    n_witnesses = len(np.unique(graph.edge_datasets[trial.edges[rows]]))
    # Of those that are as good but for rounding it is the smallest.
    best = _SHARES[np.argmax(fits >= fits.max() - 1e-9 * abs(fits.max()))]
    return float((n_witnesses * best + _FEW_STRANGERS * usual) / (n_witnesses + _FEW_STRANGERS))


def _relative(values, groups):
    return values - (np.bincount(groups, values) / np.bincount(groups))[groups] if len(groups) else values


def _centred(errors, groups):
    """Errors relative to the others of the group; NaN for a single one."""
    _, codes = np.unique(groups, return_inverse=True)
    counts = np.bincount(codes)[codes]
    with np.errstate(divide="ignore", invalid="ignore"):
        # A mean over n takes one n-th of the freedom.
        return np.where(counts > 1, _relative(errors, codes) / np.sqrt(1.0 - 1.0 / counts), np.nan)


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
