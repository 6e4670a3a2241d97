import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skgat._frames import as_container, as_pandas, column_names, is_frame, is_numeric

DATA = {
    "whole": [1, 2, 3],
    "holed": [1, None, 3],
    "real": [0.5, None, -2.0],
    "truth": [True, False, True],
    "maybe": [True, None, False],
    "money": [Decimal("1.5"), None, Decimal("2.0")],
    "word": ["a", None, "é"],
    "labels": [["a"], None, ["b", "c"]],
    "day": [dt.date(2020, 1, 1), None, dt.date(2021, 1, 1)],
    "nothing": [None, None, None],
}
POLARS = pl.DataFrame(DATA)
FRAMES = {
    "polars": POLARS,
    "pyarrow": pa.table(DATA),
    "pandas-arrow": POLARS.to_arrow().to_pandas(types_mapper=pd.ArrowDtype),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_every_library_gives_the_same_numbers_and_objects(frame):
    plain = as_pandas(frame)
    assert list(plain.columns) == column_names(frame) == list(DATA)
    dtypes = {"whole": "int64", "truth": "bool"} | dict.fromkeys(["holed", "real", "maybe", "money"], "float64")
    for column, dtype in dtypes.items():
        assert plain[column].dtype == dtype
        assert is_numeric(plain[column])
    for column in ("word", "labels", "day", "nothing"):
        assert plain[column].dtype == object
        assert not is_numeric(plain[column])
    np.testing.assert_array_equal(plain["maybe"], [1.0, np.nan, 0.0])
    np.testing.assert_array_equal(plain["money"], [1.5, np.nan, 2.0])
    assert plain["word"].tolist() == DATA["word"]
    assert plain["day"].tolist() == DATA["day"]
    assert [None if v is None else list(v) for v in plain["labels"]] == DATA["labels"]


@pytest.mark.parametrize(
    ("values", "expected", "dtype"),
    [
        (pd.array([1, None, 3], dtype="Int64"), [1.0, np.nan, 3.0], "float64"),
        (pd.array([1, 2, 3], dtype="Int64"), [1, 2, 3], "int64"),
        (pd.array([1, 2, 3], dtype="UInt8"), [1, 2, 3], "uint8"),
        (pd.array([1.5, None, 3], dtype="Float64"), [1.5, np.nan, 3.0], "float64"),
        (pd.array([True, False, True], dtype="boolean"), [True, False, True], "bool"),
        (pd.array([True, None, True], dtype="boolean"), [1.0, np.nan, 1.0], "float64"),
        (pd.arrays.SparseArray([0.0, 1.0, 0.0]), [0.0, 1.0, 0.0], "float64"),
        (pd.arrays.SparseArray([0, 1, 0]), [0, 1, 0], "int64"),
        (np.float32([1, 2, 3]), [1, 2, 3], "float32"),
    ],
)
def test_numbers_of_pandas_become_numpy_numbers(values, expected, dtype):
    column = as_pandas(pd.DataFrame({"x": values}))["x"]
    assert column.dtype == dtype
    np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize(
    "values",
    [
        pd.array(["a", None, "b"], dtype="string"),
        pd.Categorical(["a", None, "b"]),
        np.array(["a", np.nan, "b"], dtype=object),
        np.array(["a", pd.NA, "b"], dtype=object),
    ],
    ids=["string", "category", "nan", "NA"],
)
def test_missing_strings_are_none_or_nan(values):
    column = as_pandas(pd.DataFrame({"x": values}))["x"]
    assert column.dtype == object
    assert column[0] == "a"
    assert column[1] is None
    assert column[2] == "b"


def test_missing_times_are_none():
    column = as_pandas(pd.DataFrame({"x": pd.to_datetime(["2020-01-01", None])}))["x"]
    assert column.tolist() == [pd.Timestamp("2020-01-01"), None]


def test_the_index_is_kept_and_the_input_left_alone():
    frame = pd.DataFrame({"x": [1.0, 2.0], "s": pd.Categorical(["a", None])}, index=[7, 7])
    before = frame.copy(deep=True)
    plain = as_pandas(frame)
    plain["new"] = 0
    plain.pop("x")
    pd.testing.assert_frame_equal(frame, before)
    assert plain.index.tolist() == [7, 7]


def test_read_only_memory_is_read():
    values = np.arange(3.0)
    values.flags.writeable = False
    np.testing.assert_array_equal(as_pandas(pd.DataFrame({"x": values}, copy=False))["x"], values)


def test_chosen_columns():
    for frame in FRAMES.values():
        assert list(as_pandas(frame, columns=["word"]).columns) == ["word"]


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame([[1, 2]], columns=["a", "a"]), pa.table([[1], [2]], names=["a", "a"])],
    ids=["pandas", "arrow"],
)
def test_a_column_name_that_occurs_twice_is_named(frame):
    with pytest.raises(ValueError, match="zoo has the column 'a' more than once"):
        as_pandas(frame, "zoo")


@pytest.mark.parametrize("thing", [np.zeros((2, 2)), [[1, 2]], {"a": [1]}, None, pd.Series([1])])
def test_what_is_no_frame(thing):
    assert not is_frame(thing)
    with pytest.raises(TypeError, match="zoo must be a dataframe, got"):
        as_pandas(thing, "zoo")


def test_a_lazy_frame_is_told_to_collect():
    with pytest.raises(TypeError, match="collect"):
        is_frame(pl.LazyFrame(DATA))


def test_to_polars():
    frame = pd.DataFrame({"id": np.array(["a", "b"], dtype=object), "x": [1.0, 2.0]}, index=[5, 6])
    assert as_container(frame, "pandas") is frame
    assert as_container(frame, "polars").equals(pl.DataFrame({"id": ["a", "b"], "x": [1.0, 2.0]}))


@pytest.mark.parametrize("unit", [pa.timestamp("us"), pa.duration("s"), pa.date32()])
def test_times_beyond_those_of_python_are_refused_by_name(unit):
    integer = pa.int32() if unit == pa.date32() else pa.int64()
    table = pa.table({"released": pa.array([0, 2**30 if unit == pa.date32() else 2**62], integer).cast(unit)})
    with pytest.raises(ValueError, match=r"Column 'released' holds a time that Python cannot express \(.+\), but"):
        as_pandas(table)
