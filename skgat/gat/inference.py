"""Prediction from frozen state, in numpy alone: no torch, no other row of the call.

What training leaves behind is a table of decoder terms for every known node. A known pair is a few vector operations
on two of their rows. An unknown node is brought to the same form from its own features, one by one.
"""

__all__ = ["ASKED_OF_KNOWN", "CASES", "End", "FrozenNetwork", "as_distances", "product"]

from dataclasses import dataclass

import numpy as np

from .._likeness import Likeness
from ..graph import neighbors

#: What is known of a pair that is predicted: both ends, all but the dataset, all but the model, nothing. The errors of
#: a prediction are told apart by it; a case is numbered 1 for an unknown dataset plus 2 for an unknown model.
CASES = ("pair", "dataset", "model", "both")
#: The trees for unknown models have a say for known ones too: here is what else is known where each of them have.
ASKED_OF_KNOWN = {"model": "pair", "both": "dataset"}


#: Less alike than this is all the same.
_LEAST_SIMILARITY = 1e-3


def as_distances(weights):
    """Similarities from 0 to 1 in the units of distances, so that attention falls in proportion."""
    return -np.log(np.maximum(weights, _LEAST_SIMILARITY))


def _elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


def product(terms, others):
    """The addend of many nodes, and their inner products with one node of the other side, read once where they lie.

    Parameters
    ----------
    terms : array of shape (..., n_nodes, n_terms)
    others : array of shape (..., n_terms)
        Its addend, which comes first, is left out.

    Returns
    -------
    array of shape (..., n_nodes)
    """
    direction = others.astype(terms.dtype)
    direction[..., 0] = 1.0
    return (terms @ direction[..., None])[..., 0]


@dataclass(frozen=True)
class End:
    """One end of the pairs of a call: who is known by place, everybody else attached once.

    Attributes
    ----------
    codes : integer array of shape (n_pairs,)
        Places in the tables of known nodes; -1 for an unknown one.
    places : integer array of shape (n_pairs,) or None
        Of the unknown ones, among those attached.
    attached : tuple of arrays or None
        For each table, the same of the unknown nodes.
    """

    codes: np.ndarray
    places: np.ndarray | None = None
    attached: tuple | None = None

    def rows(self, number, table, rows):
        """What a table of known nodes, and the attachment of that number, say of some pairs; nodes are axis -2."""
        codes = self.codes[rows]
        found = table.take(codes, axis=-2).astype(np.float64, copy=False)
        if self.attached is not None:
            new = codes < 0
            found[..., new, :] = self.attached[number][..., self.places[rows][new], :]
        return found


