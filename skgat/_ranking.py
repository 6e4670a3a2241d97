"""The arithmetic of ranking metrics: every group at once, in O(n log n), exact with ties; numpy only.

The rows of a group are put in order of truth, then of prediction, so nothing here depends on the order in which they
came, not even rounding. Each function returns one value a group.
"""

__all__ = [
    "Rows",
    "best",
    "best_of_top",
    "correlation",
    "kendall_tau",
    "mean_ranks",
    "normalised_gain",
    "rankable_rows",
    "top_recall",
    "weighted_kendall_tau",
]

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln


@dataclass(frozen=True)
class Rows:
    """The rows of the groups that can be ranked: group after group, in each by truth, then by prediction."""

    truth: np.ndarray
    pred: np.ndarray
    group: np.ndarray  # per row
    first: np.ndarray  # per group: its first row
    size: np.ndarray  # per group

    def sum(self, values):
        """Sum over the rows of each group."""
        return np.add.reduceat(values, self.first)

    def places(self):
        """For each row its place in the group."""
        return np.arange(len(self.group)) - self.first[self.group]

    def by_prediction(self):
        """Rows in order of prediction, group after group; ties stay in order of truth."""
        return np.lexsort((self.pred, self.group))


def rankable_rows(truth, pred, group):
    """Sort the rows and drop the groups that say nothing about ranking.

    Parameters
    ----------
    truth, pred : float arrays of shape (n_rows,)
    group : integer array of shape (n_rows,)
        Codes 0, 1, ...

    Returns
    -------
    Rows
        Those of the groups with at least two rows and a truth that is not constant.
    """
    order = np.lexsort((pred, truth, group))
    truth, pred, group = truth[order], pred[order], group[order]
    _, size = _runs(group)
    last = np.cumsum(size) - 1
    rankable = truth[last - size + 1] != truth[last]
    keep, size = np.repeat(rankable, size), size[rankable]
    return Rows(truth[keep], pred[keep], np.repeat(np.arange(len(size)), size), np.cumsum(size) - size, size)


def _runs(*keys):
    """Number the runs of equal rows: the run of each row, and the size of each run."""
    new = np.ones(len(keys[0]), dtype=bool)
    new[1:] = False
    for key in keys:
        new[1:] |= key[1:] != key[:-1]
    run = np.cumsum(new) - 1
    return run, np.bincount(run)


def correlation(rows, a, b):
    """Pearson correlation of two columns; 0 where one of them is constant."""
    a, b = _centred(rows, a), _centred(rows, b)
    return _cosine(rows.sum(a * b), rows.sum(a**2), rows.sum(b**2))


def _cosine(product, norm_a, norm_b):
    """Product of two vectors over their norms, whose squares are given; 0 where one of them is 0."""
    # One root of both squares, not two roots: equal vectors give exactly 1.
    norm = np.sqrt(norm_a.astype(float) * norm_b)
    return np.clip(product / np.where(norm > 0, norm, 1), -1, 1)


def _centred(rows, values):
    """Of mean 0 in each group and on a scale that squares neither overflow nor vanish; 0 where constant."""
    # Powers of two scale without rounding, and a shift to the first value keeps what little differs.
    _, exponent = np.frexp(np.maximum.reduceat(np.abs(values), rows.first))
    values = np.ldexp(values, -exponent[rows.group])
    values = values - values[rows.first][rows.group]
    return values - (rows.sum(values) / rows.size)[rows.group]


def mean_ranks(rows, values):
    """Ranks from the lowest value up, equal values sharing their mean rank; counted on from group to group."""
    order = np.lexsort((values, rows.group))
    run, size = _runs(rows.group, values[order])
    ranks = np.empty(len(order))
    ranks[order] = (np.cumsum(size) - (size + 1) / 2)[run]
    return ranks


@dataclass(frozen=True)
class _Comparison:
    """What the pairs of rows of a group say, row by row; every pair shows at both of its rows."""

    rank: np.ndarray  # place in the group by prediction, ties in order of truth
    balance: np.ndarray  # concordant minus discordant pairs
    differ_truth: np.ndarray  # pairs with different truth
    differ_pred: np.ndarray  # pairs with different prediction


def _compare(rows):
    order = rows.by_prediction()
    rank, same_pred = np.empty_like(order), np.empty_like(order)
    rank[order] = rows.places()
    same_pred[order] = _run_sizes(rows.group, rows.pred[order])
    same_truth = _run_sizes(rows.group, rows.truth)
    same_both = _run_sizes(rows.group, rows.truth, rows.pred)
    size = rows.size[rows.group]
    balance = size - same_truth - same_pred + same_both - 2 * _discordant(rows, rank)
    return _Comparison(rank, balance, size - same_truth, size - same_pred)


def _run_sizes(*keys):
    run, size = _runs(*keys)
    return size[run]


