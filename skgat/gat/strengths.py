"""Chooses the strengths of the kernel regression by what it predicts of records that are left out."""

__all__ = ["choose_strengths"]

import numpy as np
import torch
from scipy.optimize import minimize
from torch.autograd.function import once_differentiable

from ..records import ROLES
from .kernel import COMPONENTS, Strengths
from .runtime import as_tensor, one_thread, to_numpy

#: Where the search starts: effects of nodes first, interactions small.
_START = {
    "same model": 0.3, "similar models": 0.3, "same dataset": 0.05, "similar datasets": 0.05, "similar both": 0.1,
    "same model on similar datasets": 0.1, "similar models on same dataset": 0.1, "similar pairs": 0.1,
    "linear pairs": 0.1,
}  # fmt: skip
_NOISE = 0.3
_LENGTH = 1.0
#: The search looks at this many excerpts of about so many records.
_EXCERPTS = 4
_MOST_RECORDS = 250
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
    with one_thread():
        whole = graph.n_edges <= 2 * _MOST_RECORDS
        excerpts = [np.arange(graph.n_edges)] if whole else [_excerpt(graph, rng) for _ in range(_EXCERPTS)]
        parts = [_Excerpt(graph, features, target, edges) for edges in excerpts]

        def loss_at(point):
            logs = as_tensor(point * _FIRST_STEP, "cpu", torch.float64).requires_grad_(True)
            errors = sum(part.error(logs) for part in parts) / len(parts)
            loss = errors + (logs.new_tensor(price) * (logs - logs.new_tensor(start)).square()).sum()
            loss.backward()
            return loss.item(), to_numpy(logs.grad) * _FIRST_STEP

        # That of torch would import a compiler, which takes seconds. The first step of this one is of length one.
        limits = {"maxiter": _MOST_STEPS, "maxfun": _MOST_TRIALS, "ftol": _LEAST_GAIN}
        found = minimize(loss_at, start / _FIRST_STEP, jac=True, method="L-BFGS-B", options=limits).x * _FIRST_STEP
    variances, noise, lengths = _split(as_tensor(found, "cpu", torch.float64), widths)
    lengths = {role: to_numpy(length) for role, length in lengths.items()}
    return Strengths(to_numpy(variances), float(noise), lengths)


def _excerpt(graph, rng):
    """The records between some models and some datasets: few enough, and as many as possible of each."""
    fill = graph.n_edges / (graph.n_models * graph.n_datasets)
    cells = _MOST_RECORDS / fill
    n_models = min(graph.n_models, int(np.ceil(cells / min(graph.n_datasets, np.sqrt(cells)))))
    n_datasets = min(graph.n_datasets, int(np.ceil(cells / n_models)))
    models = rng.permutation(graph.n_models)[:n_models]
    datasets = rng.permutation(graph.n_datasets)[:n_datasets]
    edges = np.flatnonzero(np.isin(graph.edge_models, models) & np.isin(graph.edge_datasets, datasets))
    # A block without results would say nothing; any records are better.
    enough = len(edges) >= _MOST_RECORDS // 4
    return edges[: 2 * _MOST_RECORDS] if enough else np.sort(rng.permutation(graph.n_edges)[:_MOST_RECORDS])


def _groups(codes):
    """The rows of each node, stacked for nodes with equally many: arrays of shape (n_nodes, n_rows)."""
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    sizes = np.array([len(part) for part in parts])
    return [torch.as_tensor(np.stack([parts[i] for i in np.flatnonzero(sizes == size)])) for size in np.unique(sizes)]


def _split(logs, widths):
    """Variances, noise and the lengths of all features by role: what they have in common, times their own."""
    values = logs.clamp(-10.0, 4.0).exp()
    n_components, n_roles = len(COMPONENTS), len(ROLES)
    variances, noise, common, own = values.split([n_components, 1, n_roles, sum(widths)])
    lengths = [shared * part for shared, part in zip(common, own.split(widths), strict=True)]
    return variances, noise[0], dict(zip(ROLES, lengths, strict=True))


