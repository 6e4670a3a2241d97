"""What is learned in place of the raw scores, and the way back to their own scale."""

__all__ = ["TargetScale", "fit_target", "normal_scale"]

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit, ndtri

from .._ranking import Rows, mean_ranks
from ..records import plain_value
from .placement import Placement, place

#: Records of the average dataset that are added to each one's own when its level and its spread are estimated.
_PRIOR_LEVEL = 0.3
_PRIOR_SPREAD = 2.0
_PRIOR_MODEL = 1.0
#: Variance of a standardised score that is not the model's, as a start for how wide a few scores should lie.
_REST = 0.3
#: Variance of the logarithm of a spread that is told by one score.
_LOG_SPREAD_NOISE = 0.35
_SWEEPS = 10
_LOGIT_MARGIN = 0.005
#: How much of the rank goes with the z-score in the balanced target.
_RANK_SHARE = 0.25
_WITHIN_DATASETS = ("balanced", "zscore", "rank")
#: Predictions that would leave the range of the scores end up this close to it, in spreads of the dataset.
_MARGIN = 0.05
_RANGES = ((0.0, 1.0), (0.0, 100.0))
#: Scores that fill less of a range than this are not taken to be in it where they are to be told by a sigmoid.
_LEAST_FILLED = 0.1


@dataclass(frozen=True)
class TargetScale:
    """The scale of the learned target.

    Attributes
    ----------
    kind : {"balanced", "none", "zscore", "rank", "logit"}
    center, scale : float
        The target is standardised by these in the end.
    slope : float
        What a step of the target is worth in spreads of a dataset.
    bounds : tuple of float
        The range of the scores, for ``logit`` and for a sigmoid decoder.
    limits : tuple of float or None
        The range that no prediction within a dataset leaves; None where the scores are not shares.
    levels, spreads : arrays of shape (n_datasets,)
        Of each dataset's scores; zeros and ones where the target is not about the order within datasets.
    level_errors : array of shape (n_datasets,)
        How far the level of a dataset may be off for want of scores, beyond what is usual among the records: that is
        part of the errors on records that were held out.
    placement : Placement or None
        Level and spread, as a logarithm, of an unknown dataset from its features.
    """

    kind: str
    center: float
    scale: float
    slope: float
    bounds: tuple
    limits: tuple | None
    levels: np.ndarray
    spreads: np.ndarray
    level_errors: np.ndarray
    placement: Placement | None

    @property
    def within_datasets(self):
        """Whether the target is about the order within datasets: the average model is at zero on each."""
        return self.kind in _WITHIN_DATASETS

    def of_datasets(self, codes, features):
        """Level and spread of the dataset of each pair, and how far off the level may be.

        Parameters
        ----------
        codes : integer array of shape (n_pairs,)
            -1 for an unknown dataset.
        features : array of shape (n_pairs, n_dataset_features)
            Scaled; read for unknown datasets only.
        """
        level, spread, error = self.levels[codes], self.spreads[codes], self.level_errors[codes]
        new = codes < 0
        if self.placement is not None and new.any():
            guess = self.placement.predict(features[new])
            level[new], spread[new], error[new] = guess[:, 0], np.exp(guess[:, 1]), self.placement.errors[0]
        elif new.any():
            level[new], spread[new], error[new] = 0.0, 1.0, 0.0
        return level, spread, error

    def inverse(self, values, std, codes, features, ranking=False):
        """Predictions and their standard deviations in the scores' own scale.

        With ``ranking`` the deviations leave out what all models on a dataset have in common.
        """
        return self.on_datasets(values, std, self.of_datasets(codes, features), ranking)

    def on_datasets(self, values, std, moments, ranking=False):
        """As :meth:`inverse`, from what :meth:`of_datasets` says of the dataset of each pair, or of the one of all."""
        level, spread, error = moments
        values = level + spread * self.slope * (values * self.scale + self.center)
        std = std * spread * self.slope * self.scale
        if self.kind == "logit":
            low, high = self.bounds
            share = expit(values)
            return low + (high - low) * share, std * (high - low) * share * (1.0 - share)
        if self.limits is not None and self.scale:
            values = _within(values, self.limits, _MARGIN * spread)
        return values, std if ranking else np.hypot(std, error)

    def errors(self, graph, target, values, other, known):
        """How far predictions of all edges are off, in the units of training.

        Parameters
        ----------
        graph : Graph
            The one that this scale was fitted to.
        target, values : arrays of shape (n_edges,)
            What was learned in the units of this scale, and what is predicted in the units of ``other``.
        other : TargetScale
            Fitted to some of the edges.
        known : boolean array of shape (n_edges,)
            Whether the dataset of the edge had any edge among those. For the others the level is taken as it is: how
            far it may be off is known apart.
        """
        guess = values * other.scale + other.center
        unit = self.scale or 1.0
        if not self.within_datasets:
            return target - (guess - self.center) / unit
        codes = graph.edge_datasets
        level = np.where(known, other.levels[codes], self.levels[codes])
        standard = (graph.scores - level) / other.spreads[codes]
        return (standard - other.slope * guess) / (self.slope * unit)


