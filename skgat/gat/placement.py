"""The level and the spread of a dataset's scores, from its features."""

__all__ = ["Placement", "place"]

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from .kernel import similarity

#: Similarity is looked up among at most this many datasets.
_LANDMARKS = 512
_LENGTHS = (0.5, 1.0, 2.0, 4.0)
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Placement:
    """A kernel regression for each of several values of a node.

    Attributes
    ----------
    landmarks : array of shape (n_landmarks, n_features)
        Scaled.
    center, lengths, errors : arrays of shape (n_values,)
        The constants, how far similarity reaches, and the errors on nodes that were left out: their root mean square,
        widened as the quantiles of Student's distribution are when there are few.
    coefficients : array of shape (n_landmarks, n_values)
    """

    landmarks: np.ndarray
    center: np.ndarray
    lengths: np.ndarray
    coefficients: np.ndarray
    errors: np.ndarray

    def predict(self, features):
        """The values of nodes, one row each, from their scaled features."""
        columns = [
            center + similarity(features, self.landmarks, length) @ coefficients
            for center, length, coefficients in zip(self.center, self.lengths, self.coefficients.T, strict=True)
        ]
        return np.column_stack(columns)


def place(features, values):
    """Fit a placement: what predicts left-out nodes best if it clearly does better than their mean, else the mean.

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
    """
    chosen = np.unique(np.linspace(0, len(features) - 1, min(len(features), _LANDMARKS)).astype(np.int64))
    landmarks = features[chosen]
    found = [_fit(landmarks, column) for column in values[chosen].T]
    center, lengths, coefficients, left_out = (np.array(part) for part in zip(*found, strict=True))
    errors = np.sqrt(np.mean(left_out**2, axis=1)) * stdtrit(max(len(landmarks) - 1, 1), 0.95) / ndtri(0.95)
    placement = Placement(landmarks, center, lengths, coefficients.T, errors)
    others = placement.predict(features)
    others[chosen] = values[chosen] - left_out.T
    return placement, others


def _fit(landmarks, values):
    """Constant, length, coefficients and errors of the best choice; the mean where features do not clearly help."""
    n_nodes = len(values)
    rest = values - values.mean()
    of_mean = rest * n_nodes / max(n_nodes - 1, 1)
    constant = values.mean(), 1.0, np.zeros(n_nodes), of_mean
    if not landmarks.shape[1] or n_nodes < 3:
        return constant
    best, least = constant, np.mean(of_mean**2)
    for length in _LENGTHS:
        near = similarity(landmarks, landmarks, length)
        average = near.mean(axis=0)
        centred = near - average - average[:, None] + average.mean()
        eigenvalues, vectors = np.linalg.eigh(centred)
        turned = vectors.T @ rest
        for ridge in _RIDGES:
            shares = np.maximum(eigenvalues, 0.0) / (np.maximum(eigenvalues, 0.0) + ridge)
            leverage = 1.0 / n_nodes + (vectors**2) @ shares
            left_out = (rest - vectors @ (shares * turned)) / np.maximum(1.0 - leverage, 1e-9)
            if np.mean(left_out**2) < least:
                least = np.mean(left_out**2)
                coefficients = vectors @ (turned / (np.maximum(eigenvalues, 0.0) + ridge))
                best = values.mean() - average @ coefficients, length, coefficients, left_out
    # The best of many choices looks good on a few nodes by luck: it must save more than the standard error of that.
    saved = of_mean**2 - best[3] ** 2
    return best if saved.mean() > saved.std(ddof=1) / np.sqrt(n_nodes) else constant
