"""Scores kept on disk, one small file a model."""

__all__ = ["ScoreCache"]

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from .._files import replace_file
from ._arrays import host, is_torch
from ._inputs import Labels
from ._sources import as_fields

#: Changes whenever a measure's definition does, which makes old files unknown.
_VERSION = 1


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
        """The file of one model's scores."""
        told = f"{_VERSION}|{self.labels}|{name!r}|{_fingerprint(source)}"
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
        return {key: score for key, score in stored.items() if _is_score(score)}

    def write(self, scores, params):
        """Add scores; a reader sees the old file or the new one, never a part."""
        stored = self._stored() | {_key(measure, params): score for measure, score in scores.items()}
        replace_file(self.path, json.dumps(stored).encode())


def _is_score(value):
    """A number, or the numbers of a measure that has parts."""
    if isinstance(value, dict):
        return all(_is_score(part) and not isinstance(part, dict) for part in value.values())
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(measure, params):
    return f"{measure}|{json.dumps(params.get(measure, {}), sort_keys=True, default=repr)}"


def _fingerprint(source):
    if callable(source) and not hasattr(source, "shape"):
        return f"call {getattr(source, '__module__', '')}.{getattr(source, '__qualname__', repr(type(source)))}"
    return "|".join(f"{field}={_origin(origin)}" for field, origin in sorted(as_fields(source).items()))


def _origin(origin):
    if isinstance(origin, str | os.PathLike):
        path = Path(origin)
        state = path.stat() if path.exists() else None
        return f"file {path.resolve()} {state and (state.st_size, state.st_mtime_ns)}"
    if callable(origin) and not hasattr(origin, "shape"):
        return _fingerprint(origin)
    return _digest(origin)


def _digest(array):
    """A digest of the contents of an array, a block at a time."""
    array = array if is_torch(array) else np.asarray(array)
    digest = hashlib.blake2b(f"{array.dtype} {tuple(array.shape)}".encode(), digest_size=16)
    step = max(1, 2**24 // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        block = host(array[start : start + step])
        digest.update(repr(block.tolist()).encode() if block.dtype.kind == "O" else np.ascontiguousarray(block).data)
    return digest.hexdigest()
