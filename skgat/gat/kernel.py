"""Kernel regression of scores on models and datasets, in numpy alone; it stands beside the networks.

The covariance of two records is a sum of products of a part about their models and a part about their datasets. A part
says "the same node", "nodes with similar features" or nothing, so that the sum holds effects of nodes, effects of their
features, and how one side's features act on the other side. Similarities are held by a few leading directions, which
makes everything linear in the number of records, and a pair's prediction an inner product of two short vectors.
"""

__all__ = ["COMPONENTS", "KernelRegression", "Strengths", "blocks", "similarity", "solve"]

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotrs
from scipy.sparse import csr_array

from ..graph import SIDES
from ..records import ROLES
from .inference import product
from .leftover import factors_of_rest

#: The summands of the covariance: what is compared of the models and of the datasets.
COMPONENTS = (
    "same model", "similar models", "same dataset", "similar datasets", "similar both",
    "same model on similar datasets", "similar models on same dataset", "similar pairs", "linear pairs",
)  # fmt: skip
#: A similarity is held by at most this many directions, found from at most this many nodes.
_RANK = 128
_LANDMARKS = 512
#: Records that are looked at together, so that what is gathered of their nodes stays in the processor's cache.
_BLOCK = 1_024
_TOLERANCE = 1e-6
#: Steps of the solver; more, where there are few records, up to this product of both.
_MOST_STEPS = 500
_MOST_WORK = 10**7
#: Where they do not suffice, which is so where scores have hardly any noise, so many records are solved for directly.
_MOST_DIRECT = 2_048
#: Effects of so many nodes are solved for at once.
_MOST_EFFECTS = 2_048
#: A product over all pairs is faster than one over the records where pairs are no more than so many, and no more than
#: this many times the records.
_MOST_PAIRS = 2**22
_SPARSITY = 16


@dataclass(frozen=True)
class Strengths:
    """What is chosen of the covariance before it is solved.

    Attributes
    ----------
    variances : array of shape (len(COMPONENTS),)
    noise : float
    lengths : dict of arrays of shape (n_features,)
        By role: the standardised difference of each feature that matters; long for one that does not.
    rest : float
        How much of what is left over is told by a table of low rank.
    """

    variances: np.ndarray
    noise: float
    lengths: dict
    rest: float = 0.0


