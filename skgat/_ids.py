"""Ids and other values of any type, numbered and looked up."""

__all__ = ["IdIndex", "hashable_ids", "id_codes", "lookup_ids", "value_codes"]

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils.validation import column_or_1d


def id_codes(values):
    """Number the distinct ids in a canonical order, whatever the order of the rows.

    Returns
    -------
    ids : array of shape (n_ids,)
        Sorted; of mixed types the numbers come first, then the others by type.
    codes : integer array of shape (n_values,)
        Where each value stands in ``ids``.
    """
    codes, uniques = pd.factorize(column_or_1d(values), use_na_sentinel=False)
    uniques = np.asarray(uniques)
    try:
        order = np.argsort(uniques, kind="stable")
    except TypeError:
        order = np.array(sorted(range(len(uniques)), key=lambda i: _sort_key(uniques[i])), dtype=np.intp)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return uniques[order], rank[codes]


def hashable_ids(ids, name, role):
    """The array of ids as it is; lists, sets and dicts, which cannot be looked up, are refused with their row."""
    # Most arrays are of strings, which a look at their types tells fast.
    if ids.dtype == object and pd.api.types.infer_dtype(ids, skipna=False) != "string":
        for row, value in enumerate(ids):
            if not pd.api.types.is_hashable(value):
                raise TypeError(
                    f"{name} has {value!r} as a {role} id in row {row}, which is unhashable; expected a string, a "
                    "number, a tuple or another hashable value."
                )
    return ids


def _sort_key(value):
    # 1, 1.0 and numpy's 1 are one id: their order must not hang on which of them comes first.
    if isinstance(value, Real):
        return "", value, ""
    return "str" if isinstance(value, str) else type(value).__name__, 0, str(value)


class IdIndex:
    """Finds ids among known ones; to be kept where the same ones are searched again and again."""

    def __init__(self, known):
        self._known, self._tables = known, {}

    def find(self, values):
        """Where each value stands among the known ids; -1 for an unknown one."""
        kinds = {self._known.dtype.kind, np.asarray(values).dtype.kind}
        # Numbers of two types would be compared as floats, to which large integers next to each other are one.
        dtype = object if "O" in kinds or (len(kinds) == 2 and kinds <= set("iuf")) else None
        if dtype not in self._tables:
            self._tables[dtype] = pd.Index(self._known, dtype=dtype)
        return self._tables[dtype].get_indexer(pd.Index(values, dtype=dtype))


def lookup_ids(known, values):
    """Where each value stands among the known ids; -1 for an unknown one."""
    return IdIndex(known).find(values)


def value_codes(column):
    """Number the distinct values of a column in the order they come; -1 for a missing one.

    Lists and arrays are compared by their items, sets whatever the order of theirs.
    """
    try:
        return pd.factorize(column)[0]
    except TypeError:
        return pd.factorize(column.map(_hashable))[0]


def _hashable(value):
    if isinstance(value, set | frozenset):
        return tuple(sorted(map(str, value)))
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(map(str, value))
    return repr(value) if isinstance(value, dict) else value
