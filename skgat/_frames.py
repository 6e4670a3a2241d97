"""The one room that touches a dataframe library other than pandas.

Whatever narwhals understands comes in (pandas, polars, pyarrow, modin, ...); pandas goes to every other room. The
frame that comes in is never modified: the columns are new arrays or read-only views.
"""

__all__ = ["as_pandas", "column_names", "is_frame", "is_numeric", "to_objects"]

import narwhals as nw
import numpy as np
import pandas as pd
from pandas.api import types


def is_frame(X):
    """Tell whether ``X`` is a dataframe with named columns."""
    return isinstance(X, pd.DataFrame) or _is_foreign(X)


def _is_foreign(X):
    return nw.dependencies.is_into_dataframe(X) and not isinstance(X, pd.DataFrame)


def column_names(X):
    """The column names of a frame, in its order."""
    if isinstance(X, pd.DataFrame):
        return list(X.columns)
    return list(nw.from_native(X, eager_only=True).columns)


def as_pandas(X, name="X"):
    """Any frame as pandas, with the dtypes that every other room may rely on.

    Numbers and booleans stay numpy numbers (nullable ones become floats with NaN), everything else becomes object
    with ``None`` or ``NaN`` where a value is missing. The index of a pandas frame is kept.
    """
    if isinstance(X, pd.DataFrame):
        frame = X
        index = X.index
    elif _is_foreign(X):
        native = nw.from_native(X, eager_only=True)
        frame = {column: _foreign_column(native[column]) for column in native.columns}
        index = pd.RangeIndex(len(native))
    else:
        raise TypeError(f"{name} must be a dataframe, got {type(X).__name__}.")
    names = list(frame)
    twice = {str(column) for column in names if names.count(column) > 1} if len(set(names)) < len(names) else None
    if twice:
        raise ValueError(f"{name} has the column {min(twice)!r} more than once; column names must differ.")
    columns = {column: _plain(frame[column]) for column in names}
    return pd.DataFrame(columns, index=index, columns=names, copy=False)


def _foreign_column(series):
    dtype = series.dtype
    if dtype.is_numeric() and not dtype.is_decimal():
        if series.null_count():
            series = series.cast(nw.Float64())
        return pd.Series(series.to_numpy())
    if dtype == nw.Boolean and not series.null_count():
        return pd.Series(series.to_numpy())
    return pd.Series(series.to_list(), dtype=object)


def _plain(column):
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in "biuf" or dtype.kind == "O":
            return column
        return column.astype(object)
    if isinstance(dtype, pd.CategoricalDtype):
        return column.astype(object)
    if types.is_bool_dtype(dtype):
        return column.astype(object if column.isna().any() else bool)
    if types.is_numeric_dtype(dtype):
        if column.isna().any() or types.is_float_dtype(dtype):
            return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
        return column.astype(dtype.numpy_dtype if hasattr(dtype, "numpy_dtype") else np.int64)
    return column.astype(object)


def is_numeric(column):
    """Tell whether a column of a normalised frame holds numbers (or booleans)."""
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"


def to_objects(column):
    """A column as a one-dimensional array of Python values: what ids are compared as."""
    return np.asarray(column.tolist() + [None], dtype=object)[:-1]
