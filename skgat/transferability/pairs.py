"""PARC: whether rows of one class correlate more than rows of different classes."""

__all__ = ["parc", "parc_of"]

import numpy as np
from scipy.stats import spearmanr

from ._arrays import as_single, host, like, namespace
from ._inputs import check_count
from ._moments import Moments

#: Up to this many rows the distances are held in double precision and ranked exactly.
_EXACT_ROWS = 1024
#: Beyond, a distance in [0, 2] is rounded to one of so many values, and the values are counted instead of sorted.
_BINS = 2**20
_BLOCK_ROWS = 512


def parc(features, labels, *, n_dims=None, max_samples=10_000, random_state=0):
    r"""Pairwise annotation representation comparison (PARC).

    100 times Spearman's correlation, over all pairs of rows, between the distance of the features (1 less the
    correlation of the two rows, after the columns are standardised) and the distance of the one-hot labels.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        The features, or the source model's probabilities. A numpy array, a memory map or a torch tensor; a tensor on
        a GPU is computed there.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype; at least one class must have two rows.
    n_dims : int, optional
        Number of principal components that the features are reduced to first, with the signs that scikit-learn gives
        them; 32 is the authors' variant.
    max_samples : int or None, default=10_000
        With more rows than this, so many are drawn without replacement: the cost grows with the square of their
        number.
    random_state : int, default=0
        Seed of the draw.

    Returns
    -------
    score : float
        In [-100, 100]; 0 if all distances are equal.

    Notes
    -----
    Bolya et al., "Scalable Diverse Model Selection for Accessible Transfer Learning", NeurIPS 2021. The distance of
    one-hot labels has two values, so the correlation is a rank-sum (Mann-Whitney) statistic: nothing but the ranks of
    the feature distances is needed, ties getting their middle rank. Computed in floating point, the label distance
    has three or four values, which splits ties that ought to be. Beyond 1,024 rows feature distances are rounded to
    2e-6.

    A row that does not vary correlates with none: its distances are 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import parc
    >>> X = np.array([[1.0, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 1, 0.1]])
    >>> round(parc(X, [0, 0, 1, 1]), 2)
    82.81
    """
    return parc_of(Moments(features, labels), n_dims, max_samples, random_state)


def parc_of(m, n_dims=None, max_samples=10_000, random_state=0):
    """PARC from moments."""
    rows = np.arange(m.n)
    if max_samples is not None:
        check_count(max_samples, "max_samples", 2)
        if max_samples < m.n:
            rows = np.sort(np.random.default_rng(random_state).choice(m.n, max_samples, replace=False))
    if n_dims is None:
        x = m.take(rows)
    else:
        check_count(n_dims, "n_dims")
        x = _signed(m, m.principal(n_dims)[1])
        x = x if len(rows) == m.n else x[like(rows, x)]
    codes = m.codes[rows]
    same = np.bincount(codes).astype(np.float64)
    n_same = (same * (same - 1)).sum() / 2
    n_pairs = len(rows) * (len(rows) - 1) / 2
    if n_same in (0, n_pairs):
        raise ValueError(
            "Got labels of which no two rows share a class (or all do), but parc compares such pairs with others."
        )
    rows = _unit_rows(x, m)
    if len(rows) <= _EXACT_ROWS:
        return 100 * _exact(rows, codes)
    return 100 * _from_counts(*_count(rows, codes), n_same, n_pairs)


def _signed(m, scores):
    """Principal components of which the largest loading is positive; correlations of rows depend on the signs."""
    loadings = host(sum(block.T @ scores[rows] for rows, block in m.blocks()))
    largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])]
    return scores * like(np.where(largest < 0, -1.0, 1.0), scores)


def _unit_rows(x, m):
    """Rows of length 1 and mean 0, of standardised columns; rows of zeros where nothing varies."""
    xp = namespace(x)
    mean = x.mean(axis=0)
    x = x - mean
    spread = m.checked(xp.sqrt((x * x).mean(axis=0)))
    x /= xp.where(spread > 1e-13 * abs(mean), spread, spread * 0 + np.inf)
    x -= x.mean(axis=1)[:, None]
    length = xp.sqrt((x * x).sum(axis=1))
    x /= xp.where(length > 1e-12 * x.shape[1] ** 0.5, length, length * 0 + np.inf)[:, None]
    return x


def _exact(rows, codes):
    first, second = np.triu_indices(len(codes), 1)
    # Rounded, so that pairs that are equally far apart are so for the ranks.
    distance = np.round(1 - host(rows @ rows.T), 12)[first, second]
    if distance.min() == distance.max():
        return 0.0
    return float(spearmanr(distance, codes[first] != codes[second]).statistic)


def _count(rows, codes):
    """How many pairs of different classes, and of one class, have each rounded distance."""
    xp = namespace(rows)
    rows = as_single(rows)
    codes = like(codes, rows)
    counts = 0
    for start in range(0, len(rows), _BLOCK_ROWS):
        block, block_codes = rows[start : start + _BLOCK_ROWS], codes[start : start + _BLOCK_ROWS]
        width = len(block)
        square = _bins(block @ block.T, block_codes[:, None] == block_codes)
        keep = xp.triu(xp.ones_like(square), 1) > 0
        counts = counts + xp.bincount(square[keep], minlength=2 * _BINS)
        for left in range(start + width, len(rows), 8 * _BLOCK_ROWS):
            other = slice(left, left + 8 * _BLOCK_ROWS)
            bins = _bins(block @ rows[other].T, block_codes[:, None] == codes[other])
            counts = counts + xp.bincount(bins.reshape(-1), minlength=2 * _BINS)
    counts = host(counts).astype(np.float64)
    return counts[:_BINS], counts[_BINS:]


def _bins(correlations, same):
    correlations *= -_BINS / 2 + 1
    correlations += _BINS / 2
    if isinstance(correlations, np.ndarray):
        bins = np.clip(correlations, 0, _BINS - 1, out=correlations).astype(np.int32)
    else:
        bins = correlations.clamp_(0, _BINS - 1).int()
    bins += same * np.int32(_BINS) if isinstance(bins, np.ndarray) else same.int() * _BINS
    return bins


def _from_counts(different, same, n_same, n_pairs):
    """Spearman's correlation of the distance with whether the classes differ."""
    together = different + same
    used = together > 0
    together, same = together[used], same[used]
    # Ranks less their mean: the middle rank of each value.
    ranks = np.cumsum(together) - together / 2 - n_pairs / 2
    spread = (together * ranks**2).sum()
    if not spread > 0:
        return 0.0
    return float(-(same * ranks).sum() / np.sqrt(spread * n_same * (n_pairs - n_same) / n_pairs))
