"""PACTran: PAC-Bayesian bounds on the loss that fine-tuning reaches."""

__all__ = ["pactran", "pactran_of", "pactran_of_probabilities"]

from itertools import pairwise

import numpy as np
from scipy.special import digamma, gammaln

from ._arrays import as_single, host, is_torch, like, namespace
from ._inputs import Features, check_choice, check_count, check_positive, read_labels, read_probabilities
from ._mixture import mixture_posteriors
from ._moments import Moments
from ._softmax import fit_softmax

_BOUNDS = ("dirichlet", "gamma", "gaussian")
_MAX_ITER = 300
#: Improvement of the bound, in nats a row, below which it has converged.
_TOL = 1e-6
_CHUNK = 256
#: Above this number of entries the rounds run in single precision; the bound they lead to is taken in double.
_SINGLE_ENTRIES = 2**20


def pactran(inputs, labels, *, bound="dirichlet", alpha=1.0, inputs_are="auto", n_components=None, random_state=0):
    r"""PACTran: minus a PAC-Bayesian bound on the cross entropy, per row.

    Parameters
    ----------
    inputs : array-like of shape (n_samples, n_source_classes) or (n_samples, n_features)
        The source model's probabilities, or its features. A numpy array or a torch tensor; a tensor on a GPU is
        computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    bound : {"dirichlet", "gamma", "gaussian"}, default="dirichlet"
        The prior, and so the bound. The first two are on probabilities (of features: on the posteriors of a Gaussian
        mixture, as :func:`nleep`), the last is on features.
    alpha : float, default=1.0
        Strength of the prior: total weight of the prior counts of each source class ("dirichlet", "gamma"), or the
        weight of the penalty's inverse in units of the number of rows ("gaussian").
    inputs_are : {"auto", "probabilities", "features"}, default="auto"
        By default inputs of which every row is a distribution are taken as probabilities.
    n_components : int, optional
        Number of Gaussians of the mixture; by default the number of classes, but no more than a fifth and no less
        than a tenth of the samples.
    random_state : int, default=0
        Seed of the mixture; nothing else is random.

    Returns
    -------
    score : float

    Notes
    -----
    Ding et al., "PACTran: PAC-Bayesian Metrics for Estimating the Transferability of Pretrained Models to
    Classification Tasks", ECCV 2022. The bounds are those of the paper, brought to convergence and divided by the
    number of rows; where they have several minima, which differ by thousandths, it is the one that descending from the
    prior leads to. The authors' code runs ten rounds and divides by the number of classes as well; in the Gamma bound
    it leaves the rate at its prior value, where here it is optimised too; in the Gaussian bound it takes the
    curvature of the summed where the bound has that of the mean loss, and starts from an unseeded draw. Ranks of
    models are alike.

    The Gaussian bound is :math:`L(\hat\theta) + \frac{\|w\|^2}{2 \lambda \sigma_0^2} + \frac{k}{2\lambda} \log(1 +
    \lambda \sigma_0^2 \operatorname{tr} H / k)` with :math:`k` weights, :math:`\lambda \sigma_0^2 = \alpha n` and
    :math:`\sigma_0^2 = 10 / d`.

    Examples
    --------
    >>> from skgat.transferability import pactran
    >>> P = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]]
    >>> pactran(P, [0, 0, 1, 1]) > pactran(P, [0, 1, 0, 1])
    True
    """
    check_choice(inputs_are, "inputs_are", ("auto", "probabilities", "features"))
    source = Features(inputs, "inputs")
    given = inputs_are
    if given == "auto":
        given = "probabilities" if bound != "gaussian" and _distributions(source) else "features"
    if given == "probabilities":
        check_choice(bound, "bound", _BOUNDS)
        if bound == "gaussian":
            raise ValueError("Got bound='gaussian' with probabilities, but expected features.")
        probabilities = read_probabilities(inputs)
        return pactran_of_probabilities(probabilities, read_labels(labels, source.n_rows), bound, alpha)
    return pactran_of(Moments(inputs, labels), bound, alpha, n_components, random_state)


def _distributions(source):
    # As it comes, but for the sums: in half precision these are rounded by more than is allowed for.
    for rows in source.slices():
        block = source.source[rows]
        block = block.detach() if is_torch(block) else block
        dtype = namespace(block).promote_types(block.dtype, namespace(block).float32)
        if not (float(block.min()) >= 0 and float(abs(block.sum(axis=1, dtype=dtype) - 1).max()) <= 1e-2):
            return False
    return True