@dataclass(frozen=True)
class FrozenNetwork:
    """A trained network and what it says of every known node.

    Attributes
    ----------
    config : dict
        Sizes and choices, plain numbers and strings.
    trained : dict of arrays
        The ids that training saw, by side; the graph may have grown since.
    weights : dict of arrays
        The trained parameters by name; the first axis is the ensemble member.
    scaling : dict of arrays
        ``<side>_center`` and ``<side>_scale`` of the features of models, datasets and pairs.
    mean : array of shape (n_members,)
    levels : dict of arrays of shape (n_members, n_nodes, n_states)
        The states of the known nodes at all levels, by side.
    terms : dict of arrays of shape (n_members, n_nodes, n_terms)
        Their decoder terms, by side.
    scarcity : dict of arrays of shape (n_nodes,)
        By side: how much the variance of an error grows for want of records.
    likeness : Likeness or None
        The caller's table of similar datasets.
    """

    config: dict
    trained: dict
    weights: dict
    scaling: dict
    mean: np.ndarray
    levels: dict
    terms: dict
    scarcity: dict
    likeness: Likeness | None = None

    def scale(self, side, features):
        """Features in the units of training."""
        return (features - self.scaling[f"{side}_center"]) / self.scaling[f"{side}_scale"]

    def predict(self, models, datasets, pair_features):
        """Scores of pairs in the units of training, from the decoder terms of both ends.

        Parameters
        ----------
        models, datasets : arrays of shape (n_members, n_pairs, n_terms)
        pair_features : array of shape (n_pairs, n_pair_features)
            Scaled.

        Returns
        -------
        array of shape (n_members, n_pairs)
        """
        weights = self.weights
        out = models[..., 0] + datasets[..., 0] + (self.mean + weights["decode.offset"])[:, None]
        if self.config["decoder"] == "bilinear":
            out = out + np.einsum("kpq,kpq->kp", models[..., 1:], datasets[..., 1:])
        elif self.config["decoder"] == "mlp":
            hidden = _elu(models[..., 1:] + datasets[..., 1:])
            out = out + np.einsum("kpq,kq->kp", hidden, weights["decode.out"])
        return self._with_pairs(out, pair_features)

    def predict_column(self, models, dataset, pair_features):
        """The same of many models with one dataset, by one product where the decoder is one.

        Parameters
        ----------
        models : array of shape (n_members, n_models, n_terms)
        dataset : array of shape (n_members, 1, n_terms)
        pair_features : array of shape (1, n_pair_features)
            Scaled; the same of all.

        Returns
        -------
        array of shape (n_members, n_models)
        """
        if self.config["decoder"] == "mlp":
            return self.predict(models.astype(np.float64, copy=False), dataset, pair_features)
        level = dataset[..., 0] + (self.mean + self.weights["decode.offset"])[:, None]
        return self._with_pairs(product(models, dataset[:, 0]) + level, pair_features)

    def _with_pairs(self, out, pair_features):
        """What the terms of both ends say, with what the pair's own features add, as a score."""
        weights = self.weights
        if "decode.pair" in weights:
            hidden = _elu(pair_features @ weights["decode.pair_in"] + weights["decode.pair_bias"])
            added = (pair_features @ weights["decode.pair"] + hidden @ weights["decode.pair_out"])[..., 0]
            out = out + (1.0 - self.config["blank_pair"]) * added
        if self.config["conv"] == "gatconv":
            out = 1.0 / (1.0 + np.exp(-out))
        return out

    def listed(self, side, ids):
        """The row of the caller's table of similarities for each id; -1 for none."""
        if side == "model" or self.likeness is None:
            return np.full(len(ids), -1)
        return self.likeness.listed(ids)

    def attach(self, side, features, known_features, listed=None):
        """Decoder terms of nodes that training has not seen, each from its own scaled features.

        Parameters
        ----------
        side : {"model", "dataset"}
        features : array of shape (n_nodes, n_features)
        known_features : array of shape (n_known, n_features)
            The features of the known nodes, among which the nearest are looked up.
        listed : integer array of shape (n_nodes,), optional
            Rows of the caller's table that say it instead, where they are not negative.

        Returns
        -------
        array of shape (n_members, n_nodes, n_terms)
        """
        if self.config["conv"] == "gatconv":
            return self._attach_homogeneous(side, features)
        terms = self._attach_states(side, features, neighbors(features, known_features, self.config["n_neighbors"]))
        told = np.zeros(len(features), dtype=bool) if listed is None else listed >= 0
        if told.any():
            near, weights = self.likeness.by_table(listed[told])
            terms[:, told] = self._attach_states(side, features[told], (near, as_distances(weights)))
        blank = self.config[f"blank_{side}"]
        if blank:
            nobody = np.zeros((1, 0), dtype=np.int64), np.zeros((1, 0))
            blind = self._attach_states(side, np.zeros((1, features.shape[1])), nobody)
            terms = (1.0 - blank) * terms + blank * blind
        return terms

    def _attach_states(self, side, features, near):
        weights, width = self.weights, self.config["hidden_dim"]
        state = _elu(features @ weights[f"into.{side}"] + weights[f"into.{side}_bias"])
        levels = [state]
        for number in range(self.config["n_layers"]):
            known = self.levels[side][..., number * width : (number + 1) * width].astype(np.float64)
            state = self._layer(f"layers.{side}.{number}.", state, known, near)
            levels.append(state)
        states = np.concatenate(levels, axis=-1) if self.config["combine"] == "concat" else state
        states = np.concatenate([states, np.zeros((*states.shape[:2], 1))], axis=-1)
        return self._terms(side, states)

    def _layer(self, name, state, known, near):
        """A layer of a node without records: it hears nothing but the nodes that resemble it."""
        layer = {key.removeprefix(name): value for key, value in self.weights.items() if key.startswith(name)}
        out = state @ layer["keep"] + layer["bias"]
        indices, distances = near
        if self.config["n_neighbors"] and indices.shape[1]:
            logits = (state @ layer["near_query"])[:, :, None] + (known @ layer["near_key"])[:, indices]
            logits = np.where(logits > 0, logits, 0.2 * logits) - distances[..., None]
            shares = np.exp(logits - logits.max(axis=2, keepdims=True))
            shares /= shares.sum(axis=2, keepdims=True)
            values = (known @ layer["near"])[:, indices]
            values = values.reshape(*values.shape[:3], self.config["n_heads"], -1)
            heard = (shares[..., None] * values).sum(axis=2).reshape(*state.shape[:2], -1)
            out = out + heard @ layer["out"][:, -heard.shape[2] :]
        return _elu(out)

    def _terms(self, side, states):
        weights, rank = self.weights, self.config["rank"]
        parts = [states @ weights[f"decode.{side}"]]
        if self.config["decoder"] == "bilinear":
            parts.append(states @ weights[f"decode.{side}_factors"] / rank**0.25)
        elif self.config["decoder"] == "mlp":
            hidden = states @ weights[f"decode.{side}_hidden"]
            parts.append(hidden + weights["decode.hidden_bias"] if side == "model" else hidden)
        return np.concatenate(parts, axis=-1)

    def _attach_homogeneous(self, side, features):
        weights = self.weights
        n_models = self.config["n_model_features"]
        rows = weights["into.features"]
        rows = rows[:, :n_models] if side == "model" else rows[:, n_models:]
        state = features @ rows + weights["into.bias"]
        levels = [state]
        members = range(len(state))
        heads = self.config["n_heads"]
        for number in range(self.config["n_layers"]):
            # A node that nobody points to attends to itself alone: its heads are averaged, then biased.
            names = [f"convs.{number}.{member}" for member in members]
            linear = np.stack([weights[f"{name}.lin.weight"] for name in names])
            linear = linear.reshape(len(linear), heads, -1, linear.shape[-1]).mean(axis=1)
            bias = np.stack([weights[f"{name}.bias"] for name in names])
            state = state @ linear.transpose(0, 2, 1) + bias[:, None]
            levels.append(state)
        states = np.concatenate(levels, axis=-1) if self.config["combine"] == "concat" else state
        return (states @ weights["out"] + weights["out_bias"]) @ weights[f"decode.{side}"]
