"""Measures of how far apart the classes are for how wide they are: the H-scores and SFDA."""

__all__ = [
    "Discriminant",
    "h_score",
    "h_score_of",
    "ledoit_wolf",
    "own_probability",
    "regularized_h_score",
    "regularized_h_score_of",
    "sfda",
    "sfda_of",
    "sfda_posteriors",
    "shrunk",
]

import warnings

import numpy as np

from ._arrays import cho_solve, cholesky, class_sums, eigh, host, like, namespace
from ._inputs import check_fraction
from ._moments import Moments

#: Squared pivot of a correlation matrix below which a column counts as a combination of the others.
_RANK_TOL = 1e-10
#: Relative difference of squared confidences below which two count as equal.
_SAME_CONFIDENCE = 1e-13


def h_score(features, labels):
    r"""H-score: share of the features' variance that the classes explain, summed over directions.

    :math:`\operatorname{tr}(\Sigma^{+} \Sigma_b) = \sum_c \frac{n_c}{n-1} (m_c - m)^\top \Sigma^{+} (m_c - m)`,
    between 0 and the number of classes less 1. It does not change under any invertible linear map of the features.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.

    Returns
    -------
    score : float
        0 for features that do not vary.

    Warns
    -----
    UserWarning
        If there are no more samples than features. The score is then as high as it can be whatever the features are
        (unless rows repeat); use :func:`regularized_h_score`.

    Notes
    -----
    Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019. The
    inverse is a Cholesky solve. Only where columns depend on each other is it a pseudo-inverse, and directions that
    are rounding noise are left out of it; a pseudo-inverse that keeps them (cut at 1e-15) exceeds the bound at will.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import h_score
    >>> y = np.repeat([0, 1, 2], 50)
    >>> X = np.eye(3)[y] + np.random.default_rng(0).normal(scale=1e-3, size=(150, 3))
    >>> round(h_score(X, y), 3)
    2.0
    """
    return h_score_of(Moments(features, labels))


def h_score_of(m):
    """H-score from moments."""
    if m.n <= m.d:
        warnings.warn(
            f"h_score of {m.n} samples with {m.d} features is as high as it can be whatever the features are; "
            "use regularized_h_score.",
            UserWarning,
            stacklevel=3,
        )
    m = m.compact
    xp = namespace(m.gram)
    variances = xp.diagonal(m.gram)
    varies = variances > 0
    if not bool(varies.any()):
        return 0.0
    gram, means = m.gram, m.class_means
    if not bool(varies.all()):
        gram, means, variances = gram[varies][:, varies], means[:, varies], variances[varies]
    scale = 1 / xp.sqrt(variances)
    correlations, means = gram * scale[:, None] * scale[None, :], means * scale
    # Models that are all as high as it goes are equal; rounding must not rank them.
    return round(_weighted_trace(correlations, means, m.counts), 9)


def _weighted_trace(correlations, means, counts):
    """``sum_c n_c m_c' R^+ m_c``."""
    factor = cholesky(correlations)
    xp = namespace(correlations)
    if factor is not None and float(xp.diagonal(factor).min()) ** 2 > _RANK_TOL:
        solved = cho_solve(factor, means.T)
        return float(((means.T * solved).sum(axis=0) * counts).sum())
    values, vectors = eigh(correlations)
    keep = values > _RANK_TOL * values[-1]
    projected = (means @ vectors[:, keep]) ** 2 / values[keep]
    return float((projected.sum(axis=1) * counts).sum())


def regularized_h_score(features, labels):
    r"""H-score with the covariance shrunk as Ledoit and Wolf do, for few samples.

    :math:`(1 - a) \operatorname{tr}(\Sigma_a^{-1} \Sigma_b)` with
    :math:`\Sigma_a = (1 - a) \Sigma + a \frac{\operatorname{tr} \Sigma}{d} I` and the :math:`a` of Ledoit and Wolf.
    Unlike :func:`h_score` it is informative when there are fewer samples than features.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.

    Returns
    -------
    score : float
        0 for features that do not vary.

    Notes
    -----
    Ibrahim et al., "Newer is not always better: Rethinking transferability metrics, their peculiarities, stability
    and performance", 2021. The covariance is divided by n, that between the classes by n - 1, as in the authors'
    code. Rotations and a common scale of the features change nothing; a scale of single columns does.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import regularized_h_score
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 20)
    >>> noise = rng.normal(size=(40, 100))
    >>> regularized_h_score(noise + 2 * y[:, None], y) > regularized_h_score(noise, y)
    True
    """
    return regularized_h_score_of(Moments(features, labels))


