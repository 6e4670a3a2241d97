"""Features of a probe model on each dataset, as callers hand them over."""

__all__ = ["Moments", "as_mapping", "read_datasets"]

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from .._frames import as_pandas, is_frame

#: Numbers that one block of rows may take.
_BLOCK = 2**22


@dataclass(frozen=True)
class Moments:
    """What is remembered of the features of one dataset.

    Attributes
    ----------
    n_samples : int
    mean : array of shape (n_features,)
    class_means : array of shape (n_classes, n_features) or None
        None where there are no labels.
    class_counts : array of shape (n_classes,) or None
    scatter : array
        The sum of the outer products of the centred rows, or the Gram matrix of the centred rows where there are fewer
        rows than columns; their nonzero eigenvalues are the same.
    """

    n_samples: int
    mean: np.ndarray
    class_means: np.ndarray | None
    class_counts: np.ndarray | None
    scatter: np.ndarray

    @cached_property
    def spectrum(self):
        """The eigenvalues of the covariance matrix, largest first."""
        return np.maximum(np.linalg.eigvalsh(self.scatter)[::-1], 0.0) / self.n_samples


def as_mapping(given, name):
    """A Series as a dict by its ids, which must differ; anything else as it is."""
    if not isinstance(given, pd.Series):
        return given
    twice = given.index[given.index.duplicated()].tolist()
    if twice:
        raise ValueError(f"Got {name} with the id {twice[0]!r} more than once, but expected one entry a dataset.")
    return dict(zip(given.index, given, strict=True))


def read_datasets(given, labels="optional", scatter=False):
    """Read the features of each dataset, block by block.

    Parameters
    ----------
    given : mapping or pandas.Series
        By dataset id: features of shape (n_samples, n_features), the path of an ``.npy`` file with such, or a pair of
        one of these and labels.
    labels : {"optional", "needed"}
        Whether every dataset must come with labels.
    scatter : bool
        Whether the scatter matrix is needed.

    Returns
    -------
    ids : pandas.Index
    moments : list of Moments
    """
    given = as_mapping(given, "datasets")
    if not isinstance(given, Mapping):
        raise TypeError(
            f"Got datasets of type {type(given).__name__}, but expected a dict from dataset ids to features, or to "
            "pairs of features and labels."
        )
    if not given:
        raise ValueError("Found array with 0 sample(s): got no datasets, but expected at least 1.")
    found = [_read(name, entry, labels, scatter) for name, entry in given.items()]
    width = len(found[0].mean)
    for name, moments in zip(given, found, strict=True):
        if len(moments.mean) != width:
            raise ValueError(
                f"Got {len(moments.mean)} features for dataset {name!r} and {width} for dataset {next(iter(given))!r}, "
                "but expected features of one probe model for all."
            )
    return pd.Index(list(given), name="dataset"), found


def _read(name, entry, labels, scatter):
    targets = None
    if isinstance(entry, list) and len(entry) == 2 and np.ndim(entry[0]) != 1:
        # Not two rows of numbers: a pair, as JSON would hold it.
        entry = tuple(entry)
    if isinstance(entry, tuple):
        if len(entry) != 2:
            raise ValueError(f"Got a tuple of {len(entry)} for dataset {name!r}, but expected (features, labels).")
        entry, targets = entry
    features = _open(name, entry)
    codes = None if targets is None else _codes(name, targets, len(features))
    if codes is None and labels == "needed":
        raise ValueError(f"Got no labels for dataset {name!r}, but expected (features, labels).")
    n, width = features.shape
    groups = np.zeros(n, dtype=np.int64) if codes is None else codes
    counts = np.bincount(groups).astype(np.float64)
    sums = np.zeros((len(counts), width))
    for rows, block in _blocks(name, features):
        np.add.at(sums, groups[rows], block)
    mean = sums.sum(axis=0) / n
    spread = _scatter(name, features, mean) if scatter else np.zeros((0, 0))
    known = codes is not None
    return Moments(n, mean, sums / counts[:, None] if known else None, counts if known else None, spread)


def _open(name, entry):
    if isinstance(entry, str | os.PathLike):
        try:
            entry = np.load(entry, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(
                f"Got the file {str(entry)!r} for dataset {name!r}, but expected an .npy file of numbers."
            ) from error
    elif hasattr(entry, "detach"):
        # numpy knows no bfloat16.
        entry = (entry.float() if str(entry.dtype) == "torch.bfloat16" else entry).detach().cpu().numpy()
    features = np.asanyarray(entry)
    if features.dtype.kind == "O" and is_frame(entry):
        # Numpy makes objects of nullable columns, and of numbers beside booleans.
        plain = as_pandas(entry, f"features of dataset {name!r}").infer_objects()
        if all(dtype.kind in "biuf" for dtype in plain.dtypes):
            features = plain.to_numpy(dtype=np.float64)
    if features.ndim != 2 or not features.shape[1] or features.dtype.kind not in "biuf":
        raise ValueError(
            f"Got features of shape {features.shape} and dtype {features.dtype} for dataset {name!r}, but expected "
            "numbers, one row a sample."
        )
    if len(features) < 2:
        raise ValueError(f"Got {len(features)} row(s) of features for dataset {name!r}, but expected at least 2.")
    return features


def _codes(name, labels, n_rows):
    values = labels.detach().cpu().numpy() if hasattr(labels, "detach") else np.asarray(labels)
    if values.shape != (n_rows,):
        raise ValueError(
            f"Got labels of shape {values.shape} for the {n_rows} rows of dataset {name!r}, but expected one a row."
        )
    codes, classes = pd.factorize(values, use_na_sentinel=True)
    if (codes < 0).any():
        raise ValueError(f"Got {(codes < 0).sum()} missing label(s) for dataset {name!r}, but expected none.")
    # Numbered in one order, whatever the order of the rows.
    order = np.argsort(np.asarray(classes).astype(str), kind="stable")
    return np.argsort(order)[codes]


def _blocks(name, features):
    step = max(1, _BLOCK // features.shape[1])
    for start in range(0, len(features), step):
        rows = slice(start, start + step)
        block = np.asarray(features[rows], dtype=np.float64)
        if not np.isfinite(block).all():
            raise ValueError(f"Got features with NaN or infinite values for dataset {name!r}, expected finite numbers.")
        yield rows, block


def _scatter(name, features, mean):
    n, width = features.shape
    if n < width:
        centered = np.asarray(features, dtype=np.float64) - mean
        return centered @ centered.T
    total = np.zeros((width, width))
    for _, block in _blocks(name, features):
        centered = block - mean
        total += centered.T @ centered
    return total