def fit_target(kind, graph, dataset_features, sigmoid=False, bounds=None):
    """The target of each edge and the scale that it is in.

    Parameters
    ----------
    kind : {"balanced", "none", "zscore", "rank", "logit"}
    graph : Graph
    dataset_features : array of shape (n_datasets, n_features)
        Scaled.
    sigmoid : bool
        Whether the decoder ends in a sigmoid: then the target is moved to its range instead of standardised.
    bounds : tuple of float, optional
        The range of the scores where it was found before: by default it is found here.

    Returns
    -------
    target : array of shape (n_edges,)
    scale : TargetScale
    """
    graph = replace(graph, weights=graph.relative_weights)
    scores, weights = graph.scores, graph.weights
    levels, spreads, level_errors = np.zeros(graph.n_datasets), np.ones(graph.n_datasets), np.zeros(graph.n_datasets)
    placement = limits = None
    slope = 1.0
    if bounds is None:
        bounds = _bounds(scores, strict=kind == "logit") if kind == "logit" or sigmoid else (0.0, 1.0)
    if kind == "logit":
        _check_bounds(graph, bounds)
        share = (scores - bounds[0]) / (bounds[1] - bounds[0])
        values = logit(np.clip(share, _LOGIT_MARGIN, 1.0 - _LOGIT_MARGIN))
    elif kind in _WITHIN_DATASETS:
        levels, spreads, level_errors, placement = _placed_moments(graph, dataset_features)
        limits = _range_of(scores)
        values, slope = _within_datasets(kind, graph, levels, spreads)
    else:
        values = scores
    if sigmoid:
        center, scale = (bounds[0], bounds[1] - bounds[0]) if kind == "none" else (values.min(), np.ptp(values) or 1.0)
    else:
        center = float(np.average(values, weights=weights))
        scale = float(np.sqrt(np.average((values - center) ** 2, weights=weights)))
        # Scores that differ by rounding only are constant, and so is what is predicted.
        scale = scale if scale > 1e-12 * max(abs(center), 1e-300) else 0.0
    fitted = TargetScale(
        kind, float(center), float(scale), float(slope), bounds, limits, levels, spreads, level_errors, placement
    )
    return (values - center) / (scale or 1.0), fitted


def normal_scale(errors):
    """The standard deviation of the normal distribution whose 80 % and 95 % intervals suit such errors.

    Errors of recommenders have heavy tails, so that no normal distribution has both intervals. This one has the 95 %
    interval that covers as much as it says, unless the 80 % interval would then cover more than 84 %. A few errors say
    nothing of tails; there it is the root mean square.
    """
    errors = np.abs(errors)
    if len(errors) < 40:
        return float(np.sqrt(np.mean(errors**2))) if len(errors) else np.nan
    inner, most, outer = np.quantile(errors, [0.8, 0.84, 0.95]) / ndtri([0.9, 0.9, 0.975])
    return float(np.clip(outer, inner, most))


