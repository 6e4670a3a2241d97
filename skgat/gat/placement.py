"""The level and the spread of a dataset's scores, from its features."""

__all__ = ["Placement", "place"]

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, softmax, stdtrit

from .kernel import blocks, similarity

#: Similarity is looked up among at most this many datasets.
_LANDMARKS = 512
_LENGTHS = (0.5, 1.0, 2.0, 4.0)
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
#: The odds with which it is the mean before anything was seen: of many guesses some look good on a few nodes by luck.
_MEAN = 0.8


@dataclass(frozen=True)
class Placement:
    """Kernel regressions of several values of a node, averaged.

    Attributes
    ----------
    landmarks : array of shape (n_landmarks, n_features)
        Scaled.
    lengths : array of shape (n_lengths,)
        How far similarity reaches.
    constants, errors : arrays of shape (n_values,)
        The errors are those on nodes that were left out: their root mean square, widened as the quantiles of Student's
        distribution are when there are few.
    coefficients : array of shape (n_lengths, n_landmarks, n_values)
    """

    landmarks: np.ndarray
    lengths: np.ndarray
    constants: np.ndarray
    coefficients: np.ndarray
    errors: np.ndarray

    def predict(self, features):
        """The values of nodes, one row each, from their scaled features."""
        found = np.tile(self.constants, (len(features), 1))
        for rows in blocks(len(features)):
            for length, coefficients in zip(self.lengths, self.coefficients, strict=True):
                found[rows] += similarity(features[rows], self.landmarks, length) @ coefficients
        return found


def place(features, values):
    """Fit a placement: the mean of the nodes and regressions on their features, each as far as it can be believed.

    How far is what it predicts of left-out nodes, as for models whose errors are normal; so nothing jumps when there is
    a little more to learn from.

    Parameters
    ----------
    features : array of shape (n_nodes, n_features)
        Scaled.
    values : array of shape (n_nodes, n_values)

    Returns
    -------
    placement : Placement
    others : array of shape (n_nodes, n_values)
        What the other nodes say of each.
    trust : array of shape (n_values,)
        How far the features are listened to, from 0 to 1.
    """
    chosen = np.unique(np.linspace(0, len(features) - 1, min(len(features), _LANDMARKS)).astype(np.int64))
    landmarks, told = features[chosen], values[chosen]
    n_nodes, n_values = told.shape
    usable = landmarks.shape[1] > 0 and n_nodes >= 3
    lengths = np.array(_LENGTHS if usable else ())
    mean, rest = told.mean(axis=0), told - told.mean(axis=0)
    left_out, coefficients, averages = [rest * n_nodes / max(n_nodes - 1, 1)], [], []
    for length in lengths:
        average, *parts = _regressions(landmarks, rest, length)
        averages.append(average)
        for errors, of_landmarks in zip(*parts, strict=True):
            left_out.append(errors)
            coefficients.append(of_landmarks)
    weights = _weights(np.array(left_out))
    errors = np.einsum("cv,cnv->nv", weights, left_out)
    shape = len(lengths), len(_RIDGES)
    coefficients = np.reshape(coefficients, (*shape, n_nodes, n_values))
    mixed = np.einsum("lrv,lrnv->lnv", weights[1:].reshape(*shape, n_values), coefficients)
    constants = mean - np.einsum("ln,lnv->v", np.reshape(averages, (len(lengths), n_nodes)), mixed)
    widened = stdtrit(max(n_nodes - 1, 1), 0.95) / ndtri(0.95)
    placement = Placement(landmarks, lengths, constants, mixed, np.sqrt(np.mean(errors**2, axis=0)) * widened)
    others = np.empty_like(values)
    others[chosen] = told - errors
    apart = np.setdiff1d(np.arange(len(values)), chosen)
    others[apart] = placement.predict(features[apart])
    return placement, others, 1.0 - weights[0]


def _regressions(landmarks, rest, length):
    """Mean similarity to each landmark; by ridge, errors on left-out nodes and coefficients."""
    near = similarity(landmarks, landmarks, length)
    average = near.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(near - average - average[:, None] + average.mean())
    eigenvalues = np.maximum(eigenvalues, 0.0)[:, None]
    turned = vectors.T @ rest
    left_out, coefficients = [], []
    for ridge in _RIDGES:
        shares = eigenvalues / (eigenvalues + ridge)
        leverage = 1.0 / len(rest) + vectors**2 @ shares
        left_out.append((rest - vectors @ (shares * turned)) / np.maximum(1.0 - leverage, 1e-9))
        coefficients.append(vectors @ (turned / (eigenvalues + ridge)))
    return average, left_out, coefficients


def _weights(left_out):
    """How far the mean, which comes first, and each of the others is believed; one column a value, they sum to one."""
    n_choices, n_nodes, _ = left_out.shape
    prior = np.full(n_choices, (1.0 - _MEAN) / max(n_choices - 1, 1))
    prior[0] = _MEAN
    squares = np.maximum(np.mean(left_out**2, axis=1), np.finfo(np.float64).tiny)
    return softmax(np.log(prior)[:, None] - n_nodes / 2 * np.log(squares), axis=0)
