"""What fuzzers share: frames of anything, and what counts as an answer.

``HYPOTHESIS_PROFILE=nightly`` asks for 10,000 examples a target instead of 200.
"""

import linecache
import os
import warnings
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import sklearn
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import skgat

_QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("brief", max_examples=200, derandomize=True, database=None, **_QUIET)
settings.register_profile("nightly", max_examples=10_000, **_QUIET)
#: What the fuzzers run with; other tests keep their own settings.
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
PROFILE = settings.get_profile("nightly" if NIGHTLY else "brief")

_HOMES = tuple(str(Path(package.__file__).parent) for package in (skgat, sklearn))
#: Of a cell that says nothing.
_NULLS = (None, float("nan"), pd.NaT, pd.NA)
_EXTREMES = (0.0, -0.0, 1e-12, 1e12, -1e12, 5e-324, 1.7e308, float("inf"), float("nan"), 2**70, -(2**63))

_FEW = 12
_LIBRARIES = ("pandas", "object", "category", "nullable", "polars", "pyarrow")
_IDS = ("text", "int", "float", "bytes", "datetime", "date", "bool", "mixed")

_ELEMENTS = {
    "text": st.text(max_size=4) | st.sampled_from(["", " ", "a", "b", "model", "ß", "a;b", "a,b", "nan", "1", "\x1f"]),
    "int": st.integers(-3, 3) | st.sampled_from([2**62, -(2**63), 2**63 - 1]),
    "float": st.floats(-2, 2) | st.sampled_from([x for x in _EXTREMES if isinstance(x, float)]),
    "bytes": st.binary(max_size=3),
    "datetime": st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)) | st.just(datetime(1970, 1, 1)),
    "date": st.dates(date(1, 1, 2), date(9999, 12, 30)),
    "bool": st.booleans(),
    "lists": st.lists(st.sampled_from(["x", "y", None, 3]), max_size=3),
}
_ELEMENTS["mixed"] = st.one_of(*(_ELEMENTS[kind] for kind in ("text", "int", "float", "bytes", "datetime", "bool")))


def answer(function, *args, **kwargs):
    """What comes out, or None where the input was refused on purpose, in skgat's or scikit-learn's words.

    Everything else is let through as a failure: errors that nobody raised, and warnings that are nobody's message.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        try:
            return function(*args, **kwargs)
        except (ValueError, TypeError, KeyError) as error:
            trace = error.__traceback__
            while trace.tb_next is not None:
                trace = trace.tb_next
            file = trace.tb_frame.f_code.co_filename
            said = linecache.getline(file, trace.tb_lineno).strip().startswith("raise")
            if not (file.startswith(_HOMES) and said and str(error)):
                raise
            return None


@st.composite
def columns(draw, n_rows, kinds=tuple(_ELEMENTS), nulls=True):
    """Values for a column: few distinct ones, so that some occur more than once, and some missing."""
    kind = draw(st.sampled_from(kinds))
    pool = draw(st.lists(_ELEMENTS[kind], min_size=1, max_size=5))
    if nulls and draw(st.integers(0, 5)) == 5:
        pool.append(draw(st.sampled_from(_NULLS)))
    if n_rows <= _FEW:
        # One draw for all rows: ten times as fast as one each.
        return [pool[byte % len(pool)] for byte in draw(st.binary(min_size=n_rows, max_size=n_rows))]
    if kind in ("text", "int"):
        pool += [f"é{i}" if kind == "text" else 7 * i for i in range(60)]
    return [pool[i] for i in np.random.default_rng(draw(st.integers(0, 99))).integers(0, len(pool), n_rows)]


def sizes():
    """Numbers of rows: few, as a rule."""
    return st.integers(0, _FEW) | st.sampled_from([*range(1, _FEW + 1), 7, 8, 9, 10, 300, 3000])


@st.composite
def frames(draw, names=("model", "dataset", "score"), kinds=None, most=3, n_rows=None, sound=None):
    """Record frames of any library; ``kinds`` says of what kinds a named column may be.

    In a ``sound`` frame, two thirds of them by default, no id is missing, no pair comes twice, and every score is a
    finite number.
    """
    n_rows = draw(sizes()) if n_rows is None else n_rows
    sound = draw(st.sampled_from([True, True, False])) if sound is None else sound
    scores = ("float", "int") if sound else ("float", "int", "float", "int", "bool", "mixed")
    kinds = {"score": scores} | (kinds or {})
    others = draw(st.lists(st.sampled_from(["model__a", "dataset__b", "pair__c", "plain", "größe"]), max_size=most))
    table = {}
    for name in [*names, *dict.fromkeys(others)]:
        allowed = kinds.get(name, _IDS if name in names else tuple(_ELEMENTS))
        table[name] = draw(columns(n_rows, kinds=allowed, nulls=not (sound and name in names)))
    if sound:
        table = _sound_rows(table, [name for name in names if name in ("model", "dataset")])
    return as_frame(table, draw(st.sampled_from(_LIBRARIES)))


def _sound_rows(table, ids):
    """The rows that nobody has a reason to refuse."""
    met, kept = set(), []
    for row, key in enumerate(zip(*(table[name] for name in ids), strict=True)):
        if key not in met and not any(pd.isna(part) for part in key) and is_number(table.get("score", {row: 0})[row]):
            met.add(key)
            kept.append(row)
    return {name: [values[row] for row in kept] for name, values in table.items()}


def is_number(value):
    """Whether a score may be this."""
    return isinstance(value, int | float | np.number | np.bool_) and bool(np.isfinite(float(value)))


@st.composite
def tables_of(draw, ids, key):
    """Metadata of these ids and of a few others, in any order and library."""
    rows = list(dict.fromkeys(value for value in ids if not pd.isna(value)))
    rows += [value for value in draw(columns(2, kinds=_IDS, nulls=False)) if not pd.isna(value)]
    rows = list(dict.fromkeys(rows))
    order = np.random.default_rng(draw(st.integers(0, 9))).permutation(len(rows))
    table = {key: [rows[i] for i in order]}
    for name in draw(st.lists(st.sampled_from(["a", f"{key}__b", "größe"]), max_size=2, unique=True)):
        table[name] = draw(columns(len(rows)))
    return as_frame(table, draw(st.sampled_from(_LIBRARIES)))


def as_frame(table, library):
    """The table in a library's form; in pandas' where the library cannot hold it."""
    frame = pd.DataFrame({name: _series(values) for name, values in table.items()})
    if library == "object":
        return frame.astype(object)
    try:
        if library == "category":
            return frame.astype({name: "category" for name in ("model", "dataset") if name in frame})
        if library == "nullable":
            return frame.convert_dtypes()
        plain = {name: [None if _is_null(value) else value for value in values] for name, values in table.items()}
        if library == "polars":
            return pl.DataFrame(plain, strict=True)
        if library == "pyarrow":
            arrow = pa.table(plain)
            arrow.to_pylist()  # beside times, arrow takes any integer for one, which nobody can read again
            return arrow
    except (pa.ArrowException, OverflowError, TypeError, ValueError, pl.exceptions.PolarsError):
        return frame
    return frame


def _series(values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pd.Series(values)
        except (ValueError, OverflowError, TypeError):
            return pd.Series(values, dtype=object)


def _is_null(value):
    return value is pd.NA or value is pd.NaT


def to_rows(frame):
    """A frame as pandas, whatever library it is of."""
    if isinstance(frame, pl.DataFrame):
        return pd.DataFrame(frame.to_dict(as_series=False))
    return frame.to_pandas() if isinstance(frame, pa.Table) else frame
