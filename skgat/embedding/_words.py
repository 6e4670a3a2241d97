"""Weisfeiler-Lehman words of an architecture: what each operation is, and what stands around it."""

__all__ = ["describe", "words"]

from functools import cache
from hashlib import blake2b

import numpy as np

#: What the numbers of a node are that a word tells, from coarse to fine; the last is told of nodes alone.
_FORMS = ("operator", "shape", "width")


def words(architecture, n_iter):
    """The words of a graph and how often each occurs.

    A word of round zero is an operation; one of a later round is an operation with all that is that many steps around
    it, told apart by the direction. Words are hashed, so they do not depend on the numbering of the nodes and mean
    the same in all graphs.

    Parameters
    ----------
    architecture : Architecture
    n_iter : int
        The number of rounds.

    Returns
    -------
    names : array of uint64
        Sorted.
    counts : array of int
    """
    sources, targets = architecture.sources, architecture.targets
    found = []
    for form in _FORMS:
        labels = _labels(architecture, form)
        found.append(labels)
        for _ in range(n_iter if form != _FORMS[-1] else 0):
            labels = _refined(labels, sources, targets)
            found.append(labels)
    return np.unique(np.concatenate(found), return_counts=True)


def _labels(architecture, form):
    kernel, stride, channels, groups = architecture.numbers[:, :4].T.astype(np.int64)
    kind = np.where(groups <= 1, 0, np.where(groups >= channels, 2, 1))
    # Widths within a factor of about 1.4 count as one.
    width = np.round(2 * np.log2(np.maximum(channels, 1))).astype(np.int64)
    parts = {"operator": (), "shape": (kernel, stride, kind), "width": (kernel, stride, kind, width)}[form]
    rows = zip(architecture.operators, *(part.tolist() for part in parts), strict=True)
    return np.array([_hash((form, *row)) for row in rows], dtype=np.uint64)


@cache
def _hash(parts):
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


def _refined(labels, sources, targets):
    """Each label with the multisets of those before and after it; sums of mixed labels stand for multisets."""
    before, after = np.zeros_like(labels), np.zeros_like(labels)
    np.add.at(before, targets, _mixed(labels[sources] ^ np.uint64(0x9E3779B97F4A7C15)))
    np.add.at(after, sources, _mixed(labels[targets] ^ np.uint64(0xC2B2AE3D27D4EB4F)))
    return _mixed(_mixed(_mixed(labels) + before) + after)


def _mixed(x):
    """The finaliser of SplitMix64: each bit of the result depends on every bit of x."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def describe(architecture):
    """Logarithms of the parameters, the operations, the longest path, the skips and joins, and the width.

    Parameters
    ----------
    architecture : Architecture

    Returns
    -------
    array of shape (6,)
    """
    depth, n_nodes = architecture.depths(), len(architecture.operators)
    skips = int((depth[architecture.targets] - depth[architecture.sources] > 1).sum())
    joins = int((np.bincount(architecture.targets, minlength=n_nodes) > 1).sum())
    sizes = [
        architecture.numbers[:, 4].sum(),
        n_nodes,
        depth.max(initial=0),
        skips,
        joins,
        architecture.numbers[:, 2].max(),
    ]
    return np.log1p(np.array(sizes, dtype=np.float64))
