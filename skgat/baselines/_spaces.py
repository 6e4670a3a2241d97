"""The transfer space: vectors of models and datasets whose products are scores, and who stands where."""

__all__ = ["Recipe", "Space", "fit_space", "learn_weights", "settle"]

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import lsq_linear
from scipy.sparse import csr_array

from .._factors import factorize, solve_rows
from ..graph import SIDES, additive_effects
from ._placement import fit_mapper, fit_placement

#: Fewer datasets are not divided into known and held-out ones.
_LEAST_DATASETS = 4
#: So many records of average spread stand beside those of each dataset when its spread is estimated.
_PRIOR_RECORDS = 10
#: About so many records, those of a random part of the models, are enough to learn two weights.
_ENOUGH_RECORDS = 100_000


@dataclass(frozen=True)
class Recipe:
    """How a space is fitted; the arguments of the estimator of the same names."""

    n_components: int
    alpha: float
    center: str
    shrinkage: float
    noise: str
    mapper: object
    max_iter: int
    tol: float


@dataclass(frozen=True)
class Space:
    """A fitted space.

    Attributes
    ----------
    mean : float
    vectors : dict of arrays of shape (n_nodes, n_components + 1)
        By side, the level and the factors of each node. A score is the mean, both levels, and the product of the
        factors.
    placements : dict of Placement
        By side.
    meta : array of shape (n_models,)
        How far the features of each model take it from its own average score.
    scale : float
        The spread of what the levels leave over.
    precision : array of shape (n_edges,)
        How much each score counted in the factorisation.
    losses : list of float
    """

    mean: float
    vectors: dict
    placements: dict
    meta: np.ndarray
    scale: float
    precision: np.ndarray
    losses: list


def fit_space(graph, recipe, rng):
    """Factorise the scores and learn where the features of models and datasets place them.

    Parameters
    ----------
    graph : Graph
    recipe : Recipe
    rng : numpy.random.RandomState

    Returns
    -------
    Space
    """
    weights = graph.weights / graph.weights.mean()
    mean, *levels = _levels(graph, weights, recipe)
    rest = graph.scores - mean - levels[0][graph.edge_models] - levels[1][graph.edge_datasets]
    precision = weights * _precision(rest, weights, graph) if recipe.noise == "dataset" else weights
    shape = (graph.n_models, graph.n_datasets)
    factors, losses, scale = [np.zeros((n, recipe.n_components)) for n in shape], [0.0], _spread(rest, weights, graph)
    if scale > 0:
        cells = (rest / scale, graph.edge_models, graph.edge_datasets, precision)
        solver = (recipe.n_components, recipe.alpha, recipe.max_iter, recipe.tol, rng)
        *factors, losses = factorize(*cells, shape, *solver)
    vectors = {
        side: np.column_stack([level, factor * np.sqrt(scale)])
        for side, level, factor in zip(SIDES, levels, factors, strict=True)
    }
    known = {side: np.bincount(getattr(graph, f"edge_{side}s"), weights) for side in SIDES}
    placements = {
        side: fit_placement(getattr(graph, f"{side}_features"), vectors[side], known[side], recipe.mapper)
        for side in SIDES
    }
    meta = _meta_scores(graph, vectors, placements, known["model"], recipe.mapper)
    return Space(mean, vectors, placements, meta, scale, precision, losses)


def _precision(rest, weights, graph):
    """Of each cell, how little scores spread on its dataset beside all others; drawn to 1 where there are few."""
    ends, overall = graph.edge_datasets, np.average(rest**2, weights=weights)
    if not overall > 0:
        return np.ones(len(rest))
    sums = np.bincount(ends, weights * rest**2) + _PRIOR_RECORDS * overall
    found = (overall * (np.bincount(ends, weights) + _PRIOR_RECORDS) / sums)[ends]
    return found / np.average(found, weights=weights)


def _spread(rest, weights, graph):
    """The standard deviation of the residuals; zero where they are nothing but rounding."""
    spread = float(np.sqrt(np.average(rest**2, weights=weights)))
    return spread if spread > 1e-10 * np.abs(graph.scores).max() else 0.0


def _levels(graph, weights, recipe):
    """The mean, and the level of each model and of each dataset."""
    if recipe.center == "both":
        return additive_effects(graph, recipe.shrinkage)
    levels = {side: np.zeros(len(getattr(graph, f"{side}s"))) for side in SIDES}
    if recipe.center == "none":
        return 0.0, *levels.values()
    mean = float(np.average(graph.scores, weights=weights))
    ends = getattr(graph, f"edge_{recipe.center}s")
    results = np.bincount(ends, weights) + recipe.shrinkage
    levels[recipe.center] = np.bincount(ends, weights * (graph.scores - mean)) / results
    return mean, *levels.values()


def _meta_scores(graph, vectors, placements, known, mapper):
    """What the features of each model say of its average score, less that score."""
    average = vectors["model"][:, 0] + vectors["model"][:, 1:] @ placements["dataset"].center[1:]
    told = fit_mapper(graph.model_features, average, known, mapper)
    return np.zeros(len(average)) if told is None else told.predict(graph.model_features) - average


