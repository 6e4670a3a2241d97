"""The check of loaded decision trees: scikit-learn follows their node numbers without looking."""

__all__ = ["check_trees"]

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.tree import BaseDecisionTree


def check_trees(obj):
    """Refuse trees that point outside of themselves or of their input.

    Raises
    ------
    ValueError
        When a node's child or feature does not exist.
    """
    _check(obj, set())


def _check(obj, seen):
    if id(obj) in seen:
        return
    seen.add(id(obj))
    if isinstance(obj, list | tuple):
        parts = obj
    elif isinstance(obj, dict):
        parts = obj.values()
    elif isinstance(obj, np.ndarray) and obj.dtype == object:
        parts = obj.ravel().tolist()
    elif isinstance(obj, BaseEstimator):
        parts = vars(obj).values()
        _check_members(obj)
        if isinstance(obj, BaseDecisionTree) and hasattr(obj, "tree_"):
            _check_nodes(obj.tree_, obj.n_features_in_)
    else:
        return
    for part in parts:
        _check(part, seen)


def _check_members(ensemble):
    """All trees of an ensemble read the same columns, none more than the ensemble checks."""
    members = np.asarray(getattr(ensemble, "estimators_", []), dtype=object).ravel().tolist()
    widths = {tree.n_features_in_ for tree in members if isinstance(tree, BaseDecisionTree)}
    if len(widths) > 1 or max(widths, default=0) > getattr(ensemble, "n_features_in_", np.inf):
        raise ValueError("the trees of an ensemble disagree on the number of features")


def _check_nodes(tree, n_features):
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    inner = left != -1
    at = np.arange(tree.node_count)[inner]
    children = np.stack([left[inner], right[inner]])
    # A child that comes after its parent cannot lead back to it.
    sound = (children > at).all() and (children < tree.node_count).all()
    sound = sound and (feature[inner] >= 0).all() and (feature[inner] < n_features).all()
    if not sound or tree.n_features != n_features or not tree.node_count:
        raise ValueError("a decision tree points to nodes or features that do not exist")
