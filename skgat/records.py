"""The tidy record frame: who is in it, which columns describe what, and what counts as bad input.

Every estimator reads its input through :func:`read_pairs`, so all of them accept the same frames and refuse the same
mistakes in the same words.
"""

__all__ = ["ROLES", "Pairs", "id_codes", "infer_roles", "lookup_ids", "read_pairs"]

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from ._compat import check_feature_names, check_y
from ._frames import as_pandas, column_names, is_frame, is_numeric

#: What a metadata column can describe; a column named ``<role>__<name>`` says so itself.
ROLES = ("model", "dataset", "pair")


@dataclass(frozen=True)
class Pairs:
    """What an estimator reads from its input: one entry a row, in the order of the rows."""

    models: np.ndarray
    datasets: np.ndarray
    scores: np.ndarray | None
    weights: np.ndarray | None
    features: pd.DataFrame
    named: bool

    def __len__(self):
        return len(self.models)


def read_pairs(estimator, X, y=None, sample_weight=None, *, reset, scores=False, numeric=True, missing=False):
    """Read (model, dataset) pairs, their scores and the columns beside them from what a user passed.

    Two forms are understood. A *record frame* has the id columns ``estimator.model`` and ``estimator.dataset``; the
    column ``estimator.target`` holds the scores and is no feature. A *nameless numeric array* (or a frame of numbers
    in which nothing is named like a record) is read by position: column 0 holds the model ids, column 1 the dataset
    ids, the rest are numbers that describe the pair.

    Parameters
    ----------
    estimator : estimator
        Gives the names of the columns and keeps ``feature_names_in_`` and ``n_features_in_``.
    X : frame or array of shape (n_records, n_columns)
    y : array of shape (n_records,), optional
        Scores; when given, the target column is ignored.
    sample_weight : array of shape (n_records,), optional
    reset : bool
        True in ``fit``: remember the columns. False afterwards: compare with them.
    scores : bool
        Whether scores are needed.
    numeric : bool
        Whether the features must be finite numbers.
    missing : bool
        With ``reset=False``, whether a record frame may lack feature columns that ``fit`` saw.

    Returns
    -------
    Pairs
    """
    if is_frame(X):
        names = column_names(X)
        if _is_record_frame(estimator, names, X, reset):
            return _read_records(estimator, X, names, y, sample_weight, reset, scores, numeric, missing)
    elif not reset and _fitted_on_records(estimator):
        # scikit-learn's way: columns by position, and a warning that the names are gone.
        check_feature_names(estimator, X, reset=False)
        X = validate_data(estimator, X, reset=False, dtype=None, skip_check_array=False)
        frame = pd.DataFrame(np.asarray(X), columns=estimator.feature_names_in_)
        return read_pairs(
            estimator, frame.infer_objects(), y, sample_weight,
            reset=False, scores=scores, numeric=numeric, missing=missing,
        )  # fmt: skip
    return _read_positions(estimator, X, y, sample_weight, reset, scores)


def _fitted_on_records(estimator):
    return estimator.model in list(getattr(estimator, "feature_names_in_", ()))


def _is_record_frame(estimator, names, X, reset):
    ids = {"model": estimator.model, "dataset": estimator.dataset}
    missing = [role for role, column in ids.items() if column not in names]
    if not missing:
        return True
    named = len(missing) == 1 or estimator.target in names or any(_prefix_role(n) for n in names)
    if not reset and _fitted_on_records(estimator):
        named = True
    elif not named:
        frame = as_pandas(X)
        named = not all(is_numeric(frame[column]) for column in names)
    if named:
        role = missing[0]
        raise ValueError(
            f"X has no column {ids[role]!r} with the {role} ids; its columns are {_listed(names)}. "
            f"Rename the column or set {role}= to its name."
        )
    return False


def _listed(names, most=8):
    shown = ", ".join(repr(name) for name in list(names)[:most])
    return f"[{shown}{', ...' if len(names) > most else ''}]"


def _read_positions(estimator, X, y, sample_weight, reset, scores):
    checks = {"dtype": np.float64, "reset": reset, "ensure_min_features": 2 if reset else 1}
    if scores:
        X, y = validate_data(estimator, X, y, y_numeric=True, **checks)
    else:
        X = validate_data(estimator, X, **checks)
    features = pd.DataFrame(X[:, 2:], columns=[f"pair__x{i}" for i in range(2, X.shape[1])])
    weights = _weights(sample_weight, len(X))
    return Pairs(
        X[:, 0],
        X[:, 1],
        np.asarray(y, dtype=np.float64) if scores else None,
        weights,
        features,
        named=False,
    )


def _read_records(estimator, X, names, y, sample_weight, reset, scores, numeric, missing):
    frame = as_pandas(X)
    if not len(frame):
        raise ValueError("Found array with 0 sample(s): X is an empty frame, at least 1 record is required.")
    given = frame.pop(estimator.target) if estimator.target in names else None
    _check_columns(estimator, frame, reset, missing)
    ids = [
        _ids(frame.pop(column), column, role)
        for role, column in (("model", estimator.model), ("dataset", estimator.dataset))
    ]
    if scores:
        y = _scores(estimator, y, given, ids)
    if numeric:
        _check_numbers(estimator, frame)
    return Pairs(*ids, y if scores else None, _weights(sample_weight, len(frame)), frame, named=True)