@dataclass(frozen=True)
class KernelRegression:
    """The solved regression.

    Attributes
    ----------
    strengths : Strengths
    landmarks, projections : dict of arrays
        By role: scaled features, and how similarities to them become coordinates.
    terms : dict of arrays of shape (n_nodes, n_terms)
        By side: the addend of each known node, then its factors.
    attachments : dict of arrays of shape (n_coordinates, n_terms)
        By side: how the coordinates of an unknown node become its terms.
    pair_weights : array of shape (n_landmarks + n_pair_features,)
        Of the similarities to the pairs that are landmarks, then of the features themselves.
    """

    strengths: Strengths
    landmarks: dict
    projections: dict
    terms: dict
    attachments: dict
    pair_weights: np.ndarray

    def attach(self, side, features):
        """The terms of nodes without records, each from its own scaled features."""
        return self._coordinates(side, features) @ self.attachments[side]

    def completed(self, graph, rest, share):
        """The same with a share of what the rest tells, by a table of low rank, of pairs of known nodes.

        Parameters
        ----------
        graph : Graph
            The one that the regression was solved on.
        rest : array of shape (n_edges,)
            What it leaves over.
        share : float

        Returns
        -------
        KernelRegression
        """
        factors = factors_of_rest(graph, rest)
        terms = {side: np.column_stack([self.terms[side], np.sqrt(share) * factors[side]]) for side in SIDES}
        # Nothing is left over of a node without records.
        attachments = {
            side: np.pad(table, ((0, 0), (0, factors[side].shape[1]))) for side, table in self.attachments.items()
        }
        return replace(self, strengths=replace(self.strengths, rest=share), terms=terms, attachments=attachments)

    def predict(self, model, dataset, pair_features):
        """Scores of pairs in the units of training, from the terms of both ends and the scaled pair features."""
        out = model[:, 0] + dataset[:, 0] + np.einsum("pq,pq->p", model[:, 1:], dataset[:, 1:])
        return out + self._pair_term(pair_features)

    def predict_column(self, models, dataset, pair_features):
        """The same of many models with one dataset, whose pairs have the same features."""
        return product(models, dataset[0]) + dataset[:, 0] + self._pair_term(pair_features)

    def _pair_term(self, pair_features):
        """What the features of the pairs add."""
        if not pair_features.shape[1]:
            return 0.0
        similar = similarity(pair_features, self.landmarks["pair"], self.strengths.lengths["pair"])
        n_landmarks = similar.shape[1]
        return similar @ self.pair_weights[:n_landmarks] + pair_features @ self.pair_weights[n_landmarks:]

    def predict_edges(self, graph, pair_features):
        """Scores of all edges of the graph that the regression was solved on."""
        out = np.empty(graph.n_edges)
        for rows in blocks(graph.n_edges):
            ends = (self.terms[side][codes[rows]] for side, codes in _ends(graph).items())
            out[rows] = self.predict(*ends, pair_features[rows])
        return out

    def covariance(self, ends, others, same):
        """How much records have to do with each other, one with each of the others.

        Parameters
        ----------
        ends, others : dict of arrays of shape (n_records, n_features)
            Scaled features by role; a single row in ``ends`` goes with all of the others.
        same : dict of boolean arrays of shape (n_records,)
            By side: whether both records are about the same node.

        Returns
        -------
        array of shape (n_records,)
        """
        near = {
            side: (self._coordinates(side, ends[side]) * self._coordinates(side, others[side])).sum(axis=1)
            for side in SIDES
        }
        v = dict(zip(COMPONENTS, self.strengths.variances, strict=True))
        return (
            v["same model"] * same["model"] + v["similar models"] * near["model"]
            + v["same dataset"] * same["dataset"] + v["similar datasets"] * near["dataset"]
            + v["similar both"] * near["model"] * near["dataset"]
            + v["same model on similar datasets"] * same["model"] * near["dataset"]
            + v["similar models on same dataset"] * near["model"] * same["dataset"]
            + (_of_pairs(self, ends["pair"]) * _of_pairs(self, others["pair"])).sum(axis=1)
        )  # fmt: skip

    def influence(self, graph, features, target, covariance):
        """How much each record moves the prediction of a pair, up to its own leverage.

        Parameters
        ----------
        graph : Graph
        features : dict of arrays
            Scaled, by role.
        target : array of shape (n_edges,)
        covariance : array of shape (n_edges,)
            Of the pair with each record.

        Returns
        -------
        array of shape (n_edges,)
        """
        system = _system(self, graph, features)
        solved = [_conjugate_gradients(system, values) for values in (target, covariance)]
        # Leaving a record out moves a prediction by this, over the record's place on the diagonal of the inverse.
        return np.abs(solved[0] * solved[1]) * system.diagonal()

    def _coordinates(self, role, features):
        similar = similarity(features, self.landmarks[role], self.strengths.lengths[role])
        return similar @ self.projections[role]


def blocks(n_rows):
    """Slices of rows that are looked at together."""
    return (slice(start, start + _BLOCK) for start in range(0, n_rows, _BLOCK))


def _ends(graph):
    """The positions of both ends of every record."""
    return {"model": graph.edge_models, "dataset": graph.edge_datasets}


