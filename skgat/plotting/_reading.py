"""What displays read of a recommender and of records."""

__all__ = ["display_name", "read_scored", "read_vectors"]

import numpy as np
from sklearn.utils import check_array, check_consistent_length

from .._fitted import inspect_recommender
from .._frames import as_pandas, column_names, is_frame
from ..metrics import without_target
from ..model_selection import read_ids


def read_scored(recommender, X, y):
    """True scores, the dataset of each row, and the records without the scores.

    Parameters
    ----------
    recommender : fitted estimator
    X : frame of records
    y : array-like of shape (n_records,) or None
        The scores; X's target column if None.

    Returns
    -------
    y : array of shape (n_records,)
    datasets : array of shape (n_records,)
    X : frame
        For the recommender to predict from; it cannot see the scores.
    """
    names = inspect_recommender(recommender).names
    if y is None:
        if not is_frame(X) or names["target"] not in column_names(X):
            raise ValueError(f"X has no target column {names['target']!r} and y is None; pass the scores as y.")
        y = as_pandas(X, columns=[names["target"]])[names["target"]]
    return y, read_ids(X, names["dataset"], 1), without_target(X, names["target"], recommender)


def read_vectors(**vectors):
    """Check that vectors of numbers are finite and of one length; as double precision arrays in the given order."""
    found = [
        check_array(values, ensure_2d=False, dtype=np.float64, input_name=name) for name, values in vectors.items()
    ]
    for name, values in zip(vectors, found, strict=True):
        if values.ndim != 1:
            raise ValueError(f"{name} has shape {values.shape}, but expected one number a row.")
    check_consistent_length(*found)
    return found


def display_name(recommender, name):
    """What the legend calls a recommender: the name given, else the class of its last step."""
    return type(inspect_recommender(recommender).regressor).__name__ if name is None else name
