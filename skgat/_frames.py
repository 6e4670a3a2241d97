"""The one room that touches a dataframe library other than pandas.

Whatever narwhals understands comes in (pandas, polars, pyarrow, modin, ...); pandas goes to every other room. The
frame that comes in is never modified: the columns are new arrays or read-only views.
"""

__all__ = ["as_container", "as_pandas", "column_names", "is_frame", "is_numeric"]

import narwhals as nw
import numpy as np
import pandas as pd
from pandas.api import types


def is_frame(X):
    """Tell whether ``X`` is a dataframe with named columns."""
    return isinstance(X, pd.DataFrame) or _is_foreign(X)


def _is_foreign(X):
    if nw.dependencies.is_polars_lazyframe(X):
        raise TypeError("Got a polars LazyFrame, but expected data; call its collect() first.")
    return nw.dependencies.is_into_dataframe(X) and not isinstance(X, pd.DataFrame)


def column_names(X):
    """The column names of a frame, in its order."""
    if isinstance(X, pd.DataFrame):
        return list(X.columns)
    if nw.dependencies.is_pyarrow_table(X):
        return list(X.column_names)  # narwhals refuses a table in which a name occurs twice, in its own words
    return list(nw.from_native(X, eager_only=True).columns)


def as_pandas(X, name="X", columns=None):
    """Any frame as pandas, with the dtypes that every other room may rely on.

    Numbers and booleans stay numpy numbers (nullable ones and decimals become floats with NaN), everything else
    becomes object with ``None`` or ``NaN`` where a value is missing. The index of a pandas frame is kept.

    Parameters
    ----------
    X : frame
    name : str, default="X"
        What the frame is called in messages.
    columns : list, optional
        Convert these columns only.

    Returns
    -------
    pandas.DataFrame
    """
    if not is_frame(X):
        raise TypeError(f"{name} must be a dataframe, got {type(X).__name__}.")
    names = column_names(X)
    twice = {str(column) for column in names if names.count(column) > 1} if len(set(names)) < len(names) else None
    if twice:
        raise ValueError(f"{name} has the column {min(twice)!r} more than once; column names must differ.")
    if columns is not None:
        names = list(columns)
    if isinstance(X, pd.DataFrame):
        index = X.index
        plain = {column: _plain(values) for column, values in (X if columns is None else X[names]).items()}
    else:
        native = nw.from_native(X, eager_only=True)
        index = pd.RangeIndex(len(native))
        plain = {column: _plain(_foreign_column(native[column])) for column in names}
    return pd.DataFrame(plain, index=index, columns=names, copy=False)


def _foreign_column(series):
    dtype = series.dtype
    if not dtype.is_numeric() and dtype != nw.Boolean:
        try:
            return pd.Series(series.to_list(), dtype=object)
        except (OverflowError, ValueError) as error:
            raise ValueError(
                f"Column {series.name!r} holds a time that Python cannot express ({error}), but expected one in the "
                "range of its datetime module."
            ) from error
    if dtype.is_decimal() or (series.null_count() and not dtype.is_float()):
        # Through Python: arrow refuses to cast integers that a float cannot hold exactly.
        return pd.Series(np.array(series.to_list(), dtype=np.float64))
    if series.null_count():
        series = series.cast(nw.Float64())
    return pd.Series(series.to_numpy())


def _plain(column):
    dtype = column.dtype
    kind = dtype.kind if isinstance(dtype, np.dtype) else None
    if kind is not None and kind in "biuf":
        return column
    numbers = types.is_numeric_dtype(dtype) or types.is_bool_dtype(dtype)
    if numbers and not isinstance(dtype, np.dtype | pd.CategoricalDtype):
        return _plain_numbers(column)
    if kind != "O":
        column = column.astype(object)
    absent = pd.isna(column.to_numpy())
    # pd.NA and NaT are missing too, but neither compares nor converts like None.
    return column.where(~absent, None) if absent.any() else column


def _plain_numbers(column):
    if isinstance(column.dtype, pd.SparseDtype):
        return pd.Series(column.to_numpy(), index=column.index)
    kind = getattr(column.dtype, "kind", "f")
    if kind in "biu" and not column.isna().any():
        values = column.to_numpy(dtype=column.dtype.numpy_dtype)
    else:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(values, index=column.index)


def is_numeric(column):
    """Tell whether a column of a normalised frame holds numbers (or booleans)."""
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"


def as_container(frame, library):
    """A normalised pandas frame in the library that ``set_output`` asks for."""
    if library in ("default", "pandas"):
        return frame
    # An object column goes over as Python values: the library infers its type as from a list.
    columns = {
        name: frame[name].to_numpy() if is_numeric(frame[name]) else frame[name].tolist() for name in frame.columns
    }
    return nw.from_dict(columns, backend=library).to_native()
