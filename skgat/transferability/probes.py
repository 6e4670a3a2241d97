"""Plain classifiers on the features, judged on rows that they were not fitted on."""

__all__ = ["knn", "knn_of", "lda", "lda_of", "linear_probe", "linear_probe_of"]

import numpy as np

from ._arrays import as_single, class_sums, host, like, namespace
from ._inputs import check_choice, check_count, check_fraction, check_positive
from ._moments import Moments
from ._softmax import fit_softmax
from .discriminant import Discriminant, ledoit_wolf

_SCORINGS = ("accuracy", "log_likelihood")
#: Nearest rows in single precision that are looked at again in double precision, beside those asked for.
_SPARE = 3
_BLOCK_ROWS = 512
#: Up to so many rows all their products are held at once.
_MOST_AT_ONCE = 4096


def lda(features, labels, *, cv=5, shrinkage="auto", scoring="accuracy", random_state=0):
    """Cross-validated linear discriminant analysis.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    cv : int, default=5
        Number of folds; each class is spread evenly over them.
    shrinkage : "auto" or float in [0, 1], default="auto"
        How far the scatter within the classes is drawn to a multiple of the identity; by default as Ledoit and Wolf
        do, from the deviations of all rows from their class means.
    scoring : {"accuracy", "log_likelihood"}, default="accuracy"
        What is averaged over the held-out rows: whether the most probable class is the true one, or the logarithm of
        the true class's probability.
    random_state : int, default=0
        Seed of the folds.

    Returns
    -------
    score : float
        A row whose class has no other row counts as wrong; the likelihood leaves it out.

    Notes
    -----
    The folds' Gram matrices add up to that of all rows, so cross-validation costs little more than one fit. This is
    the discriminant with a common covariance; one published "LDA" measure, which gives a symmetric eigensolver a
    matrix that is not, amounts to a nearest-mean rule.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import lda
    >>> y = np.repeat([0, 1], 50)
    >>> lda(np.random.default_rng(0).normal(size=(100, 3)) + 9 * y[:, None], y)
    1.0
    """
    return lda_of(Moments(features, labels), cv, shrinkage, scoring, random_state)


def lda_of(m, cv=5, shrinkage="auto", scoring="accuracy", random_state=0):
    """Cross-validated LDA from moments."""
    check_count(cv, "cv", 2)
    check_choice(scoring, "scoring", _SCORINGS)
    if shrinkage != "auto":
        check_fraction(shrinkage, "shrinkage")
    m = m.compact
    folds = [rows for rows in _folds(m.labels, min(cv, m.n), random_state) if len(rows)]
    parts = [_fold_sums(m, rows) for rows in folds]
    m.__dict__.setdefault("gram", m.checked(sum(gram for _, gram in parts)))
    if shrinkage == "auto":
        shrinkage = _residual_shrinkage(m)
    outcomes = [
        _judge(_fit_without(m, rows, sums, gram, shrinkage), m, rows, scoring)
        for rows, (sums, gram) in zip(folds, parts, strict=True)
    ]
    return _mean_outcome(np.concatenate(outcomes))


def _mean_outcome(outcomes):
    if np.isnan(outcomes).all():
        raise ValueError("Got labels of which every class has one row, but the likelihood of held-out rows needs two.")
    return float(np.nanmean(outcomes))


def _folds(labels, cv, random_state):
    """Rows of each fold, every class spread evenly over the folds."""
    mixed = np.random.default_rng(random_state).permutation(len(labels))
    by_class = mixed[np.argsort(labels.codes[mixed], kind="stable")]
    return [np.sort(by_class[fold::cv]) for fold in range(cv)]


def _fold_sums(m, rows):
    sums, gram = 0, 0
    for part in m.parts(rows):
        block = m.take(part)
        sums = sums + class_sums(block, m.codes[part], m.labels.n_classes)
        gram = gram + block.T @ block
    return sums, gram


def _residual_shrinkage(m):
    norms = np.empty(m.n)
    for rows, block in m.blocks():
        residual = block - m.class_means[like(m.codes[rows], block)]
        norms[rows] = host((residual * residual).sum(axis=1))
    level = norms.mean() / m.ambient
    return ledoit_wolf(norms, float((m.within * m.within).sum()), level, m.ambient) if level > 0 else 1.0


