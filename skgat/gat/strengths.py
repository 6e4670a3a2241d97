"""Chooses the strengths of the kernel regression by what it predicts of records that are left out."""

__all__ = ["choose_strengths"]

import numpy as np
import torch

from ..graph import SIDES
from ..records import ROLES
from .kernel import COMPONENTS, Strengths
from .runtime import as_tensor, one_thread

#: Where the search starts: effects of nodes first, interactions small.
_START = {
    "same model": 0.3, "similar models": 0.3, "same dataset": 0.05, "similar datasets": 0.05, "similar both": 0.1,
    "same model on similar datasets": 0.1, "similar models on same dataset": 0.1, "similar pairs": 0.1,
    "linear pairs": 0.1,
}  # fmt: skip
_NOISE = 0.3
_LENGTH = 1.0
#: The search looks at this many excerpts of about so many records.
_EXCERPTS = 2
_MOST_RECORDS = 400
_MOST_STEPS = 15
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
    start = np.log([_START[name] for name in COMPONENTS] + [_NOISE] + [_LENGTH] * len(ROLES))
    logs = as_tensor(start, "cpu", torch.float64).requires_grad_(True)
    price = _PRIOR / min(graph.n_datasets, _MOST_DATASETS)
    with one_thread():
        whole = graph.n_edges <= _MOST_RECORDS
        excerpts = [np.arange(graph.n_edges)] if whole else [_excerpt(graph, rng) for _ in range(_EXCERPTS)]
        parts = [_Excerpt(graph, features, target, edges) for edges in excerpts]
        optimizer = torch.optim.LBFGS(
            [logs], max_iter=_MOST_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-4
        )

        def closure():
            optimizer.zero_grad()
            errors = sum(part.error(logs) for part in parts) / len(parts)
            loss = errors + price * (logs - logs.new_tensor(start)).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    variances, noise, lengths = (part.detach().numpy() for part in _split(logs))
    return Strengths(np.array(variances), float(noise), dict(zip(ROLES, lengths.tolist(), strict=True)))


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


def _squared_distances(table, rows):
    table = as_tensor(table, "cpu", torch.float64)[rows]
    if not table.shape[1]:
        return None
    return torch.cdist(table, table, compute_mode="donot_use_mm_for_euclid_dist").square() / table.shape[1]


def _groups(codes):
    order = np.argsort(codes, kind="stable")
    return [torch.as_tensor(part) for part in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)]


def _split(logs):
    """Variances, noise and lengths."""
    values = logs.clamp(-10.0, 4.0).exp()
    n_components = len(COMPONENTS)
    return values[:n_components], values[n_components], values[n_components + 1 :]


class _Excerpt:
    """The errors on what is left out of an excerpt, as a function of the logarithms of the strengths."""

    def __init__(self, graph, features, target, edges):
        ends = {"model": graph.edge_models[edges], "dataset": graph.edge_datasets[edges]}
        self.target = as_tensor(target[edges], "cpu", torch.float64)
        self.noise = as_tensor(graph.weights.mean() / graph.weights[edges], "cpu", torch.float64)
        self.distances = {side: _squared_distances(features[side], ends[side]) for side in SIDES}
        self.distances["pair"] = _squared_distances(features["pair"], edges)
        self.same = {side: torch.as_tensor(codes[:, None] == codes).double() for side, codes in ends.items()}
        pairs = as_tensor(features["pair"][edges], "cpu", torch.float64)
        self.products = pairs @ pairs.T / max(pairs.shape[1], 1)
        self.groups = {side: _groups(codes) for side, codes in ends.items()}
        counts = self.same["dataset"].sum(dim=0)
        self.means = self.same["dataset"] / counts

    def covariance(self, logs):
        """The covariance matrix of the records, noise included."""
        variances, noise, lengths = _split(logs)
        v = dict(zip(COMPONENTS, variances, strict=True))
        similar = {
            role: torch.zeros_like(self.products) if squared is None else (-squared / (2.0 * length**2)).exp()
            for (role, squared), length in zip(self.distances.items(), lengths, strict=True)
        }
        same = self.same
        matrix = (
            v["same model"] * same["model"] + v["similar models"] * similar["model"]
            + v["same dataset"] * same["dataset"] + v["similar datasets"] * similar["dataset"]
            + v["similar both"] * similar["model"] * similar["dataset"]
            + v["same model on similar datasets"] * same["model"] * similar["dataset"]
            + v["similar models on same dataset"] * similar["model"] * same["dataset"]
            + v["similar pairs"] * similar["pair"] + v["linear pairs"] * self.products
        )  # fmt: skip
        return matrix + torch.diag(noise * self.noise + _JITTER * (1.0 + variances.sum()))

    def error(self, logs):
        """The log root mean squared error, summed over the ways to leave out."""
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(self.covariance(logs)))
        values = inverse @ self.target
        errors = [(values / inverse.diagonal()).square().mean()]
        if len(self.groups["dataset"]) > 2:
            # The level of a dataset that is left out is not the matter here, the order of the models is.
            rest = self._left_out("dataset", inverse, values)
            errors.append((rest - self.means @ rest).square().mean())
        if len(self.groups["model"]) > 2:
            errors.append(self._left_out("model", inverse, values).square().mean())
        return 0.5 * (torch.stack(errors) + 1e-12).log().sum()

    def _left_out(self, side, inverse, values):
        """The residuals of all records of each node when none of them is seen."""
        rest = [torch.linalg.solve(inverse[rows][:, rows], values[rows]) for rows in self.groups[side]]
        order = torch.argsort(torch.cat(self.groups[side]))
        return torch.cat(rest)[order]