def _check_columns(estimator, frame, reset, missing):
    if reset:
        check_feature_names(estimator, frame, reset=True)
        estimator.n_features_in_ = frame.shape[1]
        return
    check_is_fitted(estimator)
    if not _fitted_on_records(estimator):
        raise ValueError(
            f"{type(estimator).__name__} was fitted on an array without column names and reads columns by position; "
            "got a frame of records. Pass an array with the columns in the order of fit."
        )
    known = estimator.feature_names_in_
    unseen = frame.columns.difference(known, sort=False)
    lost = [column for column in known if column not in frame.columns]
    if len(unseen) or (lost and not missing):
        # The order of the columns of a record frame carries no meaning; which columns there are does.
        check_feature_names(estimator, frame, reset=False)


def _ids(column, name, role):
    absent = column.isna().to_numpy()
    if absent.any():
        raise ValueError(
            f"Column {name!r} has {absent.sum()} missing {role} id(s), the first in row {absent.argmax()}; "
            f"every record needs a {role} id."
        )
    if is_numeric(column):
        return column.to_numpy()
    return column.to_numpy(dtype=object)


def _scores(estimator, y, given, ids):
    if y is not None:
        y = check_y(y, y_numeric=True, estimator=estimator)
        check_consistent_length(ids[0], y)
        return np.asarray(y, dtype=np.float64)
    if given is None:
        raise ValueError(
            f"X has no target column {estimator.target!r} and y is None; pass the scores as y, or name the column "
            "that holds them with target=."
        )
    values = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"Column {estimator.target!r} holds {bad.sum()} value(s) that are not finite numbers, the first is "
            f"{given.iloc[row]!r} for model {ids[0][row]!r} on dataset {ids[1][row]!r}; every score must be a finite "
            "number."
        )
    return values


def _check_numbers(estimator, frame):
    name = type(estimator).__name__
    for column in frame.columns:
        if not is_numeric(frame[column]):
            raise ValueError(
                f"Column {column!r} does not hold numbers (its first value is {frame[column].iloc[0]!r}), but {name} "
                f"takes numbers only. Put a MetadataEncoder before it: make_pipeline(MetadataEncoder(), {name}())."
            )
        if not np.isfinite(frame[column].to_numpy()).all():
            raise ValueError(
                f"Column {column!r} holds NaN or infinite values, but {name} takes finite numbers only. "
                f"A MetadataEncoder before it imputes them: make_pipeline(MetadataEncoder(), {name}())."
            )


def _weights(sample_weight, n_records):
    if sample_weight is None:
        return None
    weights = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must be one-dimensional, got shape {weights.shape}.")
    if len(weights) != n_records:
        raise ValueError(f"sample_weight has {len(weights)} values for {n_records} records.")
    if (weights < 0).any():
        raise ValueError("sample_weight must not be negative.")
    if not weights.any():
        raise ValueError("sample_weight must contain at least one non-zero number; all weights are zero.")
    return weights


def id_codes(values):
    """Number the distinct ids in a canonical order, whatever the order of the rows.

    Returns
    -------
    ids : array of shape (n_ids,)
        Sorted; ids of mixed types are sorted by type first.
    codes : integer array of shape (n_values,)
        Where each value stands in ``ids``.
    """
    codes, uniques = pd.factorize(column_or_1d(values), use_na_sentinel=False)
    uniques = np.asarray(uniques)
    try:
        order = np.argsort(uniques, kind="stable")
    except TypeError:
        order = np.array(sorted(range(len(uniques)), key=lambda i: (type(uniques[i]).__name__, str(uniques[i]))))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return uniques[order], rank[codes]


def lookup_ids(known, values):
    """Where each value stands among the known ids; -1 for an unknown one."""
    if known.dtype == object or np.asarray(values).dtype == object:
        return pd.Index(known, dtype=object).get_indexer(pd.Index(values, dtype=object))
    return pd.Index(known).get_indexer(pd.Index(values))


def _prefix_role(name):
    role, mark, _ = str(name).partition("__")
    return role if mark and role in ROLES else None


def infer_roles(features, model_codes, dataset_codes):
    """Tell what each column describes: by its prefix, else by what it is a function of.

    A column that is constant within each model describes the model; else one that is constant within each dataset
    describes the dataset; else it describes the pair. Missing values take no side.
    """
    roles = {}
    for column in features.columns:
        role = _prefix_role(column)
        if role is None:
            values = _value_codes(features[column])
            role = (
                "model"
                if _constant_within(values, model_codes)
                else "dataset"
                if _constant_within(values, dataset_codes)
                else "pair"
            )
        roles[column] = role
    return roles


def _value_codes(column):
    if column.dtype == object:
        column = column.map(lambda v: repr(v) if isinstance(v, list | tuple | set | dict | np.ndarray) else v)
    return pd.factorize(column)[0]


def _constant_within(values, groups):
    present = values >= 0
    values, groups = values[present], groups[present]
    first = np.full(groups.max(initial=-1) + 1, -1, dtype=np.int64)
    first[groups[::-1]] = values[::-1]
    return bool((first[groups] == values).all())