def _fit_without(m, rows, sums, gram, shrinkage):
    counts = m.labels.counts - np.bincount(m.codes[rows], minlength=m.labels.n_classes)
    n = m.n - len(rows)
    sums = m.class_means * m.counts[:, None] - sums
    means = sums / like(np.maximum(counts, 1).astype(np.float64), sums)[:, None]
    within = (m.gram - gram - sums.T @ means) / n
    trace = float(namespace(within).diagonal(within).sum())
    # Classes that do not vary within themselves leave the distance to the means.
    level = max(trace / m.ambient, 1e-12 * float(namespace(m.gram).diagonal(m.gram).sum()) / m.n / m.ambient, 1e-300)
    return Discriminant(means, within, counts / n, max(shrinkage, 1e-12), level)


def _judge(model, m, rows, scoring):
    """What each held-out row contributes; NaN for nothing."""
    posteriors = np.concatenate([host(model.posteriors(m.take(part))) for part in m.parts(rows)])
    codes = m.codes[rows]
    if scoring == "accuracy":
        return (posteriors.argmax(axis=1) == codes).astype(np.float64)
    own = posteriors[np.arange(len(rows)), codes]
    seen = np.isfinite(host(model.intercept))[codes]
    return np.where(seen, np.log(np.maximum(own, np.finfo(np.float64).tiny)), np.nan)


def knn(features, labels, *, n_neighbors=5, metric="euclidean"):
    """Leave-one-out accuracy of the nearest neighbours.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    n_neighbors : int, default=5
        How many neighbours vote. Where classes get equally many votes, the one with the nearest row wins.
    metric : {"euclidean", "cosine"}, default="euclidean"
        How near is measured; the cosine is that of the features as they are.

    Returns
    -------
    score : float
        In [0, 1].

    Examples
    --------
    >>> from skgat.transferability import knn
    >>> knn([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]], list("aaabbb"), n_neighbors=1)
    1.0
    """
    return knn_of(Moments(features, labels), n_neighbors, metric)


def knn_of(m, n_neighbors=5, metric="euclidean"):
    """Nearest neighbours from moments."""
    check_count(n_neighbors, "n_neighbors")
    check_choice(metric, "metric", ("euclidean", "cosine"))
    if n_neighbors >= m.n:
        raise ValueError(
            f"Got n_neighbors={n_neighbors} for {m.n} rows, but expected fewer neighbours than other rows."
        )
    x = m.take(np.arange(m.n))
    if metric == "cosine":
        x = x + m.mean
        x = x / namespace(x).sqrt((x * x).sum(axis=1)).clip(np.finfo(np.float64).tiny, None)[:, None]
        # Differences stay as they are, and what all rows share costs them no digits.
        x = x - x.mean(axis=0)
    # Single precision has a small range.
    near = m.codes[_neighbours(x / (float(abs(x).max()) or 1.0), n_neighbors)]
    votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)
    winner = near[np.arange(m.n), votes.argmax(axis=1)]
    return float((winner == m.codes).mean())


def _neighbours(x, k):
    """The ``k`` nearest other rows of each row, nearest first."""
    xp = namespace(x)
    single = as_single(x)
    half = 0.5 * (single * single).sum(axis=1)
    # Symmetric, so that all products at once cost half as much as block by block.
    products = single @ single.T if len(x) <= _MOST_AT_ONCE else None
    out = np.empty((len(x), k), dtype=np.int64)
    n_candidates = min(k + _SPARE, len(x) - 1)
    for start in range(0, len(x), _BLOCK_ROWS):
        block = x[start : start + _BLOCK_ROWS]
        rows = xp.arange(len(block), **({} if isinstance(x, np.ndarray) else {"device": x.device}))
        stop = start + _BLOCK_ROWS
        near = (single[start:stop] @ single.T if products is None else products[start:stop]) - half
        near[rows, start + rows] = -np.inf
        candidates, values = _largest(near, rows, n_candidates)
        found = host(candidates).copy()
        # Single precision cannot order rows that are nearly as far; these are measured again.
        doubt = (values[:, :-1] - values[:, 1:] < 1e-5 * xp.amax(half, 0)).any(axis=1)
        distance = host(((x[candidates[doubt]] - block[doubt][:, None, :]) ** 2).sum(axis=2))
        order = np.argsort(distance, axis=1, kind="stable")
        found[host(doubt)] = np.take_along_axis(found[host(doubt)], order, axis=1)
        out[start : start + _BLOCK_ROWS] = found[:, :k]
        if n_candidates < len(x) - 1:
            # Nor does it find the nearest where more rows than were looked at are nearly as far. Rows nearer than the
            # last that was asked for are no longer than this, and their products are as uncertain as it is long.
            length = xp.sqrt(half[start:stop]) + xp.sqrt((half[start:stop] - values[:, k - 1]).clip(0, None))
            lost = values[:, k - 1] - values[:, -1] < 1e-5 * length**2
            if bool(lost.any()):
                out[start + np.flatnonzero(host(lost))] = _exact_neighbours(x, start + rows[lost], k, length[lost])
    return out


