"""Vectors of documents from their words: by singular values, or learned as graph2vec learns them."""

__all__ = ["LearnedDocuments", "SingularDocuments"]

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.utils.extmath import svd_flip

#: The penalty of vectors, in units of words.
_PENALTY = 0.1
_MOST_ROUNDS = 300
_MOST_STEPS = 100


@dataclass(frozen=True)
class SingularDocuments:
    """Principal components of the logarithms of the counts.

    Attributes
    ----------
    mean : array of shape (n_words,)
    components : array of shape (n_components, n_words)
    """

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, counts, n_components):
        """Find the components.

        Parameters
        ----------
        counts : array of shape (n_documents, n_words)
        n_components : int

        Returns
        -------
        SingularDocuments
        """
        mean = counts.mean(axis=0)
        left, sizes, right = np.linalg.svd(counts - mean, full_matrices=False)
        _, right = svd_flip(left, right, u_based_decision=False)
        return cls(mean, right[: max(1, min(n_components, int((sizes > 1e-9 * (sizes[0] + 1e-300)).sum())))])

    def embed(self, counts):
        """The vectors of documents.

        Parameters
        ----------
        counts : array of shape (n_documents, n_words)

        Returns
        -------
        array of shape (n_documents, n_components)
        """
        # One by one: a product of many rows would round each differently than alone.
        return np.array([self.components @ row for row in counts - self.mean]).reshape(len(counts), -1)


@dataclass(frozen=True)
class LearnedDocuments:
    """Vectors from which the words of a document are told by a softmax over all words.

    The model of graph2vec with the full softmax in place of sampled negatives: then nothing is random, and the vector
    of a further document is the one optimum of a convex problem.

    Attributes
    ----------
    bias : array of shape (n_words,)
    words : array of shape (n_words, n_components)
    """

    bias: np.ndarray
    words: np.ndarray

    @classmethod
    def fit(cls, counts, n_components):
        """Learn the vectors of the words.

        Parameters
        ----------
        counts : array of shape (n_documents, n_words)
        n_components : int

        Returns
        -------
        LearnedDocuments
        """
        n, m = counts.shape
        start = SingularDocuments.fit(counts, n_components)
        k = len(start.components)
        bias = np.log(counts.sum(axis=0) + 1e-3)
        documents = start.embed(counts)
        scale = np.sqrt(np.linalg.norm(documents) + 1e-12)
        first = np.concatenate([(documents / scale).ravel(), (start.components.T * 0.1).ravel()])
        totals = counts.sum(axis=1, keepdims=True)

        def loss(parameters):
            documents, words = parameters[: n * k].reshape(n, k), parameters[n * k :].reshape(m, k)
            scores = log_softmax(documents @ words.T + bias, axis=1)
            value = -np.vdot(counts, scores) + 0.5 * _PENALTY * (parameters @ parameters)
            error = totals * np.exp(scores) - counts
            gradient = np.concatenate([(error @ words).ravel(), (error.T @ documents).ravel()])
            return value, gradient + _PENALTY * parameters

        found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": _MOST_ROUNDS}).x
        return cls(bias, found[n * k :].reshape(m, k))

    def embed(self, counts):
        """The vectors of documents, each by itself.

        Parameters
        ----------
        counts : array of shape (n_documents, n_words)

        Returns
        -------
        array of shape (n_documents, n_components)
        """
        return np.array([self._solve(row) for row in counts]).reshape(len(counts), self.words.shape[1])

    def _solve(self, counts):
        """Newton's method with halved steps; the loss is strictly convex."""
        vector, total = np.zeros(self.words.shape[1]), counts.sum()
        loss = self._loss(vector, counts)
        for _ in range(_MOST_STEPS):
            shares = softmax(self.words @ vector + self.bias)
            mean = shares @ self.words
            gradient = total * mean - counts @ self.words + _PENALTY * vector
            curvature = total * ((self.words.T * shares) @ self.words - np.outer(mean, mean))
            step = np.linalg.solve(curvature + _PENALTY * np.eye(len(vector)), gradient)
            size = 1.0
            while (better := self._loss(vector - size * step, counts)) > loss and size > 1e-8:
                size /= 2
            if loss - better <= 1e-12 * abs(loss):
                break
            vector, loss = vector - size * step, better
        return vector

    def _loss(self, vector, counts):
        return -counts @ log_softmax(self.words @ vector + self.bias) + 0.5 * _PENALTY * (vector @ vector)