def learn_weights(graph, recipe, n_splits, rng):
    """How far to trust the placement of an unknown dataset, and the features of a model beside its own results.

    Datasets are held out in turn; what their scores, relative to the other models of the dataset, are best explained
    by is found by least squares.

    Parameters
    ----------
    graph : Graph
    recipe : Recipe
    n_splits : int
    rng : numpy.random.RandomState

    Returns
    -------
    trust, meta_weight : float
        From 0 to 1.
    """
    if graph.n_edges > _ENOUGH_RECORDS:
        graph = _restricted(graph, _some_models(graph, rng)[graph.edge_models])[0]
    if graph.n_datasets < _LEAST_DATASETS:
        return 1.0, 0.0
    folds = rng.permutation(graph.n_datasets) % min(n_splits, graph.n_datasets)
    parts = [_held_out(graph, recipe, folds == fold, rng) for fold in range(folds.max() + 1)]
    causes, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
    weights = np.array([1.0, 0.0])
    varies = causes.any(axis=0)
    if varies.any():
        # The solver stops by sizes that are absolute.
        unit = np.ldexp(1.0, int(np.frexp(np.abs(scores).max())[1]))
        weights[varies] = lsq_linear(causes[:, varies] / unit, scores / unit, (0.0, 1.0)).x
    return tuple(weights.tolist())


def _some_models(graph, rng):
    """Models drawn until there are enough records, at least one."""
    order = rng.permutation(graph.n_models)
    n_before = np.cumsum(np.bincount(graph.edge_models, minlength=graph.n_models)[order])
    chosen = np.zeros(graph.n_models, dtype=bool)
    chosen[order[: 1 + np.searchsorted(n_before, _ENOUGH_RECORDS)]] = True
    return chosen


def _held_out(graph, recipe, datasets, rng):
    """For the results of the held-out datasets: what the placement and the features say, and what is to be told."""
    out = datasets[graph.edge_datasets]
    if out.all():
        return np.zeros((0, 2)), np.zeros(0)
    part, kept = _restricted(graph, ~out)
    space = fit_space(part, recipe, rng)
    position = np.full(graph.n_models, -1)
    position[kept] = np.arange(len(kept))
    edges = np.flatnonzero(out & (position[graph.edge_models] >= 0))
    models, ends = position[graph.edge_models[edges]], graph.edge_datasets[edges]
    vectors, placement = space.vectors["model"], space.placements["dataset"]
    placed = placement.place(graph.dataset_features[datasets])[np.cumsum(datasets)[ends] - 1]
    average = vectors[:, 0] + vectors[:, 1:] @ placement.center[1:]
    special = np.einsum("ij,ij->i", vectors[models, 1:], placed[:, 1:] - placement.center[1:])
    table = np.column_stack([special, space.meta[models], graph.scores[edges] - average[models]])
    root = np.sqrt(graph.weights[edges])
    centered = root[:, None] * _within(table, ends, graph.weights[edges])
    return centered[:, :2], centered[:, 2]


def _within(table, groups, weights):
    """Each column less its weighted mean over the group."""
    totals = np.maximum(np.bincount(groups, weights), np.finfo(float).tiny)
    sums = [np.bincount(groups, weights * column) / totals for column in table.T]
    return table - np.column_stack(sums)[groups] if len(table) else table


def _restricted(graph, kept):
    """The graph of some of the edges, without the nodes that they leave alone; and which models stay."""
    models, edge_models = np.unique(graph.edge_models[kept], return_inverse=True)
    datasets, edge_datasets = np.unique(graph.edge_datasets[kept], return_inverse=True)
    part = replace(
        graph,
        models=graph.models[models],
        datasets=graph.datasets[datasets],
        edge_models=edge_models,
        edge_datasets=edge_datasets,
        scores=graph.scores[kept],
        weights=graph.weights[kept],
        model_features=graph.model_features[models],
        dataset_features=graph.dataset_features[datasets],
        pair_features=graph.pair_features[kept],
    )
    return part, models


def settle(space, graph, recipe, trust, meta_weight):
    """Merge what results and features say of the known models and datasets.

    Factors are drawn to where the features place them rather than to zero, so those with few results stand near their
    likes; the level of a model moves by its weight towards what its features say.

    Parameters
    ----------
    space : Space
    graph : Graph
    recipe : Recipe
    trust, meta_weight : float
        See :func:`learn_weights`.

    Returns
    -------
    Space
    """
    vectors = {side: table.copy() for side, table in space.vectors.items()}
    placements = dict(space.placements)
    placements["dataset"] = replace(placements["dataset"], trust=trust)
    if space.scale > 0:
        weights = space.precision
        levels = vectors["model"][graph.edge_models, 0] + vectors["dataset"][graph.edge_datasets, 0]
        rest = weights * (graph.scores - space.mean - levels)
        places, shape = (graph.edge_models, graph.edge_datasets), (graph.n_models, graph.n_datasets)
        cells, sums = csr_array((weights, places), shape=shape), csr_array((rest, places), shape=shape)
        alpha = recipe.alpha * space.scale
        for side, other, table in (("dataset", "model", lambda t: t.T.tocsr()), ("model", "dataset", lambda t: t)):
            prior = placements[side].place(getattr(graph, f"{side}_features"))[:, 1:]
            prior = prior if placements[side].level is not None else np.zeros_like(prior)
            solved = solve_rows(table(cells), table(sums), vectors[other][:, 1:], alpha, prior)
            vectors[side][:, 1:] = solved
    vectors["model"][:, 0] += meta_weight * space.meta
    return replace(space, vectors=vectors, placements=placements)