def similarity(features, others, length):
    """exp(-d / 2) with d the mean squared difference of the features, each over its length."""
    if not features.shape[1]:
        return np.zeros((len(features), len(others)))
    features, others = features / length, others / length
    squared = (features**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * features @ others.T
    return np.exp(-np.maximum(squared, 0.0) / (2.0 * features.shape[1]))


def _basis(role, features, length, like):
    """Landmarks, and the projection of similarities to them on the leading directions."""
    chosen = np.unique(np.linspace(0, len(features) - 1, min(len(features), _LANDMARKS)).astype(np.int64))
    landmarks = features[chosen]
    if not features.shape[1]:
        return landmarks, np.zeros((len(landmarks), 0))
    if like is not None and np.array_equal(landmarks, like.landmarks[role]):
        return landmarks, like.projections[role]
    values, vectors = np.linalg.eigh(similarity(landmarks, landmarks, length))
    leading = np.flatnonzero(values > 1e-9 * values[-1])[::-1][:_RANK]
    return landmarks, vectors[:, leading] / np.sqrt(values[leading])


def _pair_scales(head, n_features):
    """What the coordinates of pairs, and their features, are multiplied by."""
    variances = dict(zip(COMPONENTS, head.strengths.variances, strict=True))
    return np.sqrt(variances["similar pairs"]), np.sqrt(variances["linear pairs"] / max(n_features, 1))


def _of_pairs(head, features):
    similar, linear = _pair_scales(head, features.shape[1])
    rank = head.projections["pair"].shape[1]
    coordinates = np.empty((len(features), rank + features.shape[1]))
    for rows in blocks(len(features)):
        coordinates[rows, :rank] = similar * head._coordinates("pair", features[rows])
        coordinates[rows, rank:] = linear * features[rows]
    return coordinates


class _System:
    """The covariance of all records as a linear map, never as a matrix."""

    def __init__(self, graph, coordinates, of_pairs, strengths):
        self.graph, self.coordinates, self.of_pairs = graph, coordinates, of_pairs
        self.ends = _ends(graph)
        self.variances = dict(zip(COMPONENTS, strengths.variances, strict=True))
        self.noise = strengths.noise * graph.weights.mean() / graph.weights
        self.shape = (graph.n_datasets, graph.n_models)
        n_pairs = graph.n_datasets * graph.n_models
        self.dense = n_pairs <= min(_MOST_PAIRS, _SPARSITY * graph.n_edges)
        self.places = graph.edge_datasets * graph.n_models + graph.edge_models
        self.starts = np.searchsorted(graph.edge_datasets, np.arange(graph.n_datasets + 1))

    def table(self, values):
        """One value a record as a table of datasets by models: of all pairs, if they are few, or sparse."""
        if self.dense:
            return np.bincount(self.places, values, self.shape[0] * self.shape[1]).reshape(self.shape)
        return csr_array((values, self.graph.edge_models, self.starts), shape=self.shape)

    def _gather(self, values):
        """What the nodes gather of one value a record: addends, factors, and what unknown nodes are told of them."""
        v = self.variances
        models, datasets = self.coordinates["model"], self.coordinates["dataset"]
        table = self.table(values)
        of = {side: np.bincount(codes, values, len(self.coordinates[side])) for side, codes in self.ends.items()}
        seen_by_models = table.T @ datasets
        crossed = v["similar both"] * (models.T @ seen_by_models)
        slopes = {
            "model": v["similar models"] * (models.T @ of["model"]),
            "dataset": v["similar datasets"] * (datasets.T @ of["dataset"]),
        }
        addends = {
            side: v[f"same {side}"] * of[side] + self.coordinates[side] @ slope for side, slope in slopes.items()
        }
        factors = {
            "model": models @ crossed + v["same model on similar datasets"] * seen_by_models,
            "dataset": v["similar models on same dataset"] * (table @ models),
        }
        return addends, factors, slopes, crossed

    def summaries(self, values):
        """What the nodes gather of one value a record: terms and how they are attached."""
        models, datasets = self.coordinates["model"], self.coordinates["dataset"]
        addends, factors, slopes, crossed = self._gather(values)
        blank = np.zeros((datasets.shape[1], models.shape[1]))
        attachments = {
            "model": np.column_stack([slopes["model"], crossed, np.eye(models.shape[1])]),
            "dataset": np.column_stack([slopes["dataset"], np.eye(datasets.shape[1]), blank]),
        }
        return self._terms(addends, factors), attachments, self.of_pairs.T @ values

    def _terms(self, addends, factors):
        return {
            "model": np.column_stack([addends["model"], factors["model"], self.coordinates["model"]]),
            "dataset": np.column_stack([addends["dataset"], self.coordinates["dataset"], factors["dataset"]]),
        }

    def __call__(self, values):
        addends, factors, *_ = self._gather(values)
        inner = self._of_all_pairs(addends, factors) if self.dense else self._of_records(addends, factors)
        return inner + self.of_pairs @ (self.of_pairs.T @ values) + self.noise * values

    def _of_all_pairs(self, addends, factors):
        """What both ends say of each record, by way of all pairs."""
        out = self.coordinates["dataset"] @ factors["model"].T
        out += factors["dataset"] @ self.coordinates["model"].T
        out += addends["dataset"][:, None]
        out += addends["model"]
        return out.ravel()[self.places]

    def _of_records(self, addends, factors):
        """The same of the records alone."""
        terms, n_edges = self._terms(addends, factors), self.graph.n_edges
        out = np.empty(n_edges)
        for rows in blocks(n_edges):
            model, dataset = (terms[side][codes[rows]] for side, codes in self.ends.items())
            inner = np.einsum("pq,pq->p", model[:, 1:], dataset[:, 1:])
            out[rows] = model[:, 0] + dataset[:, 0] + inner
        return out

    @cached_property
    def effects(self):
        """What nearly solves the system, for the solver's conditioning; the same for every target."""
        return _Effects(self)

    def matrix(self):
        """The covariance of all records as a matrix."""
        v = self.variances
        near = {side: table @ table.T for side, table in self.coordinates.items()}
        same = {side: np.eye(len(table)) for side, table in near.items()}
        both = {side: np.ix_(codes, codes) for side, codes in self.ends.items()}
        out = np.diag(self.noise) + self.of_pairs @ self.of_pairs.T
        for side in SIDES:
            out += (v[f"same {side}"] * same[side] + v[f"similar {side}s"] * near[side])[both[side]]
        out += v["similar both"] * near["model"][both["model"]] * near["dataset"][both["dataset"]]
        of_model, of_dataset = same["model"][both["model"]], same["dataset"][both["dataset"]]
        out += v["same model on similar datasets"] * of_model * near["dataset"][both["dataset"]]
        out += v["similar models on same dataset"] * near["model"][both["model"]] * of_dataset
        return out

    def diagonal(self):
        """The variance of each record."""
        v = self.variances
        near = {side: (self.coordinates[side] ** 2).sum(axis=1)[codes] for side, codes in self.ends.items()}
        return (
            v["same model"] + v["similar models"] * near["model"]
            + v["same dataset"] + v["similar datasets"] * near["dataset"]
            + v["similar both"] * near["model"] * near["dataset"]
            + v["same model on similar datasets"] * near["dataset"]
            + v["similar models on same dataset"] * near["model"]
            + (self.of_pairs**2).sum(axis=1) + self.noise
        )  # fmt: skip


def _system(head, graph, features):
    coordinates = {side: head._coordinates(side, features[side]) for side in SIDES}
    return _System(graph, coordinates, _of_pairs(head, features["pair"]), head.strengths)


def solve(graph, features, target, strengths, like=None):
    """Fit the regression to the records of a graph.

    Parameters
    ----------
    graph : Graph
    features : dict of arrays
        Scaled, by role.
    target : array of shape (n_edges,)
    strengths : Strengths
    like : KernelRegression, optional
        One of the same strengths. Where it has the same landmarks, directions need not be found again.

    Returns
    -------
    KernelRegression
    """
    bases = {role: _basis(role, features[role], strengths.lengths[role], like) for role in ROLES}
    landmarks = {role: basis[0] for role, basis in bases.items()}
    projections = {role: basis[1] for role, basis in bases.items()}
    head = KernelRegression(strengths, landmarks, projections, {}, {}, np.zeros(0))
    system = _system(head, graph, features)
    values = _conjugate_gradients(system, target)
    terms, attachments, weights = system.summaries(values)
    rank = projections["pair"].shape[1]
    similar, linear = _pair_scales(head, features["pair"].shape[1])
    pair_weights = np.concatenate([projections["pair"] @ (similar * weights[:rank]), linear * weights[rank:]])
    solved = KernelRegression(strengths, landmarks, projections, terms, attachments, pair_weights)
    return solved.completed(graph, system.noise * values, strengths.rest) if strengths.rest else solved


class _Effects:
    """What is nearly the inverse of a system: effects of models and of datasets as they are, all else independent.

    The effects of the side with more nodes drop out of the equations one by one; those of the other side are solved
    for, unless they are too many.
    """

    def __init__(self, system):
        graph, v = system.graph, system.variances
        sides = sorted(SIDES, key=lambda side: -getattr(graph, f"n_{side}s"))
        self.ends = [system.ends[side] for side in sides]
        self.sizes = [getattr(graph, f"n_{side}s") for side in sides]
        self.roots = np.sqrt([v[f"same {side}"] + v[f"similar {side}s"] for side in sides])
        self.weights = 1.0 / (system.diagonal() - v["same model"] - v["same dataset"])
        self.own, others = (1.0 + root**2 * self._sum(i, self.weights) for i, root in enumerate(self.roots))
        self.factor = None
        if self.sizes[1] <= _MOST_EFFECTS:
            table = system.table(self.roots.prod() * self.weights)
            table = table if sides[0] == "dataset" else table.T
            self.crossed, self.turned = (table, table.T) if system.dense else (table.tocsr(), table.T.tocsr())
            rest = self.turned @ (self.crossed * (1.0 / self.own)[:, None])
            self.factor = cho_factor(np.diag(others) - (rest if system.dense else rest.toarray()), lower=True)[0]

    def _sum(self, side, values):
        return np.bincount(self.ends[side], values, self.sizes[side])

    def __call__(self, values):
        weighted = self.weights * values
        first = self.roots[0] * self._sum(0, weighted)
        effects = 0.0
        if self.factor is not None:
            second = self.roots[1] * self._sum(1, weighted) - self.turned @ (first / self.own)
            # Without the checks of cho_solve, which take longer than to solve for a few dozen effects.
            second, _ = dpotrs(self.factor, second, lower=True)
            first = first - self.crossed @ second
            effects = self.roots[1] * second[self.ends[1]]
        return weighted - self.weights * (effects + self.roots[0] * (first / self.own)[self.ends[0]])


def _conjugate_gradients(system, target):
    """Solve ``system(values) = target``, if it takes too many steps directly."""
    nearly_solve = system.effects
    values = np.zeros_like(target)
    rest = target.copy()
    goal = _TOLERANCE * np.linalg.norm(target)
    direction = scaled = nearly_solve(rest)
    length = rest @ scaled
    for _ in range(max(_MOST_STEPS, _MOST_WORK // len(target) if len(target) > _MOST_DIRECT else 0)):
        if np.linalg.norm(rest) <= goal:
            return values
        image = system(direction)
        step = length / (direction @ image)
        values = values + step * direction
        rest = rest - step * image
        scaled = nearly_solve(rest)
        before, length = length, rest @ scaled
        direction = scaled + (length / before) * direction
    if len(target) <= _MOST_DIRECT:
        return cho_solve(cho_factor(system.matrix(), lower=True), target)
    return values
