"""Measures of how the rows lie: GBC, TransRate and LFC."""

__all__ = ["gbc", "gbc_of", "lfc", "lfc_of", "transrate", "transrate_of"]

import numpy as np
from scipy.spatial.distance import cdist

from ._arrays import cholesky, class_sums, float_copy, host, namespace
from ._inputs import check_choice, check_count, check_positive, read_targets
from ._moments import UNLABELLED, Moments

#: The authors' floor of a class's variance along an axis.
_VARIANCE_FLOOR = 1e-4


def gbc(features, labels, *, covariance="spherical", n_dims=64):
    r"""Gaussian Bhattacharyya coefficient: minus the overlap of the classes, each taken as a Gaussian.

    :math:`-\sum_{a \ne b} e^{-D_B(a, b)}` over ordered pairs of classes with the Bhattacharyya distance :math:`D_B`,
    between :math:`-C(C-1)` and 0.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    covariance : {"spherical", "diag"}, default="spherical"
        Form of the Gaussians.
    n_dims : int or None, default=64
        Number of principal components, in which the Gaussians are fitted; None keeps the features as they are.

    Returns
    -------
    score : float

    Notes
    -----
    Pándy et al., "Transferability Estimation Using Bhattacharyya Class Separability", CVPR 2022. As in the authors'
    code no variance along an axis is taken to be less than 1e-4, so classes of one row are allowed, and the score
    depends on the scale of the features. As there, the axes are as many as ``n_dims``, rows and columns allow, also
    where features vary along fewer. Full covariances are not offered: in 64 dimensions their determinants
    underflow.

    Examples
    --------
    >>> from skgat.transferability import gbc
    >>> gbc([[0.0], [0.0], [1.0], [1.0]], [0, 0, 1, 1]) > -1e-100
    True
    """
    return gbc_of(Moments(features, labels), covariance, n_dims)


def gbc_of(m, covariance="spherical", n_dims=64):
    """GBC from moments."""
    check_choice(covariance, "covariance", ("spherical", "diag"))
    if n_dims is None:
        x, n_axes = namespace(m.mean).concatenate([block for _, block in m.blocks()]), m.d
    else:
        check_count(n_dims, "n_dims")
        x, n_axes = m.principal(n_dims)[1], min(n_dims, m.n, m.d)
    counts = m.labels.counts[:, None]
    means = host(class_sums(x, m.codes, m.labels.n_classes)) / counts
    squares = host(class_sums(x * x, m.codes, m.labels.n_classes)) / counts
    # An axis along which nothing varies is an axis of the Gaussians all the same.
    flat = ((0, 0), (0, n_axes - means.shape[1]))
    variances = np.pad(np.maximum(squares - means**2, _VARIANCE_FLOOR), flat, constant_values=_VARIANCE_FLOOR)
    means = np.pad(means, flat)
    overlap = _spherical_overlap if covariance == "spherical" else _diagonal_overlap
    # Twice each pair of classes, once in either order.
    return -2 * overlap(means, variances)


def _spherical_overlap(means, variances):
    first, second = np.triu_indices(len(means), 1)
    variance = variances.mean(axis=1)
    middle = (variance[first] + variance[second]) / 2
    apart = cdist(means, means, "sqeuclidean")[first, second] / (8 * middle)
    wide = means.shape[1] / 2 * np.log(middle / np.sqrt(variance[first] * variance[second]))
    return float(np.exp(-(apart + wide)).sum())


def _diagonal_overlap(means, variances):
    logs = np.log(variances).sum(axis=1) / 2
    total = 0.0
    for label in range(len(means) - 1):
        rest = slice(label + 1, None)
        middle = (variances[label] + variances[rest]) / 2
        apart = ((means[label] - means[rest]) ** 2 / middle).sum(axis=1) / 8
        wide = (np.log(middle).sum(axis=1) - logs[label] - logs[rest]) / 2
        total += np.exp(-(apart + wide)).sum()
    return float(total)


def transrate(features, labels, *, eps=1e-4):
    r"""TransRate: coding rate of the features less that of the features given the class.

    :math:`R(X) - \sum_c \frac{n_c}{n} R(X_c)` with :math:`R(X) = \frac12 \log\det(I + \frac{1}{n \varepsilon} X^\top
    X)`, the features centred on the mean of all rows.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    eps : float, default=1e-4
        Distortion that the code may have.

    Returns
    -------
    score : float
        Not negative.

    Notes
    -----
    Huang et al., "Frustratingly Easy Transferability Estimation", ICML 2022. The classes are weighted by their size,
    as in the paper; one implementation weighs them equally. Rotations of the features change nothing; their scale
    matters.

    Examples
    --------
    >>> from skgat.transferability import transrate
    >>> round(transrate([[-1.0], [-1.0], [1.0], [1.0]], [0, 0, 1, 1]), 6)
    0.0
    >>> round(transrate([[-1.0, 0], [1.0, 0], [0, 1.0], [0, -1.0]], [0, 0, 1, 1]), 3)
    3.912
    """
    return transrate_of(Moments(features, labels), eps)