def pactran_of(m, bound="dirichlet", alpha=1.0, n_components=None, random_state=0):
    """PACTran of features from moments."""
    check_choice(bound, "bound", _BOUNDS)
    check_positive(alpha, "alpha")
    if bound == "gaussian":
        return -float(_gaussian(m, alpha))
    if n_components is None:
        n_components = max(min(m.labels.n_classes, m.n // 5), m.n // 10, 1)
    check_count(n_components, "n_components")
    posteriors = mixture_posteriors(m, n_components, 0.8, "diag", random_state)
    return pactran_of_probabilities(posteriors, m.labels, bound, alpha)


def pactran_of_probabilities(probabilities, labels, bound="dirichlet", alpha=1.0):
    """The Dirichlet or the Gamma bound."""
    check_positive(alpha, "alpha")
    prior = alpha * labels.counts / len(labels)
    start = np.broadcast_to(prior[:, None], (len(prior), probabilities.shape[1]))
    rows = [like(labels.rows(label), probabilities) for label in range(labels.n_classes)]
    step, state = (
        (_dirichlet_step, (start,)) if bound == "dirichlet" else (_gamma_step, (start, np.ones(start.shape[1])))
    )
    large = probabilities.shape[0] * probabilities.shape[1] > _SINGLE_ENTRIES
    by_class = [as_single(probabilities[index]) if large else probabilities[index] for index in rows]
    value, state = _descend(lambda state: step(by_class, prior, *state), state, _TOL * len(labels))
    if large:
        value, _ = step((probabilities[index] for index in rows), prior, *state)
    return -float(value) / len(labels)


def _descend(step, state, tol):
    """Repeat a step, which never raises the value, until it hardly lowers it; the value and the state that it led to.

    Every third round starts from where the last two point to (squared extrapolation, Varadhan and Roland 2008), in the
    logarithms of the state, as long as this pays: plain steps take hundreds of rounds where they leave a saddle. It is
    over when the three together lower the value no more.
    """
    after = step(state)
    for _ in range(_MAX_ITER // 3):
        before = after
        first = step(before[1])
        second = step(first[1])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # Where this leads out of the numbers, or up, it is not followed.
            onward = step(_extrapolated(before[1], first[1], second[1]))
        after = onward if onward[0] <= second[0] else second
        if before[0] - after[0] < 3 * tol:
            break
    return after


def _extrapolated(*states):
    logs = [[np.log(part) for part in state] for state in states]
    moved = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(logs)]
    turned = [b - a for a, b in zip(*moved, strict=True)]
    length, bend = (np.sqrt(sum((part**2).sum() for part in parts)) for parts in (moved[0], turned))
    reach = max(1.0, length / bend) if bend > 0 else 1.0
    return tuple(
        np.exp(start + 2 * reach * move + reach**2 * turn)
        for start, move, turn in zip(logs[0], moved[0], turned, strict=True)
    )


def _assign(by_class, logs):
    """Assign each row to the source classes in proportion to its probability times its class's factor.

    Gives the summed assignments of each class to each source class, and their part of the bound: the assignments
    themselves are never formed. The factors come as logarithms; with many classes they are far below what can be held.
    """
    sums, value = np.empty(logs.shape), 0.0
    factors = np.exp(logs - logs.max(axis=1, keepdims=True))
    for label, block in enumerate(by_class):
        factor, inverse = _in_precision_of(factors[label], block), 0
        floor = namespace(block).finfo(block.dtype).tiny
        # Both products of a few rows at a time, so that these are read from memory once.
        for start in range(0, len(block), _CHUNK):
            part = block[start : start + _CHUNK]
            totals = (part @ factor).clip(floor, None)
            inverse = inverse + part.T @ (1 / totals)
            value -= float(np.log(host(totals)).sum(dtype=np.float64))
        value -= len(block) * logs[label].max()
        sums[label] = factors[label] * host(inverse)
    return sums, value + (sums * logs).sum()


def _in_precision_of(values, block):
    """A vector as the rows of a block can be multiplied with it."""
    return values.astype(block.dtype) if isinstance(block, np.ndarray) else like(values, block)


def _dirichlet_step(by_class, prior, posterior):
    sums, value = _assign(by_class, digamma(posterior) - digamma(posterior.sum(axis=0)))
    posterior = prior[:, None] + sums
    n_source = posterior.shape[1]
    value += n_source * (gammaln(prior).sum() - gammaln(prior.sum()))
    value += gammaln(posterior.sum(axis=0)).sum() - gammaln(posterior).sum()
    return value, (posterior,)


def _gamma_step(by_class, prior, posterior, rate):
    by_class = list(by_class)
    mass = posterior.sum(axis=0)
    inverse, value = 0.0, 0.0
    for block in by_class:
        level = block @ _in_precision_of(mass / rate, block)
        inverse = inverse + host(block.T @ (1 / level))
        value += float(np.log(host(level)).sum(dtype=np.float64)) - len(block)
    sums, assigned = _assign(by_class, digamma(posterior) - np.log(rate))
    posterior, rate = prior[:, None] + sums, 1 + inverse
    value += assigned + posterior.shape[1] * gammaln(prior).sum()
    value += (posterior * np.log(rate)).sum() - gammaln(posterior).sum()
    return value, (posterior, rate)


def _gaussian(m, alpha):
    m = m.compact
    x = namespace(m.mean).concatenate([block for _, block in m.blocks()])
    reach = alpha * m.n
    # In units of the features' own: the search starts with steps of about 1.
    unit = np.sqrt(m.square_norms.mean() / m.ambient) or 1.0
    x /= unit
    weights, bias, loss = fit_softmax(x, m.codes, m.labels.n_classes, 1 / (reach * unit**2), max_iter=500)
    logits = host(x @ weights + bias)
    logits -= logits.max(axis=1, keepdims=True)
    posteriors = np.exp(logits)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    # The trace of the Hessian of the mean loss with respect to the weights.
    curvature = (m.square_norms * (1 - (posteriors**2).sum(axis=1))).mean()
    n_weights = m.ambient * m.labels.n_classes
    variance = 10 / m.ambient
    return loss + 0.5 * n_weights / reach * variance * np.log1p(reach * curvature / n_weights)
