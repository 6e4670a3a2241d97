"""What the measures accept, and how they refuse the rest.

Every measure reads its arguments through :func:`read_labels`, :func:`read_targets` and :class:`Features`, so all of
them accept the same arrays and refuse the same mistakes in the same words.
"""

__all__ = [
    "Features",
    "Labels",
    "NpyFile",
    "check_choice",
    "check_count",
    "check_fraction",
    "check_positive",
    "read_labels",
    "read_probabilities",
    "read_targets",
]

import numbers
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np

from ._arrays import float_copy, float_view, host, is_torch, namespace

#: Double precision bytes that one block of rows may take.
_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Labels:
    """Class labels as codes ``0..n_classes - 1``, whatever their dtype was."""

    codes: np.ndarray
    counts: np.ndarray

    def __len__(self):
        return len(self.codes)

    @property
    def n_classes(self):
        """Number of distinct labels."""
        return len(self.counts)

    @cached_property
    def order(self):
        """The rows, class by class."""
        return np.argsort(self.codes, kind="stable")

    @cached_property
    def starts(self):
        """Where each class begins in ``order``, and its end."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def rows(self, label):
        """The rows of one class."""
        return self.order[self.starts[label] : self.starts[label + 1]]


def read_labels(labels, n_rows=None, name="labels", least=2):
    """Number the distinct labels.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        Of any dtype; missing values are refused.
    n_rows : int, optional
        How many labels there must be.
    name : str
        What the errors call them.
    least : int, default=2
        How many classes there must be.

    Returns
    -------
    Labels
    """
    if isinstance(labels, Labels):
        _check_length(len(labels), n_rows, name)
        return labels
    values = _column(labels, n_rows, name)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"Got {name} with {(~np.isfinite(values)).sum()} NaN or infinite value(s), expected none.")
    _check_present(labels, values, name)
    codes = _codes(values)
    counts = np.bincount(codes)
    if len(counts) < least:
        raise ValueError(f"Got {name} with {len(counts)} class(es), but expected at least {least}.")
    if values.dtype.kind == "f" and len(counts) == len(values) > 2 and (values % 1).any():
        raise ValueError(f"Got {name} that look continuous (every value occurs once), but expected class labels.")
    return Labels(codes, counts)


def _column(labels, n_rows, name):
    if labels is None:
        raise ValueError(f"Got {name}=None, but expected one label a row.")
    values = host(labels)
    of_text = values.dtype.kind in "US" and isinstance(labels, list | tuple)
    if of_text and not all(isinstance(label, str | bytes) for label in labels):
        # Made text of, 1 would be "1", and what is missing a class of its own.
        values = np.fromiter(labels, dtype=object, count=len(labels))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"Got {name} of shape {values.shape}, but expected one label a row.")
    _check_length(len(values), n_rows, name)
    return values


def _check_length(n, n_rows, name):
    if n_rows is not None and n != n_rows:
        raise ValueError(f"Got {n} {name} for {n_rows} rows of features, but expected one a row.")
    if not n:
        raise ValueError(f"Got no {name}, but expected at least 2 rows.")


def _check_present(labels, values, name):
    # The mask of a masked array is lost with its type.
    absent = np.ma.getmaskarray(labels).reshape(-1) if np.ma.is_masked(labels) else np.zeros(1, dtype=bool)
    if values.dtype.kind in "mM":
        absent = absent | np.isnat(values)
    elif values.dtype.kind == "O":
        absent = absent | np.array([_is_missing(value) for value in values.tolist()], dtype=bool)
    if absent.any():
        raise ValueError(f"Got {name} with {absent.sum()} missing value(s), the first in row {absent.argmax()}.")


def _is_missing(value):
    try:
        return value is None or bool(value != value)
    except TypeError:
        # What pandas puts for a missing value neither equals nor differs from itself.
        return True


def _codes(values):
    try:
        return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
    except TypeError:
        # Labels of types that cannot be compared are numbered in the order in which they come.
        seen = {}
        return np.array([seen.setdefault(value, len(seen)) for value in values.tolist()], dtype=np.int64)


def read_targets(targets, n_rows=None):
    """Regression targets as a finite float array of shape (n_samples, n_targets)."""
    if targets is None:
        raise ValueError("Got labels=None, but expected real targets.")
    values = host(targets)
    if values.dtype.kind == "O" and values.ndim == 2:
        values = _of_columns(targets, values, "regression targets")
    if values.dtype.kind not in "biuf":
        raise ValueError(f"Got regression targets of dtype {values.dtype}, but expected numbers.")
    if not values.ndim or 0 in values.shape[1:]:
        raise ValueError(f"Got regression targets of shape {values.shape}, but expected at least one target a row.")
    _check_length(len(values), n_rows, "targets")
    values = values.astype(np.float64).reshape(len(values), -1)
    if np.ma.is_masked(targets) or not np.isfinite(values).all():
        raise ValueError("Got regression targets with NaN or infinite values, expected finite numbers.")
    return values


def _of_columns(frame, values, name):
    """The numbers of a frame whose columns numpy has no common type for; ``values`` if it is none."""
    if hasattr(frame, "items"):
        columns = frame.items()
    elif hasattr(frame, "get_columns"):
        columns = zip(frame.columns, frame.get_columns(), strict=True)
    else:
        return values
    found = [_numbers(column, f"column {label!r} of the {name}") for label, column in columns]
    return np.column_stack(found) if found else values


def _numbers(column, name):
    """A column as numpy numbers, NaN where they are missing."""
    values = np.asarray(column)
    if values.dtype.kind in "biuf":
        return values
    if values.dtype.kind != "O":
        raise ValueError(f"Got {name} of dtype {values.dtype}, but expected real numbers.")
    found = [np.nan if _is_missing(value) else value for value in values.tolist()]
    other = next((value for value in found if not isinstance(value, numbers.Real | np.bool_ | Decimal)), None)
    if other is not None:
        raise ValueError(f"Got {name} with {other!r} in it, but expected real numbers.")
    return np.array(found, dtype=np.float64)


class NpyFile:
    """An ``.npy`` file that is mapped anew for each read, so that pages read do not stay in the process.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path):
        self.path = path
        mapped = self._map()
        self.shape, self.dtype = mapped.shape, mapped.dtype

    def _map(self):
        try:
            return np.lib.format.open_memmap(self.path, mode="r")
        except ValueError as error:
            raise ValueError(f"Got the file {str(self.path)!r}, but expected an .npy file of numbers.") from error

    def __getitem__(self, rows):
        return self._map()[rows]


