"""Measures of how well one set of probabilities or classes tells the labels: LEEP, NLEEP and NCE."""

__all__ = ["leep", "leep_of", "nce", "nleep", "nleep_of"]

import numpy as np

from ._arrays import class_sums, host, like, namespace
from ._inputs import Features, check_choice, check_count, check_fraction, read_labels, read_probabilities
from ._mixture import mixture_posteriors
from ._moments import Moments


def leep(probabilities, labels):
    r"""Log expected empirical prediction (LEEP) of the labels from a source model's probabilities.

    :math:`\frac1n \sum_i \log \sum_s P(y_i \mid s)\, \theta_{is}` with :math:`P(y \mid s)` from the joint of labels
    and source probabilities :math:`\theta`. At most 0.

    Parameters
    ----------
    probabilities : array-like of shape (n_samples, n_source_classes)
        The source model's class probabilities (softmax outputs) of each row. A numpy array or a torch tensor; a
        tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.

    Returns
    -------
    score : float

    Notes
    -----
    Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML 2020. A source
    class that never gets any probability says nothing and takes no part.

    Examples
    --------
    >>> from skgat.transferability import leep
    >>> leep([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], ["cat", "cat", "dog"])
    0.0
    """
    probabilities = read_probabilities(probabilities)
    return leep_of(probabilities, read_labels(labels, len(probabilities)))


def leep_of(probabilities, labels):
    """LEEP from probabilities in double precision."""
    joint = class_sums(probabilities, labels.codes, labels.n_classes)
    marginal = joint.sum(axis=0)
    xp = namespace(joint)
    conditional = joint / xp.where(marginal > 0, marginal, marginal * 0 + 1)
    total = 0.0
    for label in range(labels.n_classes):
        expected = probabilities[like(labels.rows(label), probabilities)] @ conditional[label]
        # A row's own share keeps what is expected above zero, down to what double precision can hold.
        total += float(xp.log(expected.clip(np.finfo(np.float64).tiny, None)).sum())
    return total / len(labels)


def nce(source_labels, labels):
    r"""Negative conditional entropy (NCE) of the labels given the source model's labels.

    :math:`-H(Y \mid Z) = \sum_{y,z} \hat P(y, z) \log \hat P(y \mid z)`, at most 0.

    Parameters
    ----------
    source_labels : array-like of shape (n_samples,) or (n_samples, n_source_classes)
        The class that the source model gives each row, of any dtype; or its probabilities, of which the largest
        counts.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.

    Returns
    -------
    score : float

    Notes
    -----
    Tran et al., "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019. Only pairs of classes
    that occur are summed, so no constant inside the logarithm biases the result.

    Examples
    --------
    >>> from skgat.transferability import nce
    >>> round(nce(["a", "a", "b", "b"], [0, 1, 2, 2]), 4)
    -0.3466
    """
    labels = read_labels(labels)
    source = _source_codes(source_labels, len(labels))
    n_source = int(source.max()) + 1
    pairs, counts = np.unique(labels.codes * n_source + source, return_counts=True)
    given = np.bincount(source, minlength=n_source)[pairs % n_source]
    return float((counts * np.log(counts / given)).sum() / len(labels))


def _source_codes(source, n_rows):
    shape = getattr(source, "shape", None) or np.shape(source)
    if len(shape) == 2 and shape[1] > 1:
        reader = Features(source, "probabilities")
        values = reader.source[:]
        reader.check_finite(values)
        source = host(namespace(values).argmax(values, 1))
    found = host(source).size
    if found != n_rows:
        raise ValueError(f"Got {found} source labels for {n_rows} labels, but expected as many.")
    return read_labels(source, n_rows, "source labels", least=1).codes


def nleep(features, labels, *, n_components=None, energy=0.8, covariance="diag", log=True, random_state=0):
    r"""LEEP of the posteriors of a Gaussian mixture fitted to the features.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    n_components : int, optional
        Number of Gaussians; by default five times the number of classes, but no more than a fifth of the samples, and
        at least as many as classes.
    energy : float in [0, 1], default=0.8
        Share of the variance that the principal components keep, in which the mixture is fitted.
    covariance : {"diag", "spherical"}, default="diag"
        Form of the Gaussians. Along principal components the difference to full covariances is small, and those cost
        minutes.
    log : bool, default=True
        Whether to average the logarithm of the expected probability, as the paper does. One popular implementation
        averages the probability itself, which gives values in (0, 1]; ``log=False`` does so.
    random_state : int, default=0
        Seed of the mixture's start. The score depends on it (by about 0.1), so compare models under one seed.

    Returns
    -------
    score : float

    Notes
    -----
    Li et al., "Ranking Neural Checkpoints", CVPR 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import nleep
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3, size=300)
    >>> X = rng.normal(size=(300, 5))
    >>> nleep(X + 4 * np.eye(3, 5)[y], y) > nleep(X, y)
    True
    """
    m = Moments(features, labels)
    return nleep_of(m, n_components, energy, covariance, log, random_state)


def nleep_of(m, n_components=None, energy=0.8, covariance="diag", log=True, random_state=0):
    """NLEEP from moments."""
    check_fraction(energy, "energy")
    check_choice(covariance, "covariance", ("diag", "spherical"))
    if n_components is None:
        n_classes = m.labels.n_classes
        n_components = max(min(5 * n_classes, m.n // 5), min(n_classes, m.n))
    check_count(n_components, "n_components")
    posteriors = mixture_posteriors(m, n_components, energy, covariance, random_state)
    if log:
        return leep_of(posteriors, m.labels)
    joint = class_sums(posteriors, m.codes, m.labels.n_classes)
    marginal = joint.sum(axis=0)
    weights = joint / namespace(joint).where(marginal > 0, marginal, marginal * 0 + 1)
    return float((joint * weights).sum()) / m.n
