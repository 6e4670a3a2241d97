"""The warnings and errors that skgat raises beside Python's and scikit-learn's own."""

__all__ = [
    "DownloadError",
    "DuplicatePairWarning",
    "PersistenceError",
    "UndefinedMetricWarning",
    "UnknownEntityWarning",
    "warn_of_unknown",
]

import warnings

from sklearn.exceptions import UndefinedMetricWarning


class UnknownEntityWarning(UserWarning):
    """A model or dataset that was not in ``fit`` and has no metadata: only an additive guess is left."""


class DuplicatePairWarning(UserWarning):
    """A (model, dataset) pair occurs more than once with different scores; the scores are averaged."""


class DownloadError(OSError):
    """A file could not be fetched, or what came is not the file that was asked for."""


class PersistenceError(ValueError):
    """A file is not a recommender that this version of skgat can read."""


def warn_of_unknown(bare, stacklevel=3):
    """One warning for all ids of a call that are unknown and come without metadata.

    Parameters
    ----------
    bare : dict of sets
        The ids by side, "model" and "dataset".
    stacklevel : int
        As in :func:`warnings.warn`, seen from the caller.
    """
    parts = [f"{len(ids)} unknown {side}(s), such as {min(ids, key=str)!r}," for side, ids in bare.items() if ids]
    if parts:
        warnings.warn(
            f"{' and '.join(parts)} come without any metadata; what is left to predict them is an additive guess.",
            UnknownEntityWarning,
            stacklevel=stacklevel,
        )