def _discordant(rows, rank):
    """For each row the number of rows in its group before it with a higher rank or after it with a lower one.

    The ranks of a group are 0, 1, ... in some order. A radix sort from the highest bit down puts them right; a pair is
    out of order exactly if, at the highest bit in which it differs, the 1 stands before the 0.
    """
    start = rows.first[rows.group]
    here = np.arange(len(rank))
    place, rank, count = start + rank, rank.copy(), np.zeros(len(rank), dtype=np.int64)
    for bit in reversed(range(int(rows.size.max() - 1).bit_length())):
        one = (rank >> bit) & 1
        block = start + (rank >> (bit + 1) << (bit + 1))  # where the rows that agree in all higher bits begin
        ones = np.cumsum(one) - one
        ones -= ones[block]
        zeros = here - block - ones
        is_one = one == 1
        count += np.where(is_one, (1 << bit) - zeros, ones)
        to = block + np.where(is_one, (1 << bit) + ones, zeros)
        moved = np.empty_like(rank), np.empty_like(count)
        moved[0][to], moved[1][to] = rank, count
        rank, count = moved
    return count[place]


def _tau(rows, pairs, weights):
    balance, truth, pred = pairs.balance, pairs.differ_truth, pairs.differ_pred
    return _cosine(rows.sum(weights * balance), rows.sum(weights * truth), rows.sum(weights * pred))


def kendall_tau(rows):
    """Tau-b; 0 where the prediction is constant."""
    return _tau(rows, _compare(rows), 1)


def weighted_kendall_tau(rows):
    """Tau with additive hyperbolic weights, the mean of both rankings; 0 where the prediction is constant."""
    pairs = _compare(rows)
    size = rows.size[rows.group]
    # A row in place p from the top weighs 1 / (p + 1), once by truth and once by prediction.
    return (_tau(rows, pairs, 1 / (size - rows.places())) + _tau(rows, pairs, 1 / (size - pairs.rank))) / 2


def normalised_gain(rows, k):
    """Discounted gain of the predicted order over that of the best order, cut after ``k`` rows unless None."""
    # Between -1 and 1, by powers of two: sums of huge gains would overflow, and those of tiny ones be rounded.
    truth = np.ldexp(rows.truth, -np.frexp(np.maximum(best(rows), -rows.truth[rows.first]))[1][rows.group])
    gain = truth - np.minimum(truth[rows.first], 0)[rows.group]
    discount = 1 / np.log2(np.arange(rows.size.max()) + 2)
    if k is not None:
        discount[k:] = 0
    discount = discount[rows.size[rows.group] - 1 - rows.places()]
    order = rows.by_prediction()
    run, size = _runs(rows.group, rows.pred[order])
    shared = np.add.reduceat(discount, np.cumsum(size) - size) / size
    return np.minimum(rows.sum(gain[order] * shared[run]) / rows.sum(gain * discount), 1)


@dataclass(frozen=True)
class _Top:
    """The predicted top k, rows in order of prediction; tied rows at its edge are drawn by lot."""

    truth: np.ndarray
    chance: np.ndarray  # of being in the top k
    size: np.ndarray  # number of rows with the same prediction
    drawn: np.ndarray  # how many of these are in the top k
    place: np.ndarray  # 0 for the best truth among these


def _top(rows, k):
    order = rows.by_prediction()
    run, size = _runs(rows.group, rows.pred[order])
    end = np.cumsum(size)
    above = (rows.first + rows.size)[rows.group[end - 1]] - end
    drawn = np.clip(k - above, 0, size)
    return _Top(rows.truth[order], (drawn / size)[run], size[run], drawn[run], end[run] - 1 - np.arange(len(order)))


def top_recall(rows, k):
    """Expected share of the predicted top ``k`` that is as good as the ``k``-th best."""
    top = _top(rows, k)
    found = np.minimum(k, rows.size)
    last_hit = rows.truth[rows.first + rows.size - found]
    # Chances that add up to all rows may do so with a rounding error.
    return np.minimum(rows.sum(top.chance * (top.truth >= last_hit[rows.group])) / found, 1)


def best(rows):
    """The best truth."""
    return rows.truth[rows.first + rows.size - 1]


def best_of_top(rows, k):
    """The expected best truth among the predicted top ``k``."""
    top = _top(rows, k)
    sure = np.maximum.reduceat(np.where(top.chance == 1, top.truth, -np.inf), rows.first)
    edge = (top.chance > 0) & (top.chance < 1) & (top.place <= top.size - top.drawn)
    size, drawn, place = (values[edge].astype(float) for values in (top.size, top.drawn, top.place))
    # Chance that this row is drawn and none of the better ones: C(size - place - 1, drawn - 1) / C(size, drawn).
    log_chance = (
        gammaln(size - place) - gammaln(size - place - drawn + 1) + gammaln(size - drawn + 1) - gammaln(size + 1)
    )
    chance = np.zeros(len(rows.truth))
    chance[edge] = drawn * np.exp(log_chance)
    total = rows.sum(chance)
    by_lot = rows.sum(chance * np.maximum(top.truth, sure[rows.group])) / np.where(total > 0, total, 1)
    return np.minimum(np.where(total > 0, by_lot, sure), best(rows))
