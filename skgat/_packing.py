"""What the file format cannot hold, taken apart before saving and put together again after loading.

Frames, arrays of Python objects and dictionaries become arrays and JSON text. Nothing here runs code that a file
brings along.
"""

__all__ = ["Packed", "pack", "unpack"]

import datetime
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import pandas_dtype
from sklearn.base import BaseEstimator

from ._frames import as_pandas, is_frame
from ._versioned import VersionedMixin

_SCALARS = (str, int, float, bool, type(None))
#: What text says in full, of exactly these types: pandas' own dates are subclasses, and hold more.
_TEXTS = {
    datetime.date: datetime.date.isoformat,
    datetime.datetime: datetime.datetime.isoformat,
    datetime.time: datetime.time.isoformat,
    Decimal: str,
}
#: In which pandas counts spans of time.
_UNITS = ("s", "ms", "us", "ns")


class Packed:
    """One thing taken apart: its kind, and its content in arrays, text and lists."""

    def __init__(self, kind, content):
        self.kind = kind
        self.content = content


def pack(obj):
    """Copy ``obj`` with everything replaced that the file format cannot hold; ``obj`` itself stays as it is."""
    return _pack(obj, {})


def _pack(obj, seen):
    if id(obj) in seen:
        return seen[id(obj)][1]
    kind = type(obj)
    if kind in (list, dict) and obj and _is_plain(obj):
        packed = Packed("json", json.dumps(obj))
    elif kind in (list, tuple):
        packed = kind(_pack(item, seen) for item in obj)
    elif kind is dict:
        packed = _pack_dict(obj, seen)
    elif isinstance(obj, pd.DataFrame):
        columns = [_pack_values(obj.iloc[:, i], seen) for i in range(obj.shape[1])]
        packed = Packed("frame", [_pack(obj.index, seen), _pack(obj.columns, seen), columns])
    elif isinstance(obj, pd.Series):
        packed = Packed("series", [_pack(obj.index, seen), _pack(obj.name, seen), _pack_values(obj, seen)])
    elif isinstance(obj, pd.Index):
        packed = _pack_index(obj, seen)
    elif isinstance(obj, pd.Timestamp):
        packed = Packed("timestamp", obj.isoformat())
    elif isinstance(obj, pd.Timedelta):
        # Counted in its own unit: nanoseconds do not reach beyond 292 years.
        packed = Packed("timedelta", [int(obj.to_timedelta64().astype(np.int64)), obj.unit])
    elif kind in _TEXTS:
        packed = Packed(kind.__name__, _TEXTS[kind](obj))
    elif kind is datetime.timedelta:
        packed = Packed("span", [obj.days, obj.seconds, obj.microseconds])
    elif kind is frozenset:
        # In an order of their own, as that of a set changes from process to process.
        packed = Packed("frozenset", [_pack(item, seen) for item in sorted(obj, key=repr)])
    elif isinstance(obj, Path):
        packed = Packed("path", str(obj))
    elif kind is np.ndarray and obj.dtype == object:
        packed = _pack_objects(obj, seen)
    elif _has_parts(obj):
        return _pack_parts(obj, seen)
    elif is_frame(obj):
        # Of another library: whoever reads it makes it a pandas frame first, so that it comes back as one.
        packed = _pack(as_pandas(obj), seen)
    else:
        return obj
    # The original is kept beside its copy, so that no other object can take its identity meanwhile.
    seen[id(obj)] = (obj, packed)
    return packed


def _is_plain(obj):
    kind = type(obj)
    if kind is list:
        return all(_is_plain(item) for item in obj)
    if kind is dict:
        return all(type(key) is str and _is_plain(value) for key, value in obj.items())
    return kind in _SCALARS


def _pack_dict(obj, seen):
    values = {key: _pack(value, seen) for key, value in obj.items()}
    if all(type(key) is str for key in obj):
        return values
    return Packed("dict", [_pack(list(values), seen), list(values.values())])


def _pack_index(index, seen):
    if isinstance(index, pd.MultiIndex):
        raise TypeError("a frame with a MultiIndex cannot be saved")
    name = _pack(index.name, seen)
    if isinstance(index, pd.RangeIndex):
        return Packed("range", [index.start, index.stop, index.step, name])
    return Packed("index", [name, _pack_values(index, seen)])


def _pack_values(column, seen):
    """The values of a column as an array, and the name of its dtype where numpy does not have it."""
    if isinstance(column.dtype, np.dtype):
        return [_pack(column.to_numpy(), seen), None]
    return [_pack(column.to_numpy(dtype=object), seen), str(column.dtype)]


