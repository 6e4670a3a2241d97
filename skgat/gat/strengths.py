"""Chooses the strengths of the kernel regression by what it predicts of records that are left out."""

__all__ = ["choose_strengths"]

import numpy as np
from scipy.linalg import LinAlgError, lapack
from scipy.optimize import minimize

from ..graph import SIDES
from ..records import ROLES
from .kernel import COMPONENTS, Strengths, similarity

#: Where the search starts: effects of nodes first, interactions small.
_START = {
    "same model": 0.3, "similar models": 0.3, "same dataset": 0.05, "similar datasets": 0.05, "similar both": 0.1,
    "same model on similar datasets": 0.1, "similar models on same dataset": 0.1, "similar pairs": 0.1,
    "linear pairs": 0.1,
}  # fmt: skip
_NOISE = 0.3
_LENGTH = 1.0
#: The search looks at this many excerpts, each of about so many records, or of so large a share of all if that is more,
#: up to a limit.
_EXCERPTS = 4
_FEW_RECORDS = 250
_SHARE = 0.05
_MOST_RECORDS = 600
_MOST_STEPS = 15
_MOST_TRIALS = 12
#: The first step has this length, in logarithms.
_FIRST_STEP = 2.0
#: A step that gains less, relative to all that is lost, is the last.
_LEAST_GAIN = 1e-4
#: What a step by a factor e away from the start costs, over the number of datasets: what is to be learned is how the
#: records of one dataset speak of another, and that can be seen as often as there are datasets in an excerpt.
_PRIOR = 0.25
_MOST_DATASETS = 60
_JITTER = 1e-4
#: Smaller and larger logarithms count as these.
_RANGE = -10.0, 4.0


def choose_strengths(graph, features, target, seed):
    """The strengths with the smallest errors on left-out records, left-out datasets and left-out models.

    Every record, every dataset and every model is left out in turn, which takes no further fits: the predictions
    follow from one inverse. Few nodes say little, so the strengths stay near a common start where there are few.

    Parameters
    ----------
    graph : Graph
    features : dict of arrays
        Scaled, by role.
    target : array of shape (n_edges,)
    seed : int

    Returns
    -------
    Strengths
    """
    rng = np.random.default_rng(seed)
    widths = [features[role].shape[1] for role in ROLES]
    start = np.log([_START[name] for name in COMPONENTS] + [_NOISE] + [_LENGTH] * (len(ROLES) + sum(widths)))
    n_datasets = min(graph.n_datasets, _MOST_DATASETS)
    price = np.full(len(start), _PRIOR / n_datasets)
    # That one feature matters more than another can only be told by many datasets.
    price[len(start) - sum(widths) :] *= (_MOST_DATASETS / n_datasets) ** 2
    size = min(max(_FEW_RECORDS, round(_SHARE * graph.n_edges)), _MOST_RECORDS)
    whole = graph.n_edges <= 2 * size
    excerpts = [np.arange(graph.n_edges)] if whole else [_excerpt(graph, size, rng) for _ in range(_EXCERPTS)]
    parts = [_Excerpt(graph, features, target, edges) for edges in excerpts]

    def loss_at(point):
        logs = point * _FIRST_STEP
        errors, gradients = zip(*(part.error(logs) for part in parts), strict=True)
        away = logs - start
        loss = np.mean(errors) + price @ away**2
        return loss, _FIRST_STEP * (np.mean(gradients, axis=0) + 2.0 * price * away)

    # The first step of this search is of length one.
    limits = {"maxiter": _MOST_STEPS, "maxfun": _MOST_TRIALS, "ftol": _LEAST_GAIN}
    found = minimize(loss_at, start / _FIRST_STEP, jac=True, method="L-BFGS-B", options=limits).x * _FIRST_STEP
    variances, noise, lengths = _split(found, widths)
    return Strengths(variances, float(noise), lengths)


def _excerpt(graph, size, rng):
    """About so many records between some models and some datasets, and as many as possible of each."""
    fill = graph.n_edges / (graph.n_models * graph.n_datasets)
    cells = size / fill
    n_models = min(graph.n_models, int(np.ceil(cells / min(graph.n_datasets, np.sqrt(cells)))))
    n_datasets = min(graph.n_datasets, int(np.ceil(cells / n_models)))
    models = rng.permutation(graph.n_models)[:n_models]
    datasets = rng.permutation(graph.n_datasets)[:n_datasets]
    edges = np.flatnonzero(np.isin(graph.edge_models, models) & np.isin(graph.edge_datasets, datasets))
    # A block without results would say nothing; any records are better.
    enough = len(edges) >= size // 4
    return edges[: 2 * size] if enough else np.sort(rng.permutation(graph.n_edges)[:size])


