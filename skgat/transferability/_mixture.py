"""A Gaussian mixture on principal components, small and quick, on the device where the features live."""

__all__ = ["mixture_posteriors"]

import numpy as np

from ._arrays import like, namespace

_MAX_ITER = 50
#: Gain in log likelihood, per row and dimension, below which the fit has converged.
_TOL = 1e-4


def mixture_posteriors(m, n_components, energy, covariance, random_state):
    """Posterior probabilities of the components for each row.

    Parameters
    ----------
    m : Moments
    n_components : int
        At most as many as there are rows are used.
    energy : float
        Share of the variance that the principal components keep.
    covariance : {"diag", "spherical"}
    random_state : int

    Returns
    -------
    posteriors : array of shape (n_samples, n_components)
    """
    x = m.principal(energy=energy)[1]
    n_components = min(n_components, m.n)
    means = _start(x, n_components, np.random.default_rng(random_state))
    xp = namespace(x)
    variance = x.var(axis=0) if isinstance(x, np.ndarray) else x.var(axis=0, correction=0)
    floor = 1e-6 * float(variance.mean()) or 1.0
    variances = xp.zeros_like(means) + variance.clip(floor, None)
    weights = like(np.full(n_components, 1 / n_components), x)
    squares = x * x
    before = -np.inf
    for _ in range(_MAX_ITER):
        posteriors, likelihood = _expect(x, squares, means, variances, weights)
        if likelihood - before < _TOL * x.shape[1]:
            break
        before = likelihood
        means, variances, weights = _maximise(x, squares, posteriors, floor, covariance)
    return posteriors


def _start(x, k, rng):
    """Rows far from each other: k-means++ seeds, a sixteenth of them drawn at a time."""
    xp = namespace(x)
    squares = (x * x).sum(axis=1)
    chosen = [int(rng.integers(len(x)))]
    nearest = None
    per_round = max(1, k // 16)
    while len(chosen) < k:
        fresh = x[like(np.array(chosen[-per_round:] if nearest is not None else chosen), x)]
        distance = xp.amin(squares[:, None] - 2 * (x @ fresh.T) + (fresh * fresh).sum(axis=1), 1).clip(0, None)
        nearest = distance if nearest is None else xp.minimum(nearest, distance)
        weights = np.asarray(nearest.cpu() if not isinstance(nearest, np.ndarray) else nearest, dtype=np.float64).copy()
        weights[chosen] = 0
        count = min(per_round, k - len(chosen))
        if (weights > 0).sum() < count:
            weights = np.ones(len(weights))
            weights[chosen] = 0
        chosen.extend(rng.choice(len(x), size=count, replace=False, p=weights / weights.sum()).tolist())
    return x[like(np.array(chosen), x)]


def _expect(x, squares, means, variances, weights):
    """Posteriors of the components and the mean log likelihood of the rows."""
    xp = namespace(x)
    precisions = 1 / variances
    constant = xp.log(weights) - 0.5 * (xp.log(variances).sum(axis=1) + (means * means * precisions).sum(axis=1))
    logs = x @ (means * precisions).T - 0.5 * (squares @ precisions.T) + constant
    top = xp.amax(logs, 1)[:, None]
    logs -= top
    xp.exp(logs, out=logs)
    totals = logs.sum(axis=1)[:, None]
    logs /= totals
    return logs, float((top + xp.log(totals)).mean())


def _maximise(x, squares, posteriors, floor, covariance):
    """Means, variances and weights of the components given the posteriors."""
    xp = namespace(x)
    mass = posteriors.sum(axis=0) + 1e-12
    means = posteriors.T @ x / mass[:, None]
    variances = posteriors.T @ squares / mass[:, None] - means * means
    if covariance == "spherical":
        variances = xp.zeros_like(variances) + variances.mean(axis=1)[:, None]
    return means, variances.clip(floor, None), mass / mass.sum()
