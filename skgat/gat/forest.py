"""Trees for models without records: grown by scikit-learn, kept as arrays.

What tells one unknown model from another is often a threshold: large enough, trained on text, a measure above some
value. The smooth functions of networks and kernels learn that slowly, trees at once. Each tree hears of some models and
of some datasets only, so that what it says of the others tells how good the trees are where nothing is known.
"""

__all__ = ["Forest", "Ignorance", "grow"]

from dataclasses import dataclass

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from ..graph import SIDES
from ..records import ROLES

_TREES = 100
#: Fewer models would be learned by heart.
_FEWEST_MODELS = 5
#: A tree learns from at most so many records, so that the trees of a large history cost no more than its networks.
_MOST_RECORDS = 5_000
_LEAF_RECORDS = 3
_BLOCK = 4_096


@dataclass(frozen=True)
class Forest:
    """All trees one after the other; a leaf is its own child.

    Attributes
    ----------
    roots : integer array of shape (n_trees,)
    columns : integer array of shape (n_nodes,)
        What a node looks at, among the features of all roles side by side.
    children : integer array of shape (n_nodes, 2)
        Where to go if the value is at most the threshold, and where if it is larger.
    thresholds, values : arrays of shape (n_nodes,)
    depth : int
    shares : dict of float
        What part of a prediction comes from the trees, by the names in ``CASES``.
    """

    roots: np.ndarray
    columns: np.ndarray
    children: np.ndarray
    thresholds: np.ndarray
    values: np.ndarray
    depth: int
    shares: dict

    def predict(self, features, trees=None):
        """Scores in the units of training.

        Parameters
        ----------
        features : dict of arrays of shape (n_pairs, n_features)
            Scaled, by role.
        trees : boolean array of shape (n_pairs, n_trees), optional
            Who is asked about each pair; by default all are. The score is NaN where nobody is.

        Returns
        -------
        array of shape (n_pairs,)
        """
        table = _table(features)
        scores = np.empty(len(table))
        for start in range(0, len(table), _BLOCK):
            rows = slice(start, start + _BLOCK)
            values = self.values[self._leaves(table[rows])]
            if trees is None:
                scores[rows] = values.mean(axis=1, dtype=np.float64)
                continue
            n_asked = trees[rows].sum(axis=1)
            sums = (values * trees[rows]).sum(axis=1, dtype=np.float64)
            scores[rows] = np.divide(sums, n_asked, out=np.full(len(sums), np.nan), where=n_asked > 0)
        return scores

    def _leaves(self, table):
        nodes = np.repeat(self.roots[None], len(table), axis=0)
        rows = np.arange(len(table))[:, None]
        for _ in range(self.depth):
            larger = table[rows, self.columns[nodes]] > self.thresholds[nodes]
            nodes = self.children[nodes, larger.astype(np.intp)]
        return nodes


@dataclass(frozen=True)
class Ignorance:
    """Which trees never heard of whom.

    Attributes
    ----------
    of_models, of_datasets : boolean arrays of shape (n_nodes, n_trees)
    """

    of_models: np.ndarray
    of_datasets: np.ndarray

    def trees(self, case, models, datasets):
        """The trees to which pairs of these nodes are a case of an unknown model, or of both ends unknown."""
        no_dataset = self.of_datasets[datasets]
        return self.of_models[models] & (no_dataset if case == "both" else ~no_dataset)


def grow(graph, features, target, seed):
    """Grow the trees.

    Parameters
    ----------
    graph : Graph
    features : dict of arrays
        Scaled, by role: of the nodes, and of the edges for pairs.
    target : array of shape (n_edges,)
    seed : int

    Returns
    -------
    forest : Forest or None
        Without shares. None where models are too few, or nothing describes them.
    ignorance : Ignorance or None
    """
    if graph.n_models < _FEWEST_MODELS or not (features["model"].shape[1] or features["pair"].shape[1]):
        return None, None
    codes = {side: getattr(graph, f"edge_{side}s") for side in SIDES}
    standard = graph.weights / graph.weights.max()
    rng = np.random.default_rng(seed)
    trees, ignorance = [], []
    for _ in range(_TREES):
        # Records of one model are no independent witnesses, nor are those of one dataset: both sides are resampled.
        counts = {side: _resample(rng, getattr(graph, f"n_{side}s")) for side in SIDES}
        weights = standard * counts["model"][codes["model"]] * counts["dataset"][codes["dataset"]]
        rows = np.flatnonzero(weights)
        if len(rows) > _MOST_RECORDS:
            rows = rng.choice(rows, _MOST_RECORDS, replace=False)
        state = int(rng.integers(np.iinfo(np.int32).max))
        if not len(rows):
            continue
        told = {side: features[side][codes[side][rows]] for side in SIDES} | {"pair": features["pair"][rows]}
        tree = DecisionTreeRegressor(max_features=1 / 3, min_samples_leaf=_LEAF_RECORDS, random_state=state)
        trees.append(tree.fit(_table(told), target[rows], sample_weight=weights[rows]).tree_)
        ignorance.append([counts[side] == 0 for side in SIDES])
    if not trees:
        return None, None
    return _join(trees), Ignorance(*(np.column_stack(parts) for parts in zip(*ignorance, strict=True)))


def _resample(rng, n_nodes):
    return np.bincount(rng.integers(n_nodes, size=n_nodes), minlength=n_nodes)


def _table(features):
    """The features of all roles side by side, as exact as trees look at them."""
    table = np.hstack([features[role] for role in ROLES])
    limit = np.finfo(np.float32).max
    return np.clip(table, -limit, limit).astype(np.float32)


def _join(trees):
    sizes = [tree.node_count for tree in trees]
    roots = (np.cumsum(sizes) - sizes).astype(np.int32)
    inner = np.concatenate([tree.children_left >= 0 for tree in trees])
    itself = np.arange(len(inner), dtype=np.int32)
    pairs = [np.column_stack([tree.children_left, tree.children_right]) for tree in trees]
    children = np.repeat(roots, sizes)[:, None] + np.concatenate(pairs)
    return Forest(
        roots=roots,
        columns=np.where(inner, np.concatenate([tree.feature for tree in trees]), 0).astype(np.int32),
        children=np.where(inner[:, None], children, itself[:, None]).astype(np.int32),
        thresholds=_round_down(np.concatenate([tree.threshold for tree in trees])),
        values=np.concatenate([tree.value[:, 0, 0] for tree in trees]).astype(np.float32),
        depth=max(tree.max_depth for tree in trees),
        shares={},
    )


def _round_down(thresholds):
    """In single precision: no feature, which is in single precision too, is on the other side then."""
    single = thresholds.astype(np.float32)
    return np.where(single > thresholds, np.nextafter(single, np.float32(-np.inf)), single)
