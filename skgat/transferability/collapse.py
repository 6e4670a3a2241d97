"""NCTI: how near the features are to the collapsed state at the end of training."""

__all__ = ["PARTS", "ncti", "ncti_parts"]

import numpy as np

from ._arrays import cholesky, class_sums, host, namespace
from ._inputs import check_count
from ._moments import Moments
from .discriminant import Discriminant, shrunk

#: The parts of the score in the order in which they are told.
PARTS = ("seli", "ncc", "vc")


def ncti(features, labels, *, n_dims=64, return_parts=False):
    r"""Neural-collapse transferability index (NCTI).

    Three parts, each higher where the features are nearer to their state at the end of training: ``seli``, the
    nuclear norm of the rows in the Fisher space; ``ncc``, the mean probability of the true class under a
    nearest-centre (linear discriminant) rule; ``vc``, minus the logarithm of the classes' nuclear norms of these
    probabilities, which is high where the rows of a class are alike.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype; at least one class must have two rows.
    n_dims : int, default=64
        Number of principal components that the features are reduced to.
    return_parts : bool, default=False
        Whether to return the three parts instead of their sum.

    Returns
    -------
    score : float, or dict with the keys ``"seli"``, ``"ncc"`` and ``"vc"``
        The parts are in different units, so their sum means little by itself. :func:`score_zoo` scales each part to
        [0, 1] over the models before it adds them up, which is the index of the paper.

    Notes
    -----
    Wang et al., "How Far Pre-trained Models Are from Neural Collapse on the Target Dataset Informs their
    Transferability", ICCV 2023. As in the authors' code, the scatter within the classes is shrunk by
    :math:`\max(e^{-v}, 10^{-10})` with :math:`v` the variance of the first 32 components.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import ncti
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3, size=300)
    >>> X = rng.normal(size=(300, 5))
    >>> near = ncti(X + 3 * np.eye(3, 5)[y], y, return_parts=True)
    >>> far = ncti(X, y, return_parts=True)
    >>> [near[part] > far[part] for part in ("seli", "ncc")]
    [True, True]
    """
    parts = ncti_parts(Moments(features, labels), n_dims)
    return parts if return_parts else sum(parts.values())


def ncti_parts(m, n_dims=64):
    """The three parts of NCTI from moments."""
    check_count(n_dims, "n_dims")
    if m.labels.n_classes == m.n:
        raise ValueError("Got labels of which no two rows share a class, but ncti needs the scatter within classes.")
    variances, x = m.principal(n_dims)
    shrinkage = max(np.exp(-variances[:32].sum() * m.n / (m.n - 1)), 1e-10)
    counts = m.counts[:, None]
    means = class_sums(x, m.codes, m.labels.n_classes) / counts
    total = x.T @ x / m.n
    between = (means * counts / m.n).T @ means
    within = total - between
    trace, level = float(namespace(total).diagonal(total).sum()), float(namespace(within).diagonal(within).mean())
    # Classes that do not vary within themselves, or features that do not vary at all, leave a unit to measure in.
    level = max(level, 1e-12 * trace / len(total)) or 1.0
    model = Discriminant(means, within, m.labels.counts / m.n, shrinkage, level)
    posteriors = host(model.posteriors(x))
    collapse = sum(_nuclear_norm(posteriors[m.labels.rows(label)]) for label in range(m.labels.n_classes))
    return {
        "seli": _fisher_norm(host(total), host(between), host(shrunk(within, shrinkage, level)), m),
        "ncc": float(posteriors[np.arange(m.n), m.codes].mean()),
        "vc": -float(np.log(collapse)),
    }


def _fisher_norm(total, between, within, m):
    """Nuclear norm of the rows along the first C - 1 Fisher directions."""
    factor = cholesky(within, clean=True)
    if factor is None:
        factor = cholesky(shrunk(within, 1e-8, np.trace(within) / len(within)), clean=True)
    whitened = np.linalg.solve(factor, np.linalg.solve(factor, between).T)
    k = min(m.labels.n_classes - 1, len(total))
    directions = np.linalg.solve(factor.T, np.linalg.eigh((whitened + whitened.T) / 2)[1][:, -k:])
    values = np.linalg.eigvalsh(directions.T @ total @ directions) * m.n
    return float(np.sqrt(values.clip(0, None)).sum())


def _nuclear_norm(x):
    return np.linalg.svd(x, compute_uv=False).sum()