def _pack_objects(array, seen):
    items = array.ravel().tolist()
    content = json.dumps(items) if _is_plain(items) else [_pack(item, seen) for item in items]
    return Packed("objects", [content, list(array.shape)])


def _has_parts(obj):
    ours = type(obj).__module__.partition(".")[0] == "skgat" and hasattr(obj, "__dict__")
    return (ours or isinstance(obj, BaseEstimator)) and not isinstance(obj, type)


def _pack_parts(obj, seen):
    shell = object.__new__(type(obj))
    seen[id(obj)] = (obj, shell)
    # Callbacks watch a fit; they are no part of what was learned.
    parts = {name: _pack(value, seen) for name, value in vars(obj).items() if not name.startswith("_skl_")}
    if isinstance(obj, VersionedMixin):
        parts["_skgat_version"] = None
    vars(shell).update(parts)
    return shell


def unpack(obj):
    """Put together what :func:`pack` took apart; estimators are completed in place."""
    return _unpack(obj, {})


def _unpack(obj, seen):
    if id(obj) in seen:
        return seen[id(obj)][1]
    kind = type(obj)
    if kind is Packed:
        whole = _BUILDERS[obj.kind](obj.content, seen)
    elif kind in (list, tuple):
        whole = kind(_unpack(item, seen) for item in obj)
    elif kind is dict:
        whole = {key: _unpack(value, seen) for key, value in obj.items()}
    elif _has_parts(obj):
        seen[id(obj)] = (obj, obj)
        vars(obj).update({name: _unpack(value, seen) for name, value in vars(obj).items()})
        return obj
    else:
        return obj
    seen[id(obj)] = (obj, whole)
    return whole


def _build_frame(content, seen):
    index, names, columns = content
    index = _unpack(index, seen)
    built = {i: _series(column, index, None, seen) for i, column in enumerate(columns)}
    frame = pd.DataFrame(built, index=index, columns=range(len(columns)))
    frame.columns = _unpack(names, seen)
    return frame


def _build_series(content, seen):
    index, name, values = content
    return _series(values, _unpack(index, seen), _unpack(name, seen), seen)


def _series(packed, index, name, seen):
    values, dtype = _unpack(packed[0], seen), packed[1]
    if values.shape != (len(index),):
        # A single value would be repeated as often as an index says, which takes no room in the file.
        raise ValueError(f"a column has {values.shape} values for {len(index)} rows")
    return pd.Series(values, index=index, dtype=_dtype(dtype, values), name=name)


def _dtype(name, values):
    dtype = pandas_dtype(name or values.dtype)
    if name and isinstance(dtype, np.dtype):
        # Arrays bring theirs along; one by name could ask for any number of bytes a value.
        raise ValueError(f"a column has the dtype {name!r}")
    return dtype


def _build_index(content, seen):
    name, (packed, dtype) = content
    values = _unpack(packed, seen)
    return pd.Index(values, dtype=_dtype(dtype, values), name=_unpack(name, seen))


def _build_range(content, seen):
    start, stop, step, name = content
    return pd.RangeIndex(start, stop, step, name=_unpack(name, seen))


def _build_objects(content, seen):
    items, shape = content
    items = json.loads(items) if isinstance(items, str) else [_unpack(item, seen) for item in items]
    return np.fromiter(items, dtype=object, count=len(items)).reshape(shape)


def _build_dict(content, seen):
    keys, values = (_unpack(part, seen) for part in content)
    return dict(zip(keys, values, strict=True))


def _build_timedelta(content, seen):
    count, unit = content
    if unit not in _UNITS:
        raise ValueError(f"a span of time is counted in {unit!r}")
    return pd.Timedelta(np.timedelta64(count, unit))


_BUILDERS = {
    "json": lambda content, seen: json.loads(content),
    "dict": _build_dict,
    "frame": _build_frame,
    "series": _build_series,
    "index": _build_index,
    "range": _build_range,
    "objects": _build_objects,
    "timestamp": lambda content, seen: pd.Timestamp(content),
    "timedelta": _build_timedelta,
    "date": lambda content, seen: datetime.date.fromisoformat(content),
    "datetime": lambda content, seen: datetime.datetime.fromisoformat(content),
    "time": lambda content, seen: datetime.time.fromisoformat(content),
    "span": lambda content, seen: datetime.timedelta(*content),
    "Decimal": lambda content, seen: Decimal(content),
    "frozenset": lambda content, seen: frozenset(_unpack(item, seen) for item in content),
    "path": lambda content, seen: Path(content),
}
