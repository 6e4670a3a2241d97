"""Low-rank factors of a table with missing cells, by alternating least squares."""

__all__ = ["factorize", "size_of_noise", "solve_rows"]

import numpy as np
from scipy.sparse import csr_array
from sklearn.utils.extmath import randomized_svd, svd_flip

#: Numbers that the products of one block may take.
_BLOCK = 2**23


def size_of_noise(n_cells, shape):
    """About the largest singular value of a table with so many cells of unit noise, and zeros elsewhere."""
    fill = n_cells / (shape[0] * shape[1])
    return np.sqrt(fill) * (np.sqrt(shape[0]) + np.sqrt(shape[1]))


def factorize(values, rows, columns, weights, shape, rank, alpha, max_iter, tol, rng):
    """Find U and V with ``(U @ V.T)[rows, columns]`` close to the values.

    Minimises the weighted squared error of the given cells plus `alpha` times the squared sizes of U and V. Each half
    of a round solves all rows of one side exactly, in one batch; so the loss never rises. The result is turned to its
    principal axes, largest first, with a fixed sign.

    Parameters
    ----------
    values, weights : float arrays of shape (n_cells,)
    rows, columns : integer arrays of shape (n_cells,)
        Where each value stands; no cell may occur twice.
    shape : tuple of two int
    rank : int
    alpha : float
        Above zero.
    max_iter : int
    tol : float
        The rounds end when the loss falls by less than this share of it.
    rng : numpy.random.RandomState
        For the start, a truncated singular value decomposition with zeros in the missing cells.

    Returns
    -------
    U : array of shape (shape[0], rank)
    V : array of shape (shape[1], rank)
    losses : list of float
        After each round.
    """
    cells = csr_array((weights, (rows, columns)), shape=shape)
    sums = csr_array((weights * values, (rows, columns)), shape=shape)
    cells_t, sums_t = cells.T.tocsr(), sums.T.tocsr()
    V = _start(csr_array((values, (rows, columns)), shape=shape), rank, rng)
    losses = []
    for _ in range(max_iter):
        U = solve_rows(cells, sums, V, alpha)
        V = solve_rows(cells_t, sums_t, U, alpha)
        error = values - _products(U, V, rows, columns)
        losses.append(float(weights @ error**2 + alpha * (np.vdot(U, U) + np.vdot(V, V))))
        if len(losses) > 1 and losses[-2] - losses[-1] <= tol * losses[-2]:
            break
    return *_principal(U, V), losses


def _start(table, rank, rng):
    k = min(rank, *table.shape)
    _, sizes, right = randomized_svd(table, k, n_iter=4, random_state=rng)
    V = np.zeros((table.shape[1], rank))
    V[:, :k] = right.T * np.sqrt(sizes)
    return V


def _products(U, V, rows, columns):
    step = max(1, _BLOCK // max(1, U.shape[1]))
    blocks = [slice(start, start + step) for start in range(0, len(rows), step)]
    return np.concatenate([np.einsum("ij,ij->i", U[rows[b]], V[columns[b]]) for b in blocks])


def solve_rows(cells, sums, other, alpha, prior=None):
    """The best factors of each row when those of the columns are given.

    Parameters
    ----------
    cells : csr_array of shape (n_rows, n_columns)
        The weights of the cells that are there.
    sums : csr_array of shape (n_rows, n_columns)
        Weights times values.
    other : array of shape (n_columns, rank)
        The factors of the columns.
    alpha : float or array of shape (rank,)
        How strongly rows are drawn to the prior.
    prior : array of shape (n_rows, rank), optional
        By default zeros.

    Returns
    -------
    array of shape (n_rows, rank)
    """
    rank = other.shape[1]
    right = sums @ other
    if prior is not None:
        right = right + alpha * prior
    solved = np.empty((cells.shape[0], rank))
    step = max(1, _BLOCK // rank**2)
    for start in range(0, len(solved), step):
        block = slice(start, start + step)
        left = _grams(cells[block], other, step)
        left[:, np.arange(rank), np.arange(rank)] += alpha
        solved[block] = np.linalg.solve(left, right[block, :, None])[..., 0]
    return solved


def _grams(cells, other, step):
    """For each row the weighted sum of the outer products of the factors of its columns."""
    rank = other.shape[1]
    grams = np.zeros((cells.shape[0], rank * rank))
    whole = len(other) <= step
    cells = cells if whole else cells.tocsc()
    for start in range(0, len(other), step):
        part = other[start : start + step]
        outer = (part[:, :, None] * part[:, None, :]).reshape(len(part), -1)
        grams += (cells if whole else cells[:, start : start + step]) @ outer
    return grams.reshape(-1, rank, rank)


def _principal(U, V):
    """The same product from orthogonal columns that share its singular values evenly."""
    left, upper = np.linalg.qr(U)
    right, lower = np.linalg.qr(V)
    a, sizes, b = np.linalg.svd(upper @ lower.T)
    k, root = len(sizes), np.sqrt(sizes)
    turned, turned_t = svd_flip(left @ a[:, :k], (right @ b.T[:, :k]).T)
    whole_u, whole_v = np.zeros_like(U), np.zeros_like(V)
    whole_u[:, :k], whole_v[:, :k] = turned * root, turned_t.T * root
    return whole_u, whole_v
