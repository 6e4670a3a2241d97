"""Scores kept on disk, one small file a model."""

__all__ = ["ScoreCache"]

import hashlib
import json
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np

from .._files import replace_file
from ._arrays import host, is_torch
from ._inputs import Labels
from ._sources import as_fields
from .collapse import PARTS

#: Changes whenever a measure's definition does, which makes old files unknown.
_VERSION = 2


class _UnknownError(Exception):
    """Nothing tells a source from another one."""


class ScoreCache:
    """Scores of one dataset's labels.

    Parameters
    ----------
    directory : path-like
        Made if it is not there.
    labels : Labels, or array of real targets
    """

    def __init__(self, directory, labels):
        self.directory = Path(directory)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"Got cache_dir={str(directory)!r}, but this folder cannot be made ({error.strerror}); expected one "
                "that can be written to, or None."
            ) from error
        self.labels = _digest(labels.codes if isinstance(labels, Labels) else labels)

    def entry(self, name, source):
        """The file of one model's scores, None where nothing tells the source from another one."""
        try:
            told = f"{_VERSION}|{self.labels}|{name!r}|{_fingerprint(source)}"
        except _UnknownError:
            return None
        return _Entry(self.directory / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json")


class _Entry:
    """One model's scores by measure and its arguments."""

    def __init__(self, path):
        self.path = path

    def read(self, measures, params):
        """The scores that are known of these measures with these arguments."""
        stored = self._stored()
        return {measure: stored[key] for measure in measures if (key := _key(measure, params)) in stored}

    def _stored(self):
        try:
            stored = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError):
            # Missing, damaged or not ours to read: the scores are computed again.
            return {}
        if not isinstance(stored, dict):
            return {}
        return {key: score for key, score in stored.items() if _is_score(key, score)}

    def write(self, scores, params):
        """Add scores; a reader sees the old file or the new one, never a part."""
        stored = self._stored() | {_key(measure, params): score for measure, score in scores.items()}
        replace_file(self.path, json.dumps(stored).encode())


def _is_score(key, value):
    """A finite number, or the parts of the measure that has some."""
    if key.partition("|")[0] == "ncti":
        return isinstance(value, dict) and set(value) == set(PARTS) and all(map(_is_number, value.values()))
    return _is_number(value)


def _is_number(value):
    # Compared, since an integer may be too large for math.isfinite.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _key(measure, params):
    return f"{measure}|{json.dumps(params.get(measure, {}), sort_keys=True, default=repr)}"


def _fingerprint(source):
    if _is_call(source):
        return _call(source)
    return "|".join(f"{field}={_origin(origin)}" for field, origin in sorted(as_fields(source).items()))


def _is_call(source):
    return callable(source) and not hasattr(source, "shape")


def _call(source):
    if isinstance(source, partial):
        return f"partial {_call(source.func)} {_argument(source.args)} {_argument(source.keywords)}"
    if not hasattr(source, "__qualname__"):
        raise _UnknownError
    return f"call {getattr(source, '__module__', '')}.{source.__qualname__}"


def _argument(value):
    """What a callable is given: a value, or what it names."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_argument(part)}' for key, part in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_argument, value))}]"
    if isinstance(value, str | os.PathLike):
        return f"{value!r} {_origin(value) if os.path.exists(value) else ''}"
    if value is None or isinstance(value, int | float | complex | bytes):
        return repr(value)
    if _is_call(value):
        return _call(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _digest(value if len(value.shape) else value.reshape(1))
    # The text of other objects tells their address at most.
    raise _UnknownError


def _origin(origin):
    if isinstance(origin, str | os.PathLike):
        path = Path(origin)
        state = path.stat() if path.exists() else None
        # The time of the last write can be set back, as archives do when they are unpacked.
        told = state and (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        return f"file {path.resolve()} {told}"
    return _call(origin) if _is_call(origin) else _digest(origin)


def _digest(array):
    """A digest of the contents of an array, a block at a time."""
    array = array if is_torch(array) else np.asarray(array)
    digest = hashlib.blake2b(f"{array.dtype} {tuple(array.shape)}".encode(), digest_size=16)
    step = max(1, 2**24 // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        block = host(array[start : start + step])
        digest.update(repr(block.tolist()).encode() if block.dtype.kind == "O" else np.ascontiguousarray(block).data)
    return digest.hexdigest()
