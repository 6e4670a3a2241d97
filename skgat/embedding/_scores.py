"""Scores of which some may be missing."""

__all__ = ["read_scores"]

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from .._frames import as_pandas, column_names, is_frame


def read_scores(estimator, X, y, pairs):
    """The scores of the rows; NaN for a pair that was not run.

    Parameters
    ----------
    estimator : estimator
        Gives the name of the target column.
    X : frame or array
        What the pairs were read from.
    y : array of shape (n_records,), optional
        When given, the target column is ignored.
    pairs : Pairs

    Returns
    -------
    float array of shape (n_records,)
    """
    name = type(estimator).__name__
    if y is None:
        if not pairs.named:
            raise ValueError(
                f"{name} requires y to be passed, but the target y is None: an array without column names holds no "
                "scores."
            )
        if not is_frame(X) or estimator.target not in column_names(X):
            raise ValueError(
                f"X has no target column {estimator.target!r} and y is None; pass the scores as y, name the column "
                "that holds them with target=, or leave 'score' out of edges=."
            )
        y = as_pandas(X, columns=[estimator.target])[estimator.target]
        what = f"Column {estimator.target!r}"
    else:
        check_consistent_length(pairs.models, y)
        y = column_or_1d(y, warn=True)
        check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False, input_name="y")
        what = "y"
    given = pd.Series(np.asarray(y))
    scores = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.isinf(scores) | (np.isnan(scores) & given.notna().to_numpy())
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"{what} holds {bad.sum()} value(s) that are neither finite numbers nor missing, the first is "
            f"{given.tolist()[row]!r} for model {pairs.models.tolist()[row]!r} on dataset "
            f"{pairs.datasets.tolist()[row]!r}; a score must be a finite number, or NaN for a pair that was not run."
        )
    return scores
