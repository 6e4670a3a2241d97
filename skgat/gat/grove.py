"""Trees for known pairs: each is asked once, after training, and its answers stand in a table.

Where models and datasets have metadata that act by thresholds, trees know something of a pair that has no record yet
which neither networks nor kernels do. Other than those of ``forest`` they may learn by heart: who is asked about is
known to them.
"""

__all__ = ["Grove", "plant", "trust_of"]

from dataclasses import dataclass, replace

import numpy as np

from ..graph import SIDES
from .forest import as_table, grow_tree, moved

_TREES = 50
#: So many of each fold are asked first; whether trees know anything does not hang on how many they are.
_SCOUTS = 3
#: With this many records of a dataset, which trees know by its metadata alone, they have half of their share.
_FEW_RECORDS = 6
#: A table of more pairs would be the largest part of what is kept.
_MOST_PAIRS = 2**21
#: Pairs whose features are laid out at once.
_BLOCK = 2**15


@dataclass(frozen=True)
class Grove:
    """What trees say of every pair of known nodes.

    Attributes
    ----------
    said : array of shape (n_models, n_datasets)
        In the units of training; NaN where no tree heard of both ends, and for nodes that joined afterwards.
    trust : array of shape (n_datasets,)
        What part of the share it has for each dataset.
    share : float
        What part of a prediction comes from it where it is trusted.
    """

    said: np.ndarray
    trust: np.ndarray
    share: float

    def join(self, models, datasets, values, variance):
        """Take part in the prediction of pairs of known nodes; changes values and variance.

        Parameters
        ----------
        models, datasets : integer arrays of shape (n_pairs,)
            Negative for unknown nodes.
        values, variance : arrays of shape (n_pairs,)
        """
        # An unknown node reads the row of some other one.
        said = self.said[models, datasets]
        part = self.share * self.trust[datasets]
        heard = (models | datasets) >= 0
        heard &= said == said
        if not heard.all():
            said, part = np.where(heard, said, 0.0), part * heard
        values += part * (said - values)
        kept = 1.0 - part
        variance *= kept * kept

    def moved(self, graph, larger):
        """The same over a graph to which nodes were added, or records alone."""
        return replace(self, said=moved(self.said, graph, larger), trust=trust_of(larger))


def trust_of(graph):
    """What part of their share trees have for each dataset."""
    n_records = np.bincount(graph.edge_datasets, minlength=graph.n_datasets)
    return n_records / (n_records + _FEW_RECORDS)


def plant(graph, features, folds, seed, promising=None):
    """Ask trees about every pair of known nodes, some trees of each fold, which hear of the fold's edges alone.

    Parameters
    ----------
    graph : Graph
    features : dict of arrays
        Scaled, by side.
    folds : list of Fold
    seed : int
    promising : callable, optional
        Is given what the first few trees say of the edges, and the spread, as they are returned, zero where a fold
        hears of the edge; unless it says so, no others are grown.

    Returns
    -------
    said : array of shape (n_models, n_datasets) or None
        The mean of all trees that heard of both ends. None where pairs are too many, nothing describes their ends, or
        trees do not promise anything.
    of_edges : array of shape (n_folds, n_edges) or None
        What the trees of each fold say of the edges, in its units.
    spread : array of shape (n_folds, n_edges) or None
        By how much the variance of that exceeds the variance of a mean over all trees.
    """
    shape = graph.n_models, graph.n_datasets
    if shape[0] * shape[1] > _MOST_PAIRS or not any(features[side].shape[1] for side in SIDES):
        return None, None, None
    rng = np.random.default_rng((seed, 1))
    n_trees = -(-_TREES // len(folds))
    scouts = [_grow(fold, features, min(_SCOUTS, n_trees), rng) for fold in folds]
    if not all(scouts):
        return None, None, None
    if promising is not None and not promising(*_ask_scouts(graph, features, folds, scouts, n_trees)):
        return None, None, None
    said, n_told = np.zeros((2, *shape))
    of_edges, spread = np.empty((2, len(folds), graph.n_edges))
    step = max(_BLOCK // shape[1], 1)
    for number, fold in enumerate(folds):
        # One fold at a time: grown trees are larger than what they say.
        trees = scouts[number] + _grow(fold, features, n_trees - len(scouts[number]), rng)
        # What is held out of a fold may be all that there is of a node, of which its trees know too little then.
        told = _told(fold.graph, features)
        n_told += told
        for start in range(0, shape[0], step):
            block = slice(start, min(start + step, shape[0]))
            models, datasets = (codes.ravel() for codes in np.mgrid[block, : shape[1]])
            values = _ask(trees, features, models, datasets)
            means = values.mean(axis=0)
            said[block] += told[block] * means.reshape(-1, shape[1])
            edges = np.flatnonzero((graph.edge_models >= block.start) & (graph.edge_models < block.stop))
            places = (graph.edge_models[edges] - start) * shape[1] + graph.edge_datasets[edges]
            of_edges[number, edges] = means[places]
            spread[number, edges] = _spread(values[:, places], len(folds) * n_trees)
    said[n_told == 0] = np.nan
    said /= np.maximum(n_told, 1)
    return said.astype(np.float32), of_edges, spread


def _told(graph, features):
    """Of which pairs a graph has records of both ends; who has no features is the same to trees as all others."""
    sides = []
    for side in SIDES:
        n_records = np.bincount(getattr(graph, f"edge_{side}s"), minlength=getattr(graph, f"n_{side}s"))
        sides.append((n_records > 0) | (features[side].shape[1] == 0))
    return np.logical_and.outer(*sides)


def _ask_scouts(graph, features, folds, scouts, n_trees):
    """What a few trees of each fold say of the edges that it does not hear of, and the spread."""
    of_edges, spread = np.zeros((2, len(folds), graph.n_edges))
    for number, (fold, trees) in enumerate(zip(folds, scouts, strict=True)):
        held = np.flatnonzero(fold.held)
        for edges in np.split(held, range(_BLOCK, len(held), _BLOCK)):
            values = _ask(trees, features, graph.edge_models[edges], graph.edge_datasets[edges])
            of_edges[number, edges] = values.mean(axis=0)
            spread[number, edges] = _spread(values, len(folds) * n_trees)
    return of_edges, spread


def _ask(trees, features, models, datasets):
    table = as_table([features["model"][models], features["dataset"][datasets]])
    said = np.empty((len(trees), len(table)))
    for row, tree in zip(said, trees, strict=True):
        row[:] = tree.predict(table)[:, 0]
    return said


def _spread(values, n_all):
    """By how much the variance of the mean of some trees exceeds that of the mean of all."""
    # A mean over n trees has one n-th of the variance of one, which a single tree does not tell.
    return values.var(axis=0) / max(len(values) - 1, 1) * (1.0 - len(values) / n_all)


def _grow(fold, features, n_trees, rng):
    graph = fold.graph
    columns = [(features[side], getattr(graph, f"edge_{side}s")) for side in SIDES]
    target, weights = fold.target[~fold.held], graph.relative_weights
    size = len(target)
    draws = (np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(n_trees))
    state = np.random.RandomState(0)
    trees = [grow_tree(columns, target, weights * times, rng, state) for times in draws]
    return [tree for tree in trees if tree is not None]