def _largest(near, rows, count):
    """Columns and values of the largest entries of each row, which are overwritten."""
    xp = namespace(near)
    columns, values = [], []
    for _ in range(count):
        best = near.argmax(axis=1)
        values.append(near[rows, best])
        columns.append(best)
        near[rows, best] = -np.inf
    return xp.stack(columns, 1), xp.stack(values, 1)


def _exact_neighbours(x, chosen, k, length):
    """The ``k`` nearest other rows of the chosen rows, of all that double precision cannot tell from them."""
    xp = namespace(x)
    near = x[chosen] @ x.T - 0.5 * (x * x).sum(axis=1)
    rows = xp.arange(len(chosen), **({} if isinstance(x, np.ndarray) else {"device": x.device}))
    near[rows, chosen] = -np.inf
    columns, values = _largest(near, rows, k)
    near[rows[:, None], columns] = values
    alike = near >= (values[:, -1] - 1e-13 * length**2)[:, None]
    out = np.empty((len(chosen), k), dtype=np.int64)
    for place, row in enumerate(chosen):
        candidates = xp.where(alike[place])[0]
        distance = host(((x[candidates] - x[row]) ** 2).sum(axis=1))
        out[place] = host(candidates)[np.argsort(distance, kind="stable")[:k]]
    return out


def linear_probe(features, labels, *, test_size=0.25, C=1.0, scoring="accuracy", max_iter=200, random_state=0):
    """Held-out score of a logistic regression on the standardised features.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        A numpy array, a memory map or a torch tensor; a tensor on a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    test_size : float in (0, 1), default=0.25
        Share of the rows that is held out; of every class alike, as far as whole rows allow.
    C : float, default=1.0
        Inverse strength of the penalty, as in :class:`~sklearn.linear_model.LogisticRegression`.
    scoring : {"accuracy", "log_likelihood"}, default="accuracy"
        What is averaged over the held-out rows: whether the most probable class is the true one, or the logarithm of
        the true class's probability.
    max_iter : int, default=200
        Most L-BFGS iterations.
    random_state : int, default=0
        Seed of the split.

    Returns
    -------
    score : float
        A class of which no row is left to fit on counts as wrong; the likelihood leaves it out.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import linear_probe
    >>> y = np.repeat(["cat", "dog"], 50)
    >>> X = np.random.default_rng(0).normal(size=(100, 3)) + 9 * (y == "dog")[:, None]
    >>> linear_probe(X, y)
    1.0
    """
    return linear_probe_of(Moments(features, labels), test_size, C, scoring, max_iter, random_state)


def linear_probe_of(m, test_size=0.25, C=1.0, scoring="accuracy", max_iter=200, random_state=0):
    """Linear probe from moments."""
    check_fraction(test_size, "test_size")
    check_positive(C, "C")
    check_choice(scoring, "scoring", _SCORINGS)
    check_count(max_iter, "max_iter")
    n_test = round(test_size * m.n)
    if not 0 < n_test < m.n:
        raise ValueError(f"Got test_size={test_size!r} of {m.n} rows, but expected it to leave rows on both sides.")
    mixed = np.random.default_rng(random_state).permutation(m.n)
    by_class = mixed[np.argsort(m.codes[mixed], kind="stable")]
    is_test = np.diff(np.arange(m.n + 1) * n_test // m.n) > 0
    train, test = np.sort(by_class[~is_test]), np.sort(by_class[is_test])
    seen, codes = np.unique(m.codes[train], return_inverse=True)
    x = m.take(train)
    xp = namespace(x)
    centre = x.mean(axis=0)
    spread = m.checked(xp.sqrt(((x - centre) ** 2).mean(axis=0)))
    spread = xp.where(spread > 1e-13 * abs(centre), spread, spread * 0 + np.inf)
    weights, bias, _ = fit_softmax((x - centre) / spread, codes.reshape(-1), len(seen), 1 / (C * len(train)), max_iter)
    logits = host((m.take(test) - centre) / spread @ weights + bias)
    return _mean_outcome(_judge_logits(logits, seen, m.codes[test], scoring))


def _judge_logits(logits, seen, codes, scoring):
    if scoring == "accuracy":
        return (seen[logits.argmax(axis=1)] == codes).astype(np.float64)
    place = np.searchsorted(seen, codes).clip(0, len(seen) - 1)
    top = logits.max(axis=1)
    totals = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return np.where(seen[place] == codes, logits[np.arange(len(codes)), place] - totals, np.nan)