def _split(logs, widths):
    """Variances, noise and the lengths of all features by role: what they have in common, times their own."""
    values = np.exp(np.clip(logs, *_RANGE))
    variances, noise, common, *own = np.split(values, np.cumsum([len(COMPONENTS), 1, len(ROLES), *widths[:-1]]))
    return variances, noise[0], {role: shared * part for role, shared, part in zip(ROLES, common, own, strict=True)}


class _Side:
    """Which records are about which nodes of a side.

    Attributes
    ----------
    nodes : integer array of shape (n_nodes,)
    at : array of shape (n_records, n_nodes)
        One where a record is about a node.
    groups : list of integer arrays of shape (n_nodes, n_rows)
        The records of each node, stacked for nodes with equally many.
    same : integer array
        Where two records are about the same node, in the matrix of all pairs of records read row by row.
    """

    def __init__(self, codes):
        self.nodes, codes = np.unique(codes, return_inverse=True)
        n_nodes = len(self.nodes)
        self.at = np.eye(n_nodes)[codes]
        counts = np.bincount(codes)
        rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
        self.groups = [np.stack([rows[i] for i in np.flatnonzero(counts == count)]) for count in np.unique(counts)]
        self.same = np.flatnonzero(codes[:, None] == codes)
        self._cells = codes[:, None] * n_nodes + codes

    def expand(self, table, places=None):
        """What a table says of two nodes, for every pair of records, or for those in some places as in ``same``."""
        return table.take(self._cells if places is None else self._cells.take(places))

    def gather(self, matrix):
        """The opposite: a matrix of pairs of records, added up at the two nodes."""
        return self.at.T @ (matrix @ self.at)

    def gather_at(self, places, values):
        """The same of a matrix that is zero elsewhere."""
        n_nodes = len(self.nodes)
        return np.bincount(self._cells.take(places), values, n_nodes**2).reshape(n_nodes, n_nodes)

    def level(self, values):
        """The mean over the records of the same node."""
        return self.at @ (values @ self.at / self.at.sum(axis=0))

    def solver(self, inverse):
        """A function of a vector: each node's part of it, times the inverse of the node's block of a matrix."""
        blocks = [(rows, np.linalg.inv(inverse[rows[:, :, None], rows[:, None, :]])) for rows in self.groups]

        def solve(vector):
            found = np.empty_like(vector)
            for rows, block in blocks:
                found[rows] = (block @ vector[rows][:, :, None])[:, :, 0]
            return found

        return solve


