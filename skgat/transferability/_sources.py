"""Where a zoo's features come from."""

__all__ = ["FIELDS", "ModelData", "as_fields", "check_zoo", "load"]

import os
from collections.abc import Mapping
from functools import cached_property

from ._inputs import Labels, NpyFile, read_probabilities
from ._moments import UNLABELLED, Moments

#: What a source can tell about a model.
FIELDS = ("features", "probabilities", "source_labels")


def check_zoo(zoo):
    """Refuse what is not a mapping of at least one model."""
    if not isinstance(zoo, Mapping) or not len(zoo):
        raise ValueError(
            f"Got a zoo of type {type(zoo).__name__}, but expected a mapping of at least one model id to features."
        )


def as_fields(source):
    """A source as a mapping of what it tells to where that comes from."""
    if not isinstance(source, Mapping):
        return {"features": source}
    unknown = [key for key in source if key not in FIELDS]
    if unknown or not source:
        raise ValueError(f"Got a source with the keys {list(source)!r}, but expected some of {list(FIELDS)!r}.")
    return source


def load(source, labels):
    """Open a source; a callable is called, a file is opened but not read."""
    if callable(source) and not hasattr(source, "shape"):
        source = source()
    return ModelData({field: _open(origin) for field, origin in as_fields(source).items()}, labels)


def _open(origin):
    if callable(origin) and not hasattr(origin, "shape"):
        origin = origin()
    return NpyFile(origin) if isinstance(origin, str | os.PathLike) else origin


class ModelData:
    """What is known about one model: its features, probabilities or source labels."""

    def __init__(self, fields, labels):
        self._fields = fields
        self.labels = labels

    def has(self, field):
        """Tell whether the source has a field."""
        return field in self._fields

    def _need(self, field):
        if field not in self._fields:
            raise ValueError(f"Got a source with {list(self._fields)!r}, but expected a mapping with {field!r} too.")
        return self._fields[field]

    @cached_property
    def moments(self):
        """Moments of the features."""
        return Moments(self._need("features"), self.labels if self.targets is None else UNLABELLED)

    @property
    def targets(self):
        """Real targets, None where there are class labels."""
        return None if isinstance(self.labels, Labels) else self.labels

    @cached_property
    def probabilities(self):
        """The source model's probabilities."""
        probabilities = read_probabilities(self._need("probabilities"))
        if len(probabilities) != len(self.labels):
            raise ValueError(
                f"Got {len(self.labels)} labels for {len(probabilities)} rows of probabilities, expected as many."
            )
        return probabilities

    @property
    def source_labels(self):
        """The source model's labels, else its probabilities."""
        if self.has("source_labels"):
            labels = self._fields["source_labels"]
            return labels[:] if isinstance(labels, NpyFile) else labels
        return self.probabilities
