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
_NOISE = 512
#: Noise of a node in word2vec: its frequency to this power.
_NOISE_POWER = 0.75
#: Share of the negatives that are known negative pairs, where there are any; the rest is noise.
_KNOWN_NEGATIVES = 0.5
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
        self.pairs, self.rng = pairs, rng
        self.weights = weights / weights.sum()
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
    small = np.exp(-np.abs(logits))
    share = np.where(logits < 0, small, np.float32(1.0)) / (1 + small)
    return share, np.maximum(logits, 0) + np.log(1 + small)


def _add_pairs(gradient, vectors, pairs, weights, positive):
    """Add the gradient of the weighted logistic loss of pairs; return the loss."""
    left, right = pairs.T
    logits = np.einsum("ij,ij->i", vectors[left], vectors[right])
    sign = np.float32(-1.0 if positive else 1.0)
    share, losses = _logistic(sign * logits)
    slopes = (sign * share * weights).astype(np.float32)
    ends = np.concatenate([left, right]), np.concatenate([right, left])
    gradient += csr_array((np.concatenate([slopes, slopes]), ends), shape=(len(vectors), len(vectors))) @ vectors
    return float(weights @ losses)


def _add_noise(gradient, vectors, mass, noise, rng):
    """Add the gradient of the loss of pairs of each center with noise; return the loss."""
    centers = np.flatnonzero(mass)
    if len(noise) <= _NOISE:
        others, weights = np.arange(len(noise)), noise
    else:
        others = rng.choice(len(noise), _NOISE, p=noise)
        weights = np.full(_NOISE, 1.0 / _NOISE)
    share, losses = _logistic(vectors[centers] @ vectors[others].T)
    weights = np.multiply.outer(mass[centers], weights).astype(np.float32)
    weights[centers[:, None] == others] = 0.0
    slopes = share * weights
    gradient[centers] += slopes @ vectors[others]
    np.add.at(gradient, others, slopes.T @ vectors[centers])
    return float(np.vdot(weights, losses))


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
