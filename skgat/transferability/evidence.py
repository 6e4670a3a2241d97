"""LogME: how probable the labels are under a Bayesian linear model of the features."""

__all__ = ["logme", "logme_of"]

import numpy as np

from ._arrays import eigh, host, like
from ._inputs import read_targets
from ._moments import UNLABELLED, Moments

#: The unexplained share of a target is taken to be at least this: an exact fit has no finite evidence.
_NOISE_FLOOR = 1e-12
_GRID_STEP = np.log(10) / 2


def logme(features, labels, *, regression=False):
    r"""Logarithm of the maximum evidence (LogME) per sample.

    The evidence of a target :math:`y` under :math:`y = Xw + e`, :math:`w \sim N(0, \alpha^{-1} I)`, :math:`e \sim
    N(0, \beta^{-1} I)`, at the :math:`(\alpha, \beta)` that maximise it, averaged over the one-hot columns of the
    labels (or over the targets). Higher is better. There is no intercept, as in the paper.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,) or, with ``regression=True``, (n_samples, n_targets)
        Class labels of any dtype, or real targets.
    regression : bool, default=False
        Whether ``labels`` holds real targets.

    Returns
    -------
    score : float

    Notes
    -----
    You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021. For a given
    :math:`t = \alpha / \beta` the best :math:`\beta` is known in closed form, so the evidence is a function of
    :math:`\log t` alone; it is searched on a grid and polished by Newton steps, for all classes at once. This gives
    the maximum itself, where the usual fixed point stops after some rounds, depends on the scale of the features
    through a constant in its updates, and, with fewer samples than features, leaves a part of the determinant out.

    A target that features of a rank below n fit exactly has no finite evidence; its unexplained variance is taken to
    be 1e-12 of its mean square.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import logme
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3, size=200)
    >>> good = np.eye(3)[y] + 0.3 * rng.normal(size=(200, 3))
    >>> logme(good, y) > logme(rng.normal(size=(200, 3)), y)
    True
    """
    if regression:
        moments = Moments(features, UNLABELLED)
        return logme_of(moments, read_targets(labels, moments.n))
    return logme_of(Moments(features, labels))


def logme_of(m, targets=None):
    """LogME from moments; of the one-hot columns of the labels unless ``targets`` are given."""
    if targets is None:
        squares = m.labels.counts.astype(np.float64)
    else:
        squares = (targets**2).sum(axis=0)
        if not squares.all():
            raise ValueError(f"Got the target in column {squares.argmin()} that is 0 throughout, expected it to vary.")
    values, power = _spectrum(m, targets)
    keep = values > max(m.n, m.d) * np.finfo(np.float64).eps * values.max(initial=0)
    return float(_best_evidence(values[keep], power[keep], squares, m.n).mean())


def _spectrum(m, targets):
    """Eigenvalues of the raw ``X X'`` and the squared projections of each target on its eigenvectors."""
    if m.n <= m.d:
        # Computed from the centred kernel, of which the offset is a correction of rank two.
        shift = m.take(np.arange(m.n)) @ m.mean
        values, vectors = eigh(m.kernel + shift[:, None] + shift[None, :] + m.mean @ m.mean)
        columns = _one_hot(m.labels) if targets is None else targets
        return host(values), host(vectors.T @ like(columns, vectors)) ** 2
    values, vectors = eigh(m.gram + m.n * m.mean[:, None] * m.mean[None, :])
    products = host(vectors.T @ (m.sums if targets is None else _cross(m, targets)).T)
    values = host(values)
    return values, products**2 / np.where(values > 0, values, 1)[:, None]


def _one_hot(labels):
    return np.equal.outer(labels.codes, np.arange(labels.n_classes)).astype(np.float64)


def _cross(m, targets):
    targets = like(targets, m.mean)
    product = targets.sum(axis=0)[:, None] * m.mean
    for rows, block in m.blocks():
        product = product + targets[rows].T @ block
    return product


def _best_evidence(values, power, squares, n):
    """Maximum log evidence per sample of each target (a column of ``power``)."""
    if not len(values):
        return -0.5 * (np.log(2 * np.pi * squares / n) + 1)
    # Features of full rank n leave nothing unexplained, and their determinant keeps the evidence finite.
    rest = np.maximum(squares - power.sum(axis=0), _NOISE_FLOOR * squares) if len(values) < n else 0 * squares
    # Below, the evidence rises whatever the target: an unexplained share of the noise floor has its best ratio above.
    low = np.log(values.min()) + np.log(_NOISE_FLOOR / n) - _GRID_STEP
    logs = np.arange(low, np.log(values.max()) + 25, _GRID_STEP)
    share = 1 / (1 + values / np.exp(logs)[:, None])
    quadratic = rest + share @ power
    profile = -n * np.log(quadratic) + np.log(share).sum(axis=1, keepdims=True)
    start = profile.argmax(axis=0)
    best = _polish(values, power, rest, n, logs[start])
    return 0.5 * (best / n + np.log(n / (2 * np.pi)) - 1)


def _polish(values, power, rest, n, logs):
    """Newton steps on the profile, kept between the neighbours on the grid."""
    low, high = logs - _GRID_STEP, logs + _GRID_STEP
    for _ in range(60):
        down = 1 / (1 + values[:, None] * np.exp(-logs))
        both = down * (1 - down)
        weighted = power * both
        q = rest + (power * down).sum(axis=0)
        q1 = weighted.sum(axis=0)
        q2 = (weighted * (1 - 2 * down)).sum(axis=0)
        slope = -n * q1 / q + (1 - down).sum(axis=0)
        bend = -n * (q2 / q - (q1 / q) ** 2) - both.sum(axis=0)
        low, high = np.where(slope > 0, logs, low), np.where(slope > 0, high, logs)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = logs - slope / bend
        inside = (bend < 0) & (newton > low) & (newton < high)
        after = np.where(inside, newton, (low + high) / 2)
        moved = np.abs(after - logs).max()
        logs = after
        # The profile is flat at its top: an error of 1e-6 here is one of 1e-12 there.
        if moved < 1e-6:
            break
    down = 1 / (1 + values[:, None] * np.exp(-logs))
    return -n * np.log(rest + (power * down).sum(axis=0)) + np.log(down).sum(axis=0)