def _range_of(scores):
    """The natural range of shares and percentages; None for other scores."""
    for low, high in _RANGES:
        if scores.min() >= low and scores.max() <= high:
            return low, high
    return None


def _within(values, limits, margin):
    """Values that come closer to a limit than the margin, or go beyond, drawn together before it in the same order."""
    low, high = limits
    middle, reach = (low + high) / 2, (high - low) / 2
    margin = np.minimum(margin, reach / 2)
    beyond = np.abs(values - middle) - (reach - margin)
    # A look at all is cheap, and most predictions have nothing to change.
    if not (beyond > 0).any():
        return values
    left = margin**2 / (margin + np.maximum(beyond, 0.0))
    return np.where(beyond > 0, np.where(values < middle, low + left, high - left), values)


def _bounds(scores, strict):
    found = _range_of(scores)
    # Shares that are a little above 1 are no percentages: a sigmoid from 0 to 100 would not leave 0 for them.
    if found is not None and (strict or scores.max() > _LEAST_FILLED * found[1]):
        return found
    if strict:
        raise ValueError(
            f'target_transform="logit" expects scores between 0 and 1 (or 0 and 100), but they run from '
            f"{scores.min():g} to {scores.max():g}."
        )
    low, high = float(scores.min()), float(scores.max())
    return (low, high) if high > low else (low, low + 1.0)


def _check_bounds(graph, bounds):
    beyond = (graph.scores < bounds[0]) | (graph.scores > bounds[1])
    if beyond.any():
        edge = int(beyond.argmax())
        model = plain_value(graph.models[graph.edge_models[edge]])
        dataset = plain_value(graph.datasets[graph.edge_datasets[edge]])
        raise ValueError(
            f'target_transform="logit" was fitted to scores between {bounds[0]:g} and {bounds[1]:g}, but the score of '
            f"model {model!r} on dataset {dataset!r} is {graph.scores[edge]:g}."
        )


def _placed_moments(graph, features):
    """Level and spread of each dataset, from its scores and from what similar datasets lead to expect.

    Also how far the levels may be off beyond what is usual, and what unknown datasets are placed by.
    """
    levels, spreads = _dataset_moments(graph)
    n_records = np.bincount(graph.edge_datasets, minlength=graph.n_datasets)
    seen = n_records > 0
    own = np.column_stack([levels, np.log(spreads)])[seen]
    placement, expected, trust = place(features[seen], own)
    missed = np.mean(np.exp(own[:, 1] - expected[:, 1]))
    # How far a few scores may be off; they say all of a dataset on which every model was tried.
    missing = (1.0 - n_records[seen] / graph.n_models) / n_records[seen]
    noise = np.column_stack([_REST * spreads[seen] ** 2 * missing, _LOG_SPREAD_NOISE * missing])
    off = np.mean((own - expected) ** 2, axis=0)
    of_expected = np.maximum(off - noise.mean(axis=0), off / 4)
    # Where features tell nothing the scores have been drawn to the average dataset already.
    share = trust * noise / np.maximum(noise + of_expected, 1e-300)
    own = own + share * (expected - own)
    levels[seen], spreads[seen] = own[:, 0], np.exp(own[:, 1])
    variance = np.zeros(graph.n_datasets)
    variance[seen] = noise[:, 0] * (1.0 - share[:, 0])
    errors = np.sqrt(np.maximum(variance - variance[graph.edge_datasets].mean(), 0.0))
    if not seen.all():
        guess = placement.predict(features[~seen])
        levels[~seen], spreads[~seen] = guess[:, 0], np.exp(guess[:, 1])
    # What is to be expected of an unknown spread is its mean, which is more than its logarithm's tells: the average of
    # the factors by which those of other datasets were missed makes up for it. Not above, where datasets of the graph
    # are held out to see who errs less: against a wider scale all errors are small.
    placement = replace(placement, constants=placement.constants + [0.0, np.log(missed)])
    return levels, spreads, errors, placement


