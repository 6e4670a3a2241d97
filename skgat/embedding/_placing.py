"""Where unknown nodes go among the known ones: in numpy, one row at a time, from frozen state."""

__all__ = ["Placement", "propagate"]

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """What it takes to place an unknown model or dataset.

    Attributes
    ----------
    kind : {"mean", "sage", "gat"}
        Whether to take the mean of the neighbours or what trained layers make of them.
    likeness : dict of Likeness
        By side.
    similar : bool
        Whether similar nodes of the same side are neighbours.
    levels : list of float arrays of shape (n_nodes, n_components)
        The states of the known nodes; the last ones are their vectors.
    weights : dict of float arrays
        Of the trained layers.
    n_models : int
    """

    kind: str
    likeness: dict
    similar: bool
    levels: list
    weights: dict
    n_models: int

    def vectors(self, side):
        """The vectors of the known nodes of a side."""
        table = self.levels[-1]
        return table[: self.n_models] if side == "model" else table[self.n_models :]

    def place(self, side, ids, features, others, strengths):
        """Vectors of nodes that are not in the graph.

        Parameters
        ----------
        side : {"model", "dataset"}
        ids : array of shape (n_rows,)
        features : float array of shape (n_rows, n_features)
        others : integer array of shape (n_rows,)
            The known node of the other side that the row pairs it with.
        strengths : float array of shape (n_rows,)
            The weight of the edge to it; 0 for none.

        Returns
        -------
        float array of shape (n_rows, n_components)
        """
        near, weights = self._similar(side, ids, features)
        near = np.column_stack([near + (0 if side == "model" else self.n_models), others])
        weights = np.column_stack([weights, strengths])
        if self.kind == "mean":
            total = weights.sum(axis=1, keepdims=True)
            lonely = total[:, 0] <= 0
            mean = np.einsum("nk,nkd->nd", weights / np.where(total > 0, total, 1.0), self.levels[-1][near])
            mean[lonely] = self.vectors(side).mean(axis=0)
            return mean
        likeness = self.likeness[side]
        scaled = (features - likeness.center) / likeness.scale
        states = scaled @ self.weights[f"{side}_features"] + self.weights[f"{side}_bias"]
        # Models have no edges among themselves in training, so the layers know nothing to make of them.
        weights = weights * np.append(np.full(near.shape[1] - 1, side == "dataset"), True)
        for number in (0, 1):
            states = propagate(self.kind, self.weights, number, states, self.levels[number][near], weights)
        return states

    def _similar(self, side, ids, features):
        """The similar nodes of each row; equal rows are looked up once."""
        if not self.similar:
            return np.zeros((len(ids), 0), dtype=np.int64), np.zeros((len(ids), 0))
        likeness = self.likeness[side]
        listed = likeness.listed(ids)
        _, first, codes = np.unique(np.column_stack([listed, features]), axis=0, return_index=True, return_inverse=True)
        near, weights = likeness.nearest(ids[first], features[first])
        return near[codes.reshape(-1)], weights[codes.reshape(-1)]


def propagate(kind, weights, number, states, heard, strengths):
    """One trained layer at nodes whose neighbours keep the states that they have.

    Parameters
    ----------
    kind : {"sage", "gat"}
    weights : dict of float arrays
    number : int
        Of the layer.
    states : float array of shape (n_nodes, n_components)
    heard : float array of shape (n_nodes, n_neighbors, n_components)
        The neighbours' states.
    strengths : float array of shape (n_nodes, n_neighbors)
        Weights of the edges; 0 for none.

    Returns
    -------
    float array of shape (n_nodes, n_components)
    """
    w = {name: weights[f"{name}{number}"].astype(np.float64) for name in ("own", "heard", "bias")}
    if kind == "sage":
        shares = strengths
        values = heard
    else:
        values = heard @ w["heard"]
        come = (values @ weights[f"from{number}"])[..., 0]
        go = states @ w["heard"] @ weights[f"to{number}"]
        logits = come + go + strengths * weights[f"strength{number}"][0, 0]
        logits = np.where(logits > 0, logits, 0.2 * logits)
        largest = np.max(logits, axis=1, where=strengths > 0, initial=-np.inf, keepdims=True)
        shares = np.where(strengths > 0, np.exp(np.minimum(logits - np.maximum(largest, -1e30), 0.0)), 0.0)
    total = shares.sum(axis=1, keepdims=True)
    mixed = np.einsum("nk,nkd->nd", shares / np.where(total > 0, total, 1.0), values)
    states = states @ w["own"] + (mixed @ w["heard"] if kind == "sage" else mixed) + w["bias"]
    states = np.maximum(states, 0.0) if number == 0 else states
    return states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
