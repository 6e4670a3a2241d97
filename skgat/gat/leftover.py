"""What the regression leaves over, as a table of low rank.

That two models are good at the same datasets may show in their results alone, where no metadata say why. The regression
takes such things for noise; what is left of its records once it has been solved still tells them. A table of low rank
that is fitted to the rest completes it for the other pairs of known nodes.
"""

__all__ = ["factors_of_rest", "on_edges"]

import numpy as np

from .._factors import factorize, size_of_noise
from ..graph import SIDES

#: Directions of the table: a few, and one for so many records if that is more, up to a limit.
_RANK = 10
_RECORDS_OF_ONE = 500
_MOST_RANK = 32
#: The ridge, over the largest singular value that noise of the size of the rest would have.
_RIDGE = 0.5
#: Rounds end early: the share of the factors is small, and a further round moves nothing that counts.
_MOST_ROUNDS = 30
_TOLERANCE = 1e-3


def factors_of_rest(graph, rest):
    """Vectors of the nodes whose inner products are close to the rest.

    Parameters
    ----------
    graph : Graph
    rest : array of shape (n_edges,)

    Returns
    -------
    dict of arrays of shape (n_nodes, n_factors)
        By side; zeros for nodes without records.
    """
    shape = graph.n_models, graph.n_datasets
    rank = min(max(_RANK, graph.n_edges // _RECORDS_OF_ONE), _MOST_RANK, *shape)
    weights = graph.relative_weights / graph.relative_weights.mean()
    size = np.sqrt(np.average(rest**2, weights=weights))
    if size <= 1e-12:
        return {side: np.zeros((n_nodes, rank)) for side, n_nodes in zip(SIDES, shape, strict=True)}
    # In units of the rest, so that the ridge means the same everywhere.
    ridge = _RIDGE * size_of_noise(graph.n_edges, shape)
    cells = (rest / size, graph.edge_models, graph.edge_datasets, weights, shape)
    rng = np.random.RandomState(0)
    *factors, _ = factorize(*cells, rank, ridge, _MOST_ROUNDS, _TOLERANCE, rng)
    return {side: found * np.sqrt(size) for side, found in zip(SIDES, factors, strict=True)}


def on_edges(graph, factors):
    """The inner products of the vectors at both ends of all edges of a graph."""
    return np.einsum("er,er->e", factors["model"][graph.edge_models], factors["dataset"][graph.edge_datasets])
