"""The warnings and errors that skgat raises beside Python's and scikit-learn's own."""

__all__ = [
    "DownloadError",
    "DuplicatePairWarning",
    "PersistenceError",
    "UndefinedMetricWarning",
    "UnknownEntityWarning",
]

from sklearn.exceptions import UndefinedMetricWarning


class UnknownEntityWarning(UserWarning):
    """A model or dataset that was not in ``fit`` and has no metadata: only an additive guess is left."""


class DuplicatePairWarning(UserWarning):
    """A (model, dataset) pair occurs more than once with different scores; the scores are averaged."""


class DownloadError(OSError):
    """A file could not be fetched, or what came is not the file that was asked for."""


class PersistenceError(ValueError):
    """A file is not a recommender that this version of skgat can read."""