class _Excerpt:
    """The errors on what is left out of an excerpt, as a function of the logarithms of the strengths.

    Derivatives are by hand: what is left out are as few blocks as there are nodes, and what a covariance hangs on is
    the same for all records of a node, so that most of a derivative is about tables of nodes and little about records.
    """

    def __init__(self, graph, features, target, edges):
        self.sides = {side: _Side(getattr(graph, f"edge_{side}s")[edges]) for side in SIDES}
        self.tables = {name: features[name][side.nodes] for name, side in self.sides.items()}
        self.tables["pair"] = pairs = features["pair"][edges]
        self.widths = [self.tables[role].shape[1] for role in ROLES]
        self.products = pairs @ pairs.T / max(pairs.shape[1], 1)
        self.target = target[edges]
        self.noise = graph.weights.mean() / graph.weights[edges]

    def error(self, logs):
        """The log root mean squared error, summed over the ways to leave out, and its derivative."""
        matrix, *factors = self.covariance(logs)
        error, of_matrix = self._errors(_inverse(matrix))
        return error, self._of_logs(logs, *factors, of_matrix)

    def covariance(self, logs):
        """The covariance matrix of the records, noise included.

        Returns
        -------
        matrix : array of shape (n_records, n_records)
        similar : dict of arrays
            By role: how similar two nodes are.
        crossed : pair of arrays of the shape of the matrix
            Two parts about models and about datasets, whose product is a part of the matrix.
        """
        variances, noise, lengths = _split(logs, self.widths)
        v = dict(zip(COMPONENTS, variances, strict=True))
        similar = {role: similarity(table, table, lengths[role]) for role, table in self.tables.items()}
        model, dataset = self.sides["model"], self.sides["dataset"]
        of_models = model.expand(v["similar both"] * similar["model"] + v["similar datasets"])
        of_datasets = dataset.expand(similar["dataset"])
        matrix = of_models * of_datasets
        matrix += model.expand(v["similar models"] * similar["model"])
        at = matrix.reshape(-1)
        near = of_datasets.take(model.same)
        at[model.same] += v["same model"] + v["same model on similar datasets"] * near
        near = model.expand(similar["model"], dataset.same)
        at[dataset.same] += v["same dataset"] + v["similar models on same dataset"] * near
        if self.widths[-1]:
            matrix += v["similar pairs"] * similar["pair"]
            matrix += v["linear pairs"] * self.products
        at[:: len(matrix) + 1] += noise * self.noise + _JITTER * (1.0 + variances.sum())
        return matrix, similar, (of_models, of_datasets)

    def _errors(self, inverse):
        """The error and its derivative by the covariance matrix, whose inverse is given.

        A record that is left out is predicted from its row of the inverse, all records of a node from their block.
        """
        values, diagonal = inverse @ self.target, inverse.diagonal()
        alone = values / diagonal
        error, pull = _log_error(alone)
        of_matrix = (inverse * (pull * alone / diagonal)) @ inverse
        of_values, pulls, rests = pull / diagonal, [], []
        for name, side in self.sides.items():
            if len(side.nodes) <= 2:
                continue
            solve = side.solver(inverse)
            rest = solve(values)
            # The level of a dataset that is left out is not the matter here, the order of the models is.
            one_error, pull = _log_error(rest - side.level(rest) if name == "dataset" else rest)
            error += one_error
            pull = solve(pull)
            of_values += pull
            pulls.append(pull[:, None] * side.at)
            rests.append(rest[:, None] * side.at)
        pulls, rests = np.column_stack([*pulls, -of_values]), np.column_stack([*rests, self.target])
        return error, of_matrix + (inverse @ pulls) @ (inverse @ rests).T

    def _of_logs(self, logs, similar, crossed, of_matrix):
        """The derivative by the logarithms of the strengths, from that by the covariance matrix."""
        variances, noise, lengths = _split(logs, self.widths)
        v = dict(zip(COMPONENTS, variances, strict=True))
        model, dataset = self.sides["model"], self.sides["dataset"]
        of_models, of_datasets = crossed
        same = {name: of_matrix.take(side.same) for name, side in self.sides.items()}
        all_of, crossed_of = model.gather(of_matrix), model.gather(of_matrix * of_datasets)
        of_similar = {
            "model": v["similar models"] * all_of
            + v["similar both"] * crossed_of
            + v["similar models on same dataset"] * model.gather_at(dataset.same, same["dataset"]),
            "dataset": dataset.gather(of_matrix * of_models)
            + v["same model on similar datasets"] * dataset.gather_at(model.same, same["model"]),
            "pair": v["similar pairs"] * of_matrix,
        }
        of_variances = {
            "same model": same["model"].sum(),
            "similar models": np.vdot(all_of, similar["model"]),
            "same dataset": same["dataset"].sum(),
            "similar datasets": crossed_of.sum(),
            "similar both": np.vdot(crossed_of, similar["model"]),
            "same model on similar datasets": same["model"] @ of_datasets.take(model.same),
            "similar models on same dataset": same["dataset"] @ model.expand(similar["model"], dataset.same),
            "similar pairs": np.vdot(of_matrix, similar["pair"]),
            "linear pairs": np.vdot(of_matrix, self.products),
        }
        of_lengths = [
            _of_lengths(self.tables[role] / lengths[role], of_similar[role] * similar[role]) for role in ROLES
        ]
        found = np.concatenate(
            [
                variances * ([of_variances[name] for name in COMPONENTS] + _JITTER * of_matrix.trace()),
                [noise * (of_matrix.diagonal() @ self.noise)],
                [own.sum() for own in of_lengths],
                *of_lengths,
            ]
        )
        return np.where((logs >= _RANGE[0]) & (logs <= _RANGE[1]), found, 0.0)


def _inverse(matrix):
    """The inverse of a symmetric positive definite matrix."""
    # Products are so much faster than what LAPACK inverts by that one more of them pays.
    factor, info = lapack.dpotrf(matrix.T, lower=True)
    if info:
        raise LinAlgError("The covariance of the records is not positive definite.")
    root, _ = lapack.dtrtri(factor, lower=True, overwrite_c=True)
    return root.T @ root


def _of_lengths(features, of_similar):
    """The derivative by the logarithm of each feature's length, from that by the similarities, times these.

    ``features`` are in units of their lengths.
    """
    squares = features**2
    ends = (of_similar.sum(axis=0) + of_similar.sum(axis=1)) @ squares
    return (ends - 2.0 * ((of_similar @ features) * features).sum(axis=0)) / max(features.shape[1], 1)


def _log_error(off):
    """The log root mean squared error, and its derivative."""
    square = np.mean(off**2) + 1e-12
    return 0.5 * np.log(square), off / (len(off) * square)