def regularized_h_score_of(m):
    """Regularised H-score from moments."""
    m = m.compact
    xp = namespace(m.gram)
    cov = m.gram / m.n
    level = float(xp.diagonal(cov).sum()) / m.ambient
    if not level > 0:
        return 0.0
    shrinkage = ledoit_wolf(m.square_norms, float((cov * cov).sum()), level, m.ambient)
    factor = cholesky(shrunk(cov, shrinkage, level), overwrite=True)
    if factor is None:
        # Without any shrinkage a singular covariance has only its pseudo-inverse.
        return _weighted_trace(cov, m.class_means, m.counts) / (m.n - 1)
    solved = cho_solve(factor, m.class_means.T)
    trace = ((m.class_means.T * solved).sum(axis=0) * m.counts).sum()
    return (1 - shrinkage) * float(trace) / (m.n - 1)


def ledoit_wolf(square_norms, cov_squares, level, d):
    """Ledoit and Wolf's shrinkage from the squared norms of the centred rows and the sum of squares of the covariance.

    ``level`` is the mean variance of the ``d`` columns. The mean of the fourth powers of the norms is all that the
    rows' own products contribute, so no second Gram matrix is needed.
    """
    n = len(square_norms)
    spread = (np.mean(square_norms**2) - cov_squares) / n
    distance = cov_squares - d * level**2
    # Where the covariance is a multiple of the identity there is nothing to shrink to.
    if spread <= 0 or distance <= 1e-14 * cov_squares:
        return 0.0
    return float(min(spread, distance) / distance)


def shrunk(scatter, shrinkage, level):
    """``(1 - shrinkage) scatter + shrinkage level I``."""
    out = (1 - shrinkage) * scatter
    if isinstance(out, np.ndarray):
        out.flat[:: len(out) + 1] += shrinkage * level
    else:
        out.diagonal().add_(shrinkage * level)
    return out


def sfda(features, labels, *, shrinkage=None, log=False):
    r"""Self-challenging Fisher discriminant analysis (SFDA).

    A regularised Fisher discriminant gives the probability of each row's class; each row is mixed with the mean of
    the other classes the more the less probable its class is; a second discriminant is fitted to the harder rows. The
    score is its mean probability of the true class.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    shrinkage : float in [0, 1], optional
        How far the scatter within the classes is drawn to a multiple of the identity; by default
        :math:`\max(e^{-5 \lambda}, 10^{-10})` with :math:`\lambda` (about) its largest eigenvalue.
    log : bool, default=False
        Whether to average the logarithm of the probability, as in the paper's text, instead of the probability
        itself, as in the authors' code, which published figures come from.

    Returns
    -------
    score : float
        In [0, 1] (or not positive with ``log=True``). Features that do not vary at all give the expected share of a
        row's own class, classes that do not vary within themselves give 1 (0 with ``log=True``).

    Notes
    -----
    Shao et al., "Not All Models Are Equal: Predicting Model Transferability in a Self-challenging Fisher Space", ECCV
    2022. :math:`\lambda` is what three rounds of the power method from the row sums give, the reading of the authors'
    code. It makes the score depend on the scale of the features. The score saturates at 1 where the classes are
    linearly separable, which they always are with fewer samples than features; it ranks no models there. In place of
    a generalised eigenproblem, linear systems are solved with the scatter within the classes, which gives the same
    number.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import sfda
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3, size=300)
    >>> X = rng.normal(size=(300, 5))
    >>> sfda(X + np.eye(3, 5)[y], y) > sfda(X, y)
    True
    """
    return sfda_of(Moments(features, labels), shrinkage=shrinkage, log=log)


def sfda_of(m, shrinkage=None, log=False):
    """SFDA from moments."""
    if shrinkage is not None:
        check_fraction(shrinkage, "shrinkage")
    probabilities = np.concatenate(
        [host(own_probability(p, m.codes[rows])) for rows, p in sfda_posteriors(m, shrinkage)]
    )
    if log:
        probabilities = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return float(probabilities.mean())


def own_probability(posteriors, codes):
    """The probability of each row's own class."""
    xp = namespace(posteriors)
    return posteriors[xp.arange(len(codes), **_device(posteriors)), like(codes, posteriors)]


def _device(x):
    return {} if isinstance(x, np.ndarray) else {"device": x.device}


