"""Trees for models without records, grown with scikit-learn and kept as arrays.

What tells one unknown model from another is often a threshold: large enough, trained on text, a measure above some
value. Averages of smooth functions learn that slowly, trees at once. Each tree hears of some models and of some datasets
only, so that the others say how good the trees are for models (and datasets) without records.
"""

__all__ = ["Forest", "grow"]

from dataclasses import dataclass

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from ..records import ROLES

_TREES = 100
_FEWEST_MODELS = 5
#: A tree learns from at most so many records.
_MOST_RECORDS = 5_000


@dataclass(frozen=True)
class Forest:
    """All trees one after the other; a leaf is its own child.

    Attributes
    ----------
    roots : integer array of shape (n_trees,)
    columns, children : integer arrays of shape (n_nodes,) and (n_nodes, 2)
        The column that a node looks at; where to go if the value is at most the threshold, and if it is larger.
    thresholds, values : arrays of shape (n_nodes,)
    depth : int
    shares : dict of float
        The part of the forest in the prediction, by the names in ``CASES``.
    """

    roots: np.ndarray
    columns: np.ndarray
    children: np.ndarray
    thresholds: np.ndarray
    values: np.ndarray
    depth: int

    def leaves(self, table):
        """The leaf of each row in each tree."""
        nodes = np.repeat(self.roots[None], len(table), axis=0)
        rows = np.arange(len(table))[:, None]
        for _ in range(self.depth):
            right = table[rows, self.columns[nodes]] > self.thresholds[nodes]
            nodes = self.children[nodes, right.astype(np.int8)]
        return nodes

    def predict(self, features):
        """Scores in the units of training.

        Parameters
        ----------
        features : dict of arrays of shape (n_pairs, n_features)
            Scaled, by role.
        """
        return self.values[self.leaves(_table(features))].mean(axis=1)


def _table(features):
    """The columns of all roles side by side, as exact as trees look at them."""
    table = np.hstack([features[role] for role in ROLES])
    limit = np.finfo(np.float32).max
    return np.clip(table, -limit, limit).astype(np.float32)


def grow(graph, features, target, seed):
    """Grow the trees.

    Parameters
    ----------
    graph : Graph
    features : dict of arrays
        Scaled, by role: one row a node, and one row an edge for pairs.
    target : array of shape (n_edges,)
    seed : int

    Returns
    -------
    forest : Forest or None
        None where models cannot be told apart, or are too few to learn from.
    unheard : dict of arrays of shape (n_edges,)
        By case: what is said of each record by the trees that heard of nothing of its model ("model"), nor of its
        dataset ("both"); NaN if there are none.
    """
    if graph.n_models < _FEWEST_MODELS or not (features["model"].shape[1] or features["pair"].shape[1]):
        return None, {}
    codes = {"model": graph.edge_models, "dataset": graph.edge_datasets}
    of_edges = {side: features[side][codes[side]] for side in codes} | {"pair": features["pair"]}
    table = _table(of_edges)
    rng = np.random.default_rng(seed)
    trees, heard = [], []
    for _ in range(_TREES):
        counts = {
            "model": np.bincount(rng.integers(graph.n_models, size=graph.n_models), minlength=graph.n_models),
            "dataset": np.bincount(rng.integers(graph.n_datasets, size=graph.n_datasets), minlength=graph.n_datasets),
        }
        weights = graph.weights * counts["model"][codes["model"]] * counts["dataset"][codes["dataset"]]
        rows = np.flatnonzero(weights)
        if len(rows) > _MOST_RECORDS:
            rows = rng.choice(rows, _MOST_RECORDS, replace=False)
        if not len(rows):
            continue
        tree = DecisionTreeRegressor(
            max_features=1 / 3, min_samples_leaf=_LEAF, random_state=int(rng.integers(np.iinfo(np.int32).max))
        )
        tree.fit(table[rows], target[rows], sample_weight=weights[rows])
        trees.append(tree.tree_)
        heard.append({side: counts[side] > 0 for side in counts})
    forest = _join(trees)
    values = forest.values[forest.leaves(table)]
    in_model = np.column_stack([h["model"][codes["model"]] for h in heard])
    in_dataset = np.column_stack([h["dataset"][codes["dataset"]] for h in heard])
    return forest, {
        "model": _mean_of(values, ~in_model & in_dataset),
        "both": _mean_of(values, ~in_model & ~in_dataset),
    }


_LEAF = 3


def _mean_of(values, chosen):
    n = chosen.sum(axis=1)
    return np.divide((values * chosen).sum(axis=1), n, out=np.full(len(values), np.nan), where=n > 0)


def _join(trees):
    sizes = np.array([tree.node_count for tree in trees])
    roots = np.cumsum(sizes) - sizes
    children, columns, thresholds = [], [], []
    for root, tree in zip(roots, trees, strict=True):
        own = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        pair = np.column_stack([tree.children_left, tree.children_right])
        children.append(root + np.where(leaf[:, None], own[:, None], pair))
        columns.append(np.where(leaf, 0, tree.feature))
        thresholds.append(np.where(leaf, np.inf, tree.threshold))
    return Forest(
        roots=roots.astype(np.int32),
        columns=np.concatenate(columns).astype(np.int32),
        children=np.concatenate(children).astype(np.int32),
        thresholds=np.concatenate(thresholds),
        values=np.concatenate([tree.value[:, 0, 0] for tree in trees]),
        depth=int(max(tree.max_depth for tree in trees)),
    )
