"""Vectors whose inner products tell which nodes occur near each other on walks, in numpy.

The skip-gram model with negative sampling (Mikolov et al., 2013), with one vector a node, so that the inner product
of a model and a dataset is itself the logit of a link between them. Pairs are counted first and trained on in large
batches; noise is the same for all pairs of a batch, which makes it a product of matrices. With few nodes a batch holds
every pair and every node is noise: the expectation of the loss, without sampling.
"""

__all__ = ["count_pairs", "train_vectors"]

import numpy as np
from scipy.sparse import csr_array

_BATCH = 2**16
#: The most nodes that stand for noise in a batch.
_NOISE = 256
#: Noise of a node in word2vec: its frequency to this power.
_NOISE_POWER = 0.75
#: Share of the negatives that are known negative pairs, where there are any; the rest is noise.
_KNOWN_NEGATIVES = 0.5
#: Beyond this, a logit is as good as certain.
_STEEP = 30.0
_DECAY = (0.9, 0.999)


def count_pairs(walks, window, n_nodes):
    """Count how often two nodes are at most ``window`` steps apart on a walk.

    Parameters
    ----------
    walks : integer array of shape (n_walks, walk_length)
    window : int
    n_nodes : int

    Returns
    -------
    pairs : integer array of shape (n_pairs, 2)
        The distinct pairs of different nodes, the smaller one first, sorted.
    counts : integer array of shape (n_pairs,)
    """
    keys = []
    for distance in range(1, min(window, walks.shape[1] - 1) + 1):
        left, right = walks[:, :-distance], walks[:, distance:]
        found = np.minimum(left, right) * n_nodes + np.maximum(left, right)
        keys.append(found[left != right])
    keys, counts = np.unique(np.concatenate(keys), return_counts=True)
    return np.column_stack(np.divmod(keys, n_nodes)), counts


def train_vectors(pairs, counts, negatives, n_nodes, n_components, n_negative, max_iter, learning_rate, rng):
    """Fit the vectors by Adam with a step size that falls to zero.

    Parameters
    ----------
    pairs, counts : integer arrays of shape (n_pairs, 2) and (n_pairs,)
        What :func:`count_pairs` found.
    negatives : integer array of shape (n_negatives, 2)
        Pairs that are known to be far apart; may be empty.
    n_nodes, n_components : int
    n_negative : float
        Negatives for one positive.
    max_iter : int
    learning_rate : float
    rng : numpy.random.Generator

    Returns
    -------
    vectors : float32 array of shape (n_nodes, n_components)
    losses : list of float
    """
    vectors = rng.normal(scale=n_components**-0.5, size=(n_nodes, n_components)).astype(np.float32)
    frequency = np.bincount(pairs.ravel(), np.repeat(counts, 2), n_nodes)
    noise = frequency**_NOISE_POWER / (frequency**_NOISE_POWER).sum()
    known = n_negative * _KNOWN_NEGATIVES if len(negatives) else 0.0
    positives = _Sampler(pairs, counts, rng)
    opposites = _Sampler(negatives, np.ones(len(negatives)), rng) if len(negatives) else None
    adam = _Adam(vectors, learning_rate, max_iter)
    losses = []
    for _ in range(max_iter):
        gradient = np.zeros_like(vectors)
        batch, weights = positives.draw()
        loss = _add_pairs(gradient, vectors, batch, weights, positive=True)
        centers = np.bincount(batch.ravel(), np.repeat(weights, 2) / 2, n_nodes)
        loss += _add_noise(gradient, vectors, centers * (n_negative - known), noise, rng)
        if opposites is not None:
            batch, weights = opposites.draw()
            loss += _add_pairs(gradient, vectors, batch, weights * known, positive=False)
        adam.step(gradient)
        losses.append(float(loss))
    return vectors, losses


class _Sampler:
    """Batches of weighted pairs: all of them where they fit in one, else drawn by weight."""

    def __init__(self, pairs, weights, rng):
        order = np.lexsort(pairs.T[::-1])
        self.pairs, self.rng = pairs[order], rng
        self.weights = weights[order] / weights.sum()
        self.before = np.cumsum(self.weights) if len(pairs) > _BATCH else None

    def draw(self):
        """Pairs and weights that sum to one."""
        if self.before is None:
            return self.pairs, self.weights
        # One draw in each of many equal strata: less noise than independent draws, and sorted.
        points = (np.arange(_BATCH) + self.rng.random(_BATCH)) / _BATCH * self.before[-1]
        rows = np.minimum(np.searchsorted(self.before, points, side="right"), len(self.pairs) - 1)
        return self.pairs[rows], np.full(_BATCH, 1.0 / _BATCH)


def _logistic(logits):
    """The logistic function of the logits, and minus the logarithm of what it leaves to one."""
    logits = np.clip(logits, -_STEEP, _STEEP)
    inverse = 1 + np.exp(-logits)
    return 1 / inverse, np.log(inverse) + logits


def _add_pairs(gradient, vectors, pairs, weights, positive):
    """Add the gradient of the weighted logistic loss of sorted pairs; return the loss."""
    left, right = pairs.T
    logits = np.einsum("ij,ij->i", vectors[left], vectors[right])
    sign = -1 if positive else 1
    share, losses = _logistic(sign * logits)
    slopes = (sign * share * weights).astype(vectors.dtype)
    starts = np.searchsorted(left, np.arange(len(vectors) + 1))
    matrix = csr_array((slopes, right, starts), shape=(len(vectors), len(vectors)))
    gradient += matrix @ vectors
    gradient += matrix.T @ vectors
    return float(weights @ losses)


def _add_noise(gradient, vectors, mass, noise, rng):
    """Add the gradient of the loss of pairs of each center with noise; return the loss."""
    centers = np.flatnonzero(mass)
    if len(noise) <= _NOISE:
        others, weights = np.arange(len(noise)), noise.astype(vectors.dtype)
    else:
        others = rng.choice(len(noise), _NOISE, p=noise)
        weights = np.full(_NOISE, 1.0 / _NOISE, dtype=vectors.dtype)
    mass = mass[centers].astype(vectors.dtype)
    slopes, losses = _logistic(vectors[centers] @ vectors[others].T)
    places = np.minimum(np.searchsorted(centers, others), len(centers) - 1)
    own = centers[places] == others
    slopes[places[own], np.flatnonzero(own)] = 0.0
    losses[places[own], np.flatnonzero(own)] = 0.0
    slopes *= weights
    slopes *= mass[:, None]
    gradient[centers] += slopes @ vectors[others]
    np.add.at(gradient, others, slopes.T @ vectors[centers])
    return float(mass @ (losses @ weights))


class _Adam:
    """The optimizer of Kingma and Ba (2015), in place."""

    def __init__(self, values, learning_rate, max_iter):
        self.values, self.learning_rate, self.max_iter = values, learning_rate, max_iter
        self.first, self.second, self.count = np.zeros_like(values), np.zeros_like(values), 0

    def step(self, gradient):
        """Move against the gradient."""
        rate = self.learning_rate * (1.0 - self.count / self.max_iter)
        self.count += 1
        for moment, value, decay in (
            (self.first, gradient, _DECAY[0]),
            (self.second, gradient * gradient, _DECAY[1]),
        ):
            moment *= np.float32(decay)
            moment += np.float32(1.0 - decay) * value
        corrected = [1.0 - decay**self.count for decay in _DECAY]
        scale = np.float32(rate / corrected[0])
        root = np.sqrt(self.second / np.float32(corrected[1]))
        self.values -= scale * self.first / (root + np.float32(1e-10))