def sfda_posteriors(m, shrinkage=None):
    """Yield ``(rows, class probabilities)`` of SFDA's second discriminant, block by block."""
    m = m.compact
    priors = m.labels.counts / m.n
    level, collapsed = _level(m.within, m.class_means, m)
    if collapsed:
        yield from _collapsed(m, priors)
        return
    if shrinkage is None:
        shrinkage = max(np.exp(-5 * _power_method(m.within, m.ones)), 1e-10)
    first = Discriminant(m.class_means, m.within, priors, shrinkage, level)
    others = (m.class_means.sum(axis=0) - m.class_means) / (m.labels.n_classes - 1)
    confidence = [_soften(first.posteriors(block), m.codes[rows]) for rows, block in m.blocks()]
    means, within = _mixed_moments(m, confidence, others)
    level, collapsed = _level(within, means, m)
    if collapsed:
        yield from _collapsed(m, priors)
        return
    second = Discriminant(means, within, priors, shrinkage, level)
    shift = others @ second.coef
    for (rows, block), own in zip(m.blocks(), confidence, strict=True):
        logits = own[:, None] * (block @ second.coef) + (1 - own)[:, None] * shift[like(m.codes[rows], block)]
        yield rows, _softmax_in_place(logits + second.intercept)


def _mixed_moments(m, confidence, others):
    """Class means and scatter within the classes of the rows ``p x + (1 - p) o``, which are never formed."""
    n_classes = m.labels.n_classes
    # X' diag(p^2) X is the Gram matrix times the largest p^2 less what the other rows have too much of that. Rows that
    # are sure of their class share the largest p and cost nothing; the least p is a third of it, so no digits are lost.
    top = max(float(own.max()) for own in confidence) ** 2
    scatter = top * m.gram
    sums, crossed, remainder, squares = 0, 0, 0, 0
    for (rows, block), own in zip(m.blocks(), confidence, strict=True):
        codes, rest = m.codes[rows], 1 - own
        scatter -= _excess_gram(block, top - own * own, top)
        sums = sums + class_sums(block, codes, n_classes, own)
        crossed = crossed + class_sums(block, codes, n_classes, own * rest)
        remainder = remainder + class_sums(rest[:, None], codes, n_classes)
        squares = squares + class_sums(rest[:, None] ** 2, codes, n_classes)
    means = (sums + remainder * others) / m.counts[:, None]
    concatenate = namespace(scatter).concatenate
    left = concatenate([crossed, others, others * squares, -means * m.counts[:, None]])
    scatter += left.T @ concatenate([others, crossed, others, means])
    scatter /= m.n
    return means, scatter


def _excess_gram(block, excess, top):
    far = excess > _SAME_CONFIDENCE * top
    if not bool(far.all()):
        block, excess = block[far], excess[far]
    scaled = block * excess[:, None] ** 0.5
    return scaled.T @ scaled


def _level(within, means, m):
    """Mean variance of the original columns within the classes, and whether it is nothing but rounding."""
    level = float(namespace(within).diagonal(within).sum()) / m.ambient
    spread = float((means**2 * m.counts[:, None]).sum()) / m.n / m.ambient
    return level, not level > 1e-14 * spread


def _collapsed(m, priors):
    """Certainty where the classes differ, their shares where nothing does."""
    separated = float((m.class_means**2).sum()) > 0
    for rows, block in m.blocks():
        certain = np.equal.outer(m.codes[rows], np.arange(len(priors))).astype(np.float64)
        yield rows, like(certain if separated else np.broadcast_to(priors, certain.shape), block)


def _power_method(scatter, start):
    """The largest eigenvalue as the authors' code finds it: three rounds from the row sums."""
    x = scatter @ start
    if not float(abs(x).max()) > 0:
        x = scatter[int(namespace(scatter).diagonal(scatter).argmax())]
    for _ in range(3):
        y = scatter @ x
        y = y / (y @ y) ** 0.5
        x = scatter @ y
        x = x / (x @ x) ** 0.5
    return float(x @ (scatter @ y))


class Discriminant:
    """Linear discriminant with a common, shrunk scatter within the classes."""

    def __init__(self, means, within, priors, shrinkage, level):
        factor = cholesky(shrunk(within, shrinkage, level), overwrite=True)
        while factor is None:
            # Rounding has made the scatter indefinite; it is shrunk no more than it takes.
            shrinkage = min(1.0, max(1e-13, 10 * shrinkage))
            factor = cholesky(shrunk(within, shrinkage, level), overwrite=True)
        self.coef = cho_solve(factor, means.T)
        with np.errstate(divide="ignore"):
            logs = np.log(priors)
        self.intercept = like(logs, means) - 0.5 * (means.T * self.coef).sum(axis=0)

    def posteriors(self, x):
        """Class probabilities of rows."""
        return _softmax_in_place(x @ self.coef + self.intercept)


def _softmax_in_place(logits):
    xp = namespace(logits)
    logits -= xp.amax(logits, 1)[:, None]
    xp.exp(logits, out=logits)
    logits /= logits.sum(axis=1)[:, None]
    return logits


def _soften(posteriors, codes):
    """Softmax of the probabilities themselves, of each row's own class."""
    own = own_probability(posteriors, codes)
    xp = namespace(posteriors)
    xp.exp(posteriors, out=posteriors)
    return xp.exp(own) / posteriors.sum(axis=1)
