"""Random walks of second order over a weighted graph, all walkers at once.

A walker that came from ``t`` to ``v`` goes on to a neighbour ``x`` with a probability proportional to the weight of
the edge ``vx`` times a bias. In node2vec (Grover and Leskovec, KDD 2016) the bias is 1/p for the way back, 1 for a
neighbour of ``t`` and 1/q for any other. In node2vec+ (Liu, Hirn and Krishnan, Bioinformatics 2023) an edge counts as
one only as far as it is strong for its end, where strong means at least the mean weight of the end's edges.
"""

__all__ = ["WalkGraph", "make_walk_graph", "random_walks"]

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

#: Rounds of proposing and rejecting before the walkers that are left get their step from the full distribution.
_MOST_TRIES = 24
#: Neighbours that are looked at in one go for those walkers.
_MOST_NEIGHBORS = 2**22


@dataclass(frozen=True)
class WalkGraph:
    """An undirected weighted graph, in the layout of compressed sparse rows.

    Attributes
    ----------
    indptr, indices, weights : arrays
        The neighbours of each node, sorted, and the weights of the edges to them.
    before : float array of shape (n_entries + 1,)
        The sum of the weights up to each entry: what a step is drawn from.
    keys : integer array of shape (n_entries,)
        ``node * n_nodes + neighbour``, which is sorted.
    strong : float array of shape (n_nodes,)
        The weight from which on an edge is strong for its end.
    """

    indptr: np.ndarray
    indices: np.ndarray
    weights: np.ndarray
    before: np.ndarray
    keys: np.ndarray
    strong: np.ndarray

    @property
    def n_nodes(self):
        """The number of nodes."""
        return len(self.indptr) - 1

    @property
    def degrees(self):
        """The number of neighbours of each node."""
        return np.diff(self.indptr)


def make_walk_graph(sources, targets, weights, n_nodes):
    """Lay out a graph for walking.

    Parameters
    ----------
    sources, targets : integer arrays of shape (n_edges,)
        The ends of each edge; the weights of edges between the same two nodes add up.
    weights : float array of shape (n_edges,)
        Positive.
    n_nodes : int

    Returns
    -------
    WalkGraph
    """
    ends = np.concatenate([sources, targets]), np.concatenate([targets, sources])
    matrix = csr_array((np.concatenate([weights, weights]), ends), shape=(n_nodes, n_nodes), dtype=np.float64)
    matrix.sum_duplicates()
    rows = np.repeat(np.arange(n_nodes, dtype=np.int64), np.diff(matrix.indptr))
    degrees = np.maximum(np.diff(matrix.indptr), 1)
    return WalkGraph(
        indptr=matrix.indptr.astype(np.int64),
        indices=matrix.indices.astype(np.int64),
        weights=matrix.data,
        before=np.concatenate([[0.0], np.cumsum(matrix.data)]),
        keys=rows * n_nodes + matrix.indices,
        strong=np.bincount(rows, matrix.data, n_nodes) / degrees,
    )


def random_walks(graph, n_walks, walk_length, p=1.0, q=1.0, extended=False, rng=None):
    """Walk from every node that has a neighbour.

    Parameters
    ----------
    graph : WalkGraph
    n_walks : int
        Walks from each node.
    walk_length : int
        Nodes of a walk, its start among them.
    p, q : float
        Low values draw a walk back to where it came from (p) or away from there (q).
    extended : bool
        Whether to bias as node2vec+ does.
    rng : numpy.random.Generator

    Returns
    -------
    walks : integer array of shape (n_walks * n_nodes_with_neighbours, walk_length)
    """
    starts = np.repeat(np.flatnonzero(graph.degrees), n_walks)
    walks = np.empty((walk_length, len(starts)), dtype=np.int64)
    walks[0] = starts
    plain = p == 1.0 and q == 1.0
    for step in range(1, walk_length):
        if step == 1 or plain:
            walks[step] = graph.indices[_propose(graph, walks[step - 1], rng)]
        else:
            walks[step] = _biased_step(graph, walks[step - 2], walks[step - 1], p, q, extended, rng)
    return walks.T


def _propose(graph, nodes, rng):
    """An entry of each node's row, drawn by weight."""
    first, end = graph.indptr[nodes], graph.indptr[nodes + 1]
    low, high = graph.before[first], graph.before[end]
    entries = np.searchsorted(graph.before, low + rng.random(len(nodes)) * (high - low), side="right") - 1
    return np.clip(entries, first, end - 1)  # rounding may leave the row


def _biased_step(graph, previous, current, p, q, extended, rng):
    """Propose by weight, accept by bias: exact, and independent of the number of neighbours."""
    top = max(1.0 / p, 1.0, 1.0 / q)
    following = np.empty_like(current)
    waiting = np.arange(len(current))
    for _ in range(_MOST_TRIES):
        entries = _propose(graph, current[waiting], rng)
        bias = _bias(graph, previous[waiting], current[waiting], entries, p, q, extended)
        accepted = rng.random(len(waiting)) * top < bias
        following[waiting[accepted]] = graph.indices[entries[accepted]]
        waiting = waiting[~accepted]
        if not len(waiting):
            return following
    pieces = np.cumsum(graph.degrees[current[waiting]]) // _MOST_NEIGHBORS
    for piece in np.split(waiting, np.flatnonzero(np.diff(pieces)) + 1):
        following[piece] = _enumerated_step(graph, previous[piece], current[piece], p, q, extended, rng)
    return following


def _enumerated_step(graph, previous, current, p, q, extended, rng):
    """A step drawn from the probabilities of all neighbours."""
    counts = graph.degrees[current]
    ends = np.cumsum(counts)
    walkers = np.repeat(np.arange(len(current)), counts)
    entries = np.arange(ends[-1]) - np.repeat(ends - counts - graph.indptr[current], counts)
    bias = _bias(graph, previous[walkers], current[walkers], entries, p, q, extended)
    mass = np.concatenate([[0.0], np.cumsum(graph.weights[entries] * bias)])
    low, high = mass[ends - counts], mass[ends]
    found = np.searchsorted(mass, low + rng.random(len(current)) * (high - low), side="right") - 1
    return graph.indices[entries[np.clip(found, ends - counts, ends - 1)]]


def _bias(graph, previous, current, entries, p, q, extended):
    """The factor on the weight of each entry of the current nodes' rows, for walkers from the previous nodes."""
    following = graph.indices[entries]
    places = np.searchsorted(graph.keys, previous * graph.n_nodes + following)
    places = np.minimum(places, len(graph.keys) - 1)
    linked = graph.keys[places] == previous * graph.n_nodes + following
    if extended:
        strength = np.where(linked, graph.weights[places], 0.0) / graph.strong[following]
        bias = np.where(strength >= 1.0, 1.0, 1.0 / q + (1.0 - 1.0 / q) * strength)
        noise = (strength < 1.0) & (graph.weights[entries] < graph.strong[current])
        bias[noise] = min(1.0, 1.0 / q)
    else:
        bias = np.where(linked, 1.0, 1.0 / q)
    bias[following == previous] = 1.0 / p
    return bias
