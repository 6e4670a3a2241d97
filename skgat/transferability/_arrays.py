"""What the measures need of an array library, for numpy arrays and for torch tensors on whatever device they live.

torch is never imported here unless a torch tensor has been passed, in which case it is loaded already.
"""

__all__ = [
    "as_single",
    "cho_solve",
    "cholesky",
    "class_sums",
    "eigh",
    "float_copy",
    "float_view",
    "host",
    "is_torch",
    "like",
    "namespace",
]

import numpy as np
from scipy import linalg, sparse


def is_torch(x):
    """Tell whether ``x`` is a torch tensor, without importing torch."""
    return type(x).__module__.partition(".")[0] == "torch"


def namespace(x):
    """The module whose functions take ``x``: numpy or torch."""
    if not is_torch(x):
        return np
    import torch

    return torch


def float_copy(x):
    """Double precision copy of ``x`` where it lives; never a view of the caller's memory."""
    if not is_torch(x):
        return np.array(x, dtype=np.float64, order="C")
    torch = namespace(x)
    # Apple's devices have no double precision.
    dtype = torch.float32 if x.device.type == "mps" else torch.float64
    return x.detach().to(dtype, copy=True).contiguous()


def float_view(x):
    """``x`` in double precision where it lives: itself if it is so already, and then not to be written to."""
    return float_copy(x) if is_torch(x) else np.asarray(x, dtype=np.float64)


def as_single(x, scale=1.0):
    """``x / scale`` in single precision."""
    if is_torch(x):
        return (x / scale).float()
    return np.multiply(x, 1 / scale, out=np.empty(x.shape, dtype=np.float32), casting="same_kind")


def like(values, reference):
    """A numpy array where ``reference`` lives: floats in its precision, integers as they are."""
    if not is_torch(reference):
        return values
    tensor = namespace(reference).as_tensor(np.array(values))
    return tensor.to(reference.device, reference.dtype if tensor.is_floating_point() else tensor.dtype)


def host(x):
    """Any array as numpy."""
    if not is_torch(x):
        return np.asarray(x)
    x = x.detach().cpu()
    return x.double().numpy() if x.is_floating_point() else x.numpy()


def class_sums(x, codes, n_classes, weights=None):
    """Sum the rows of ``x``, times their weights if given, within each class, one row a class."""
    if is_torch(x):
        sums = x.new_zeros((n_classes, x.shape[1]))
        return sums.index_add_(0, like(codes, x), x if weights is None else x * weights[:, None])
    order = np.argsort(codes, kind="stable")
    weights = np.ones(len(codes)) if weights is None else weights[order]
    ends = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=n_classes))])
    return np.asarray(sparse.csr_matrix((weights, order, ends), shape=(n_classes, len(codes))) @ x)


def cholesky(a, overwrite=False, clean=False):
    """Lower Cholesky factor of a symmetric matrix, None if it is not positive definite.

    Parameters
    ----------
    a : array of shape (n, n)
    overwrite : bool, default=False
        Whether the matrix may be lost.
    clean : bool, default=False
        Whether the upper triangle must be zero. :func:`cho_solve` does not look at it.

    Returns
    -------
    factor : array of shape (n, n) or None
    """
    if is_torch(a):
        factor, info = namespace(a).linalg.cholesky_ex(a)
        return None if int(info) else factor
    # The transpose is the same matrix in the order of LAPACK, which need not turn it then.
    factor, info = linalg.lapack.dpotrf(a.T, lower=1, clean=int(clean), overwrite_a=int(overwrite))
    return None if info else factor


def cho_solve(factor, b):
    """Solve ``a @ x = b`` with the lower Cholesky factor of ``a``."""
    if is_torch(factor):
        return namespace(factor).cholesky_solve(b, factor)
    return linalg.cho_solve((factor, True), b, check_finite=False)


def eigh(a, k=None):
    """Eigenvalues in ascending order and eigenvectors of a symmetric matrix; the ``k`` largest if ``k`` is given."""
    n = len(a)
    if k is None or k >= n:
        return namespace(a).linalg.eigh(a)
    if is_torch(a):
        values, vectors = namespace(a).linalg.eigh(a)
        return values[-k:], vectors[:, -k:]
    return linalg.eigh(a, subset_by_index=[n - k, n - 1], check_finite=False)