def transrate_of(m, eps=1e-4):
    """TransRate from moments."""
    check_positive(eps, "eps")
    counts = m.labels.counts
    within = sum(counts[label] * _coding_rate(gram, counts[label], eps) for label, gram in _class_grams(m)) / m.n
    whole = m.kernel if m.n <= m.d else m.gram
    return float(_coding_rate(float_copy(whole), m.n, eps) - within)


def _class_grams(m):
    """Yield the Gram matrix of each class, of its rows or of its columns, whichever is smaller; to be written to."""
    # The Gram matrices of large classes add up to that of all rows, which then need not be computed by itself.
    adds_up = m.n > m.d and "gram" not in m.__dict__ and 2 * m.labels.counts.min() >= m.d
    total = None
    for label in range(m.labels.n_classes):
        rows = m.labels.rows(label)
        if m.n <= m.d:
            gram = m.kernel[rows][:, rows]
        elif adds_up or len(rows) >= m.d:
            blocks = (m.take(part) for part in m.parts(rows))
            gram = sum(block.T @ block for block in blocks)
        else:
            block = m.take(rows)
            gram = block @ block.T
        m.checked(gram)
        if adds_up and total is None:
            total = float_copy(gram)
        elif adds_up:
            total += gram
        yield label, gram
    if adds_up:
        m.__dict__["gram"] = total


def _coding_rate(gram, n, eps):
    """Coding rate from a Gram matrix, which is lost."""
    xp = namespace(gram)
    gram /= float(n) * eps
    if isinstance(gram, np.ndarray):
        gram.flat[:: len(gram) + 1] += 1
    else:
        gram.diagonal().add_(1)
    return float(xp.log(xp.diagonal(cholesky(gram, overwrite=True))).sum())


def lfc(features, labels, *, regression=False):
    r"""Label-feature correlation: how well the products of the features' rows tell which rows share a class.

    The Pearson correlation, over all ordered pairs of rows, of :math:`x_i^\top x_j` with whether :math:`y_i = y_j`.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,) or, with ``regression=True``, (n_samples, n_targets)
        Class labels of any dtype, or real targets.
    regression : bool, default=False
        Whether ``labels`` holds real targets. They are compared by the products of their centred values.

    Returns
    -------
    score : float
        In [-1, 1]; 0 for features that do not vary.

    Notes
    -----
    Deshpande et al., "A linearized framework and a new benchmark for model selection for fine-tuning", 2021. The
    features are not centred, as there; only the mean of all products is taken off. Everything follows from the Gram
    matrix of the columns (or of the rows, if there are fewer); the n x n matrices of an implementation by the letter
    are never formed.

    Examples
    --------
    >>> from skgat.transferability import lfc
    >>> round(lfc([[1.0], [1.0], [-1.0], [-1.0]], ["a", "a", "b", "b"]), 6)
    1.0
    """
    if regression:
        moments = Moments(features, UNLABELLED)
        return lfc_of(moments, read_targets(labels, moments.n))
    return lfc_of(Moments(features, labels))


def lfc_of(m, targets=None):
    """LFC from moments; with the labels unless ``targets`` are given."""
    gram = m.kernel if m.n <= m.d else m.rough_gram
    # With K the products of centred rows and a = X m, the raw products are K + a 1' + 1 a' + m'm.
    offset = sum(float(((block @ m.mean) ** 2).sum()) for _, block in m.blocks())
    feature_squares = float((gram * gram).sum()) + 2 * m.n * offset
    if targets is None:
        counts = m.labels.counts.astype(np.float64)
        label_squares = (counts**2).sum() - (counts**2).sum() ** 2 / m.n**2
        sums, mean = host(m.class_means) * counts[:, None], host(m.mean)
        product = (sums**2).sum() + 2 * counts @ (sums @ mean)
    else:
        targets = targets - targets.mean(axis=0)
        label_squares = ((targets.T @ targets) ** 2).sum()
        product = (sum(host(block.T) @ targets[rows] for rows, block in m.blocks()) ** 2).sum()
    if not feature_squares > 0 or not label_squares > 0:
        return 0.0
    return float(product / np.sqrt(feature_squares * label_squares))