class _Excerpt:
    """The errors on what is left out of an excerpt, as a function of the logarithms of the strengths."""

    def __init__(self, graph, features, target, edges):
        ends = {"model": graph.edge_models[edges], "dataset": graph.edge_datasets[edges]}
        self.target = as_tensor(target[edges], "cpu", torch.float64)
        self.noise = as_tensor(graph.weights.mean() / graph.weights[edges], "cpu", torch.float64)
        self.nodes, self.rows = {}, {}
        for role, codes in (*ends.items(), ("pair", edges)):
            nodes, rows = np.unique(codes, return_inverse=True)
            self.nodes[role] = as_tensor(features[role][nodes], "cpu", torch.float64)
            self.rows[role] = torch.as_tensor(rows)
        self.same = {side: torch.as_tensor(codes[:, None] == codes).double() for side, codes in ends.items()}
        pairs = as_tensor(features["pair"][edges], "cpu", torch.float64)
        self.products = pairs @ pairs.T / max(pairs.shape[1], 1)
        self.groups = {side: _groups(codes) for side, codes in ends.items()}
        self.n_groups = {side: sum(len(rows) for rows in groups) for side, groups in self.groups.items()}
        counts = self.same["dataset"].sum(dim=0)
        self.means = self.same["dataset"] / counts

    def covariance(self, logs):
        """The covariance matrix of the records, noise included."""
        variances, noise, lengths = _split(logs, [self.nodes[role].shape[1] for role in ROLES])
        v = dict(zip(COMPONENTS, variances, strict=True))
        similar = {role: self._similar(role, lengths[role]) for role in ROLES}
        same = self.same
        # Grouped by factors: on whole matrices every product less counts.
        matrix = (
            same["model"] * (v["same model"] + v["same model on similar datasets"] * similar["dataset"])
            + similar["model"] * (
                v["similar models"] + v["similar both"] * similar["dataset"]
                + v["similar models on same dataset"] * same["dataset"]
            )
            + v["same dataset"] * same["dataset"] + v["similar datasets"] * similar["dataset"]
        )  # fmt: skip
        if self.nodes["pair"].shape[1]:
            matrix = matrix + v["similar pairs"] * similar["pair"] + v["linear pairs"] * self.products
        return matrix + torch.diag(noise * self.noise + _JITTER * (1.0 + variances.sum()))

    def _similar(self, role, lengths):
        """How similar the nodes of all pairs of records are."""
        table, rows = self.nodes[role], self.rows[role]
        if not table.shape[1]:
            return torch.zeros_like(self.products)
        squared = torch.pdist(table / lengths).square() / table.shape[1]
        ones = table.new_ones(len(table), len(table))
        upper, lower = torch.triu_indices(len(table), len(table), 1)
        similar = ones.index_put((upper, lower), (-squared / 2.0).exp())
        return similar.index_put((lower, upper), (-squared / 2.0).exp())[rows][:, rows]

    def error(self, logs):
        """The log root mean squared error, summed over the ways to leave out."""
        return _Errors.apply(self.covariance(logs), self)


class _Errors(torch.autograd.Function):
    """The errors of an excerpt as a function of the covariance matrix.

    What is left out is predicted from the inverse: a record by its row, all records of a node by their block. The
    derivative is by hand because blocks are few: their part of it is of as low a rank as there are nodes.
    """

    @staticmethod
    def forward(ctx, matrix, excerpt):
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
        values, diagonal = inverse @ excerpt.target, inverse.diagonal()
        alone = values / diagonal
        error, pull = _log_error(alone)
        of_values, of_matrix = pull / diagonal, (inverse * (pull * alone / diagonal)) @ inverse
        for side, groups in excerpt.groups.items():
            if excerpt.n_groups[side] <= 2:
                continue
            factors = [torch.linalg.cholesky(inverse[rows[:, :, None], rows[:, None, :]]) for rows in groups]
            rest = _solve(groups, factors, values)
            # The level of a dataset that is left out is not the matter here, the order of the models is.
            off = rest - excerpt.means @ rest if side == "dataset" else rest
            one_error, pull = _log_error(off)
            error += one_error
            pull = _solve(groups, factors, pull)
            of_values += pull
            nodes = excerpt.rows[side][:, None]
            pulls, rests = (
                torch.zeros_like(inverse[:, : excerpt.n_groups[side]]).scatter_(1, nodes, vector[:, None])
                for vector in (pull, rest)
            )
            of_matrix += (inverse @ pulls) @ (inverse @ rests).T
        ctx.save_for_backward(of_matrix - torch.outer(inverse @ of_values, values))
        return error

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (of_matrix,) = ctx.saved_tensors
        return gradient * of_matrix, None


def _log_error(off):
    """The log root mean squared error, and its derivative."""
    square = off.square().mean() + 1e-12
    return 0.5 * square.log(), off / (len(off) * square)


def _solve(groups, factors, vector):
    """The blocks' inverses times the parts of a vector."""
    found = torch.empty_like(vector)
    for rows, factor in zip(groups, factors, strict=True):
        found[rows] = torch.cholesky_solve(vector[rows][..., None], factor)[..., 0]
    return found
