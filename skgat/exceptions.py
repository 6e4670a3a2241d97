"""The warnings and errors that skgat raises beside Python's and scikit-learn's own."""

__all__ = [
    "DownloadError",
    "DuplicatePairWarning",
    "InconsistentSkgatVersionWarning",
    "PersistenceError",
    "UndefinedMetricWarning",
    "UnknownEntityWarning",
    "warn_of_rounds",
    "warn_of_unknown",
]

import warnings

from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning


class UnknownEntityWarning(UserWarning):
    """A model or dataset that was not in ``fit`` and has no metadata: only an additive guess is left."""


class DuplicatePairWarning(UserWarning):
    """A (model, dataset) pair occurs more than once with different scores; the scores are averaged."""


class InconsistentSkgatVersionWarning(UserWarning):
    """A pickle comes from another version of skgat.

    Parameters
    ----------
    estimator_name : str
    current_skgat_version, original_skgat_version : str
    """

    def __init__(self, *, estimator_name, current_skgat_version, original_skgat_version):
        super().__init__(estimator_name, current_skgat_version, original_skgat_version)
        self.estimator_name = estimator_name
        self.current_skgat_version = current_skgat_version
        self.original_skgat_version = original_skgat_version

    def __str__(self):
        return (
            f"This {self.estimator_name} was pickled by skgat {self.original_skgat_version} and is read by skgat "
            f"{self.current_skgat_version}, which may fail or predict something else. Fit it again, or use "
            "skgat.persistence, whose files later versions can read."
        )


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


def warn_of_rounds(estimator, change, stacklevel=3):
    """Warn that an estimator used up its rounds before what it fits stood still.

    Parameters
    ----------
    estimator : estimator
        With the arguments `max_iter` and `tol`; without a tolerance it was to use them up.
    change : str
        What changed in the last round by more than `tol`.
    stacklevel : int
        As in :func:`warnings.warn`, seen from the caller.
    """
    if estimator.tol > 0:
        warnings.warn(
            f"{type(estimator).__name__} did not converge: {change} still changed by more than tol={estimator.tol:g} "
            f"in the last of max_iter={estimator.max_iter} rounds. Increase max_iter.",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