def _dataset_moments(graph):
    """Level and spread of each dataset, from what its models do elsewhere as far as that is known.

    A dataset on which only good models were tried is not an easy one: score = level + spread x (model effect + rest),
    by turns for one factor after the other.
    """
    scores, weights = graph.scores, graph.weights / graph.weights.mean()
    datasets, models = graph.edge_datasets, graph.edge_models
    mass = np.bincount(datasets, weights, graph.n_datasets)
    model_mass = np.bincount(models, weights, graph.n_models)
    seen = mass > 0
    floor = max(1e-12 * np.abs(scores).max(), 1e-140)

    def total(values):
        return np.bincount(datasets, weights * values, graph.n_datasets)

    def of_models(values):
        return np.bincount(models, weights * values, graph.n_models)

    overall = np.average(scores, weights=weights)
    levels = overall + total(scores - overall) / (mass + _PRIOR_SPREAD)
    spreads = np.full(
        graph.n_datasets, max(np.sqrt(np.average((scores - levels[datasets]) ** 2, weights=weights)), floor)
    )
    for _ in range(_SWEEPS):
        standard = (scores - levels[datasets]) / spreads[datasets]
        effects = of_models(standard) / (model_mass + _PRIOR_MODEL)
        effects -= effects.mean()
        variance = effects.var() + _REST
        rest = scores - overall - spreads[datasets] * effects[models]
        levels = overall + (total(rest) + _PRIOR_LEVEL * (levels - overall).mean()) / (mass + _PRIOR_LEVEL)
        off = scores - levels[datasets]
        own = _rests(of_models((off / spreads[datasets] - effects[models]) ** 2), model_mass)
        squares = total(off**2)
        expected = total(effects[models] ** 2 + own[models])
        ratios = np.maximum(squares[seen] / expected[seen], floor**2)
        typical = max(np.exp(np.average(np.log(ratios), weights=mass[seen])), floor**2)
        spreads = np.sqrt((squares + _PRIOR_SPREAD * typical * variance) / (expected + _PRIOR_SPREAD * variance))
    return levels, spreads


def _rests(sums, mass):
    """The variance of what is not the model's in the standardised scores of each model, `_REST` on average.

    A model that fails now and then widens the scores of a dataset; where none such was tried, others lie close together
    on any dataset.
    """
    average = sums.sum() / mass.sum()
    if not average > 0:
        return np.full(len(mass), _REST)
    own = (sums + _PRIOR_MODEL * average) / (mass + _PRIOR_MODEL)
    return own * (_REST * mass.sum() / (mass @ own))


def _within_datasets(kind, graph, levels, spreads):
    """The target within datasets, and the slope of the z-scores on it."""
    standard = (graph.scores - levels[graph.edge_datasets]) / spreads[graph.edge_datasets]
    if kind == "zscore":
        return standard, 1.0
    counts = np.bincount(graph.edge_datasets, minlength=graph.n_datasets)[graph.edge_datasets]
    values = _normal_ranks(graph)
    if kind == "balanced":
        # The rank among a few is worth less.
        values = standard + _RANK_SHARE * values * np.sqrt(counts / (counts + _PRIOR_SPREAD))
    squared = np.average(values**2, weights=graph.weights)
    slope = np.average(values * standard, weights=graph.weights) / squared if squared > 0 else 1.0
    return values, slope


def _normal_ranks(graph):
    """The normal quantile of each score's rank within its dataset."""
    datasets = graph.edge_datasets
    size = np.bincount(datasets, minlength=graph.n_datasets)
    first = np.cumsum(size) - size
    ranks = mean_ranks(Rows(graph.scores, graph.scores, datasets, first, size), graph.scores) - first[datasets]
    values = (ranks + 1) / (size[datasets] + 1)
    return ndtri(values)