class Features:
    """Rows of numbers that are read block by block, in double precision, where they live.

    Parameters
    ----------
    source : array-like of shape (n_samples, n_features)
        A numpy array or memory map, a torch tensor, a frame of numbers, or anything that slices like an array and
        has a ``shape``.
    name : str
        What the errors call it.
    """

    def __init__(self, source, name="features"):
        self.source = source if is_torch(source) or isinstance(source, NpyFile) else np.asanyarray(source)
        self.name = name
        shape = tuple(self.source.shape)
        if len(shape) != 2 or not shape[1]:
            raise ValueError(f"Got {name} of shape {shape}, but expected two dimensions, one row a sample.")
        if isinstance(self.source, np.ndarray) and self.source.dtype.kind == "O":
            self.source = _of_columns(source, self.source, name)
        if not is_torch(self.source) and np.dtype(self.source.dtype).kind not in "biuf":
            raise ValueError(f"Got {name} of dtype {self.source.dtype}, but expected real numbers.")
        if is_torch(self.source) and self.source.is_complex():
            raise ValueError(f"Got {name} of dtype {self.source.dtype}, but expected real numbers.")
        if np.ma.is_masked(self.source):
            raise ValueError(f"Got {name} with masked values, expected numbers only.")
        self.n_rows, self.n_columns = map(int, shape)

    def __getitem__(self, rows):
        if is_torch(self.source) and isinstance(rows, np.ndarray):
            rows = namespace(self.source).as_tensor(rows, device=self.source.device)
        return float_copy(self.source[rows])

    @property
    def bytes(self):
        """Bytes that all rows take in double precision."""
        return 8 * self.n_rows * self.n_columns

    def slices(self):
        """Cut the rows into blocks that fit in little memory."""
        step = max(64, _BLOCK_BYTES // (8 * self.n_columns))
        return [slice(start, min(start + step, self.n_rows)) for start in range(0, self.n_rows, step)]

    def check_finite(self, sums):
        """Refuse NaN and infinity; they cannot hide from the sums over rows."""
        if not bool(namespace(sums).isfinite(sums).all()):
            raise ValueError(f"Got {self.name} with NaN or infinite values, expected finite numbers.")


def read_probabilities(probabilities):
    """Source probabilities in double precision, not to be written to: non-negative rows that sum to 1.

    Rows of lower precision, which sum to 1 within a hundredth only, are normalised.
    """
    reader = Features(probabilities, "probabilities")
    if reader.n_rows < 2:
        raise ValueError(f"Got {reader.n_rows} row(s) of probabilities, but expected at least 2.")
    values = float_view(reader.source[:])
    totals = values.sum(axis=1)
    reader.check_finite(totals)
    worst = float(abs(totals - 1).max())
    if float(values.min()) < 0 or worst > 1e-2:
        raise ValueError(
            "Got probabilities with a negative value or a row that does not sum to 1, but expected one distribution "
            "over the source classes a row (softmax of the logits)."
        )
    # The rows may be the caller's memory, or a file's, which are not to be written to.
    return values if worst <= 1e-9 else values / totals[:, None]


def check_positive(value, name):
    """Refuse what is not a positive finite number."""
    if not isinstance(value, numbers.Real) or not 0 < value < np.inf:
        raise ValueError(f"Got {name}={value!r}, but expected a positive finite number.")


def check_count(value, name, least=1):
    """Refuse what is not an integer of at least ``least``."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"Got {name}={value!r}, but expected an integer of at least {least}.")


def check_fraction(value, name):
    """Refuse what is not a number in [0, 1]."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"Got {name}={value!r}, but expected a number between 0 and 1.")


def check_choice(value, name, choices):
    """Refuse what is not one of the choices."""
    if value not in choices:
        raise ValueError(f"Got {name}={value!r}, but expected one of {sorted(choices)}.")
