"""The tidy record frame: who is in it, which columns describe what, and what counts as bad input.

Every estimator reads its input through :func:`read_pairs`, so all of them accept the same frames and refuse the same
mistakes in the same words.
"""

__all__ = [
    "LARGEST",
    "ROLES",
    "IdIndex",
    "Pairs",
    "constant_within",
    "finite_scores",
    "hashable_ids",
    "id_codes",
    "infer_roles",
    "lookup_ids",
    "make_records",
    "on_any_model",
    "plain_value",
    "read_pairs",
    "value_codes",
]

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from ._compat import check_feature_names, check_y
from ._frames import as_pandas, column_names, is_frame, is_numeric
from ._ids import IdIndex, hashable_ids, id_codes, lookup_ids, value_codes

#: What a metadata column can describe; a column named ``<role>__<name>`` says so itself.
ROLES = ("model", "dataset", "pair")
#: Of a number that describes something; squares of larger ones overflow.
LARGEST = 1e150


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
    X : frame or array of shape (n_records, n_columns), or Pairs
        What was read before is taken as it is.
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
    if isinstance(X, Pairs):
        return X
    if is_frame(X):
        names = column_names(X)
        if _is_record_frame(estimator, names, X, reset):
            return _read_records(estimator, X, names, y, sample_weight, reset, scores, numeric, missing)
    elif not reset and _fitted_on_records(estimator):
        # scikit-learn's way: columns by position, and a warning that the names are gone.
        X = validate_data(estimator, X, reset=False, dtype=None, ensure_all_finite="allow-nan" if missing else True)
        frame = pd.DataFrame(np.asarray(X), columns=estimator.feature_names_in_)
        flags = {"reset": False, "scores": scores, "numeric": numeric, "missing": missing}
        return read_pairs(estimator, frame.infer_objects(), y, sample_weight, **flags)
    return _read_positions(estimator, X, y, sample_weight, reset, scores, missing and not numeric)


def on_any_model(estimator, X):
    """A table of datasets as records, each of a known model; records and arrays as they are."""
    if not is_frame(X) or estimator.dataset not in (names := column_names(X)) or estimator.model in names:
        return X
    frame = as_pandas(X)
    frame[estimator.model] = np.resize(estimator.models_[:1], len(frame))
    return frame


def _fitted_on_records(estimator):
    return estimator.model in list(getattr(estimator, "feature_names_in_", ()))


def _is_record_frame(estimator, names, X, reset):
    ids = {"model": estimator.model, "dataset": estimator.dataset}
    _check_names(estimator.model, estimator.dataset, estimator.target)
    missing = [role for role, column in ids.items() if column not in names]
    if not missing:
        return True
    named = len(missing) == 1 or estimator.target in names or any(_prefix_role(n) for n in names)
    if not named and (reset or not _fitted_on_records(estimator)):
        frame = as_pandas(X)
        if all(is_numeric(frame[column]) for column in names):
            return False
    role = missing[0]
    raise ValueError(
        f"X has no column {ids[role]!r} with the {role} ids; its columns are {_listed(names)}. "
        f"Rename the column or set {role}= to its name."
    )


def _check_names(model, dataset, target):
    if len({model, dataset, target}) < 3:
        raise ValueError(
            f"Got model={model!r}, dataset={dataset!r} and target={target!r}, but expected three different columns."
        )


def _listed(names, most=8):
    shown = ", ".join(repr(name) for name in list(names)[:most])
    return f"[{shown}{', ...' if len(names) > most else ''}]"


def _read_positions(estimator, X, y, sample_weight, reset, scores, holes):
    checks = {"dtype": np.float64, "reset": reset, "ensure_min_features": 2 if reset else 1}
    checks["ensure_all_finite"] = "allow-nan" if holes else True
    if scores:
        if y is None:
            raise ValueError(
                f"{type(estimator).__name__} requires y to be passed, but the target y is None: an array without "
                "column names holds no scores."
            )
        X, y = validate_data(estimator, X, y, y_numeric=True, **checks)
    else:
        X = validate_data(estimator, X, **checks)
    for place, role in enumerate(("model", "dataset")):
        if np.isnan(X[:, place]).any():
            raise ValueError(f"Column {place} of X has a missing {role} id (NaN); every record needs a {role} id.")
    features = pd.DataFrame(X[:, 2:], columns=[f"pair__x{i}" for i in range(2, X.shape[1])])
    for column in features.columns:
        _sized(f"Column {column!r}", features[column].to_numpy())
    y = _sized(f"Column {estimator.target!r}", np.asarray(y, dtype=np.float64)) if scores else None
    return Pairs(X[:, 0], X[:, 1], y, _weights(sample_weight, len(X)), features, named=False)


def _read_records(estimator, X, names, y, sample_weight, reset, scores, numeric, missing):
    frame = as_pandas(X)
    if not len(frame):
        raise ValueError("Found array with 0 sample(s): X is an empty frame, at least 1 record is required.")
    given = frame.pop(estimator.target) if estimator.target in names else None
    _check_columns(estimator, frame, reset, missing)
    columns = {role: getattr(estimator, role) for role in ("model", "dataset")}
    ids = [_ids(frame[column], column, role) for role, column in columns.items()]
    frame = frame.drop(columns=list(columns.values()))
    if scores:
        y = _scores(estimator, y, given, ids)
    if numeric:
        if any(values.dtype.kind == "O" for _, values in frame.items()):
            frame = frame.infer_objects()
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
        where = f"{absent.sum()} missing {role} id(s), the first in row {absent.argmax()}"
        raise ValueError(f"Column {name!r} has {where}; every record needs a {role} id.")
    return hashable_ids(column.to_numpy(dtype=None if is_numeric(column) else object), f"Column {name!r}", role)


def _scores(estimator, y, given, ids):
    if y is not None:
        y = check_y(y, y_numeric=True, estimator=estimator)
        check_consistent_length(ids[0], y)
        return _sized(f"Column {estimator.target!r}", np.asarray(y, dtype=np.float64))
    if given is None:
        raise ValueError(
            f"X has no target column {estimator.target!r} and y is None; pass the scores as y, or name the column "
            "that holds them with target=."
        )
    return _sized(f"Column {estimator.target!r}", finite_scores(given, estimator.target, *ids))


def finite_scores(given, target, models, datasets):
    """A column of scores as floats; one that is no finite number is refused, with its model and dataset."""
    numbers = pd.to_numeric(given, errors="coerce")
    if numbers.dtype.kind == "c":  # of which a cast would drop half
        numbers = pd.to_numeric(given.map(lambda value: np.nan if np.iscomplexobj(value) else value), errors="coerce")
    values = numbers.to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"Column {target!r} holds {bad.sum()} value(s) that are not finite numbers, the first is "
            f"{plain_value(given.iloc[row])!r} for model {plain_value(models[row])!r} on dataset "
            f"{plain_value(datasets[row])!r}; every score must be a finite number."
        )
    return values


def plain_value(value):
    """A numpy scalar as the Python value that it is."""
    return value.item() if isinstance(value, np.generic) else value


def _check_numbers(estimator, frame):
    name = type(estimator).__name__
    for column, values in frame.items():
        if not is_numeric(values):
            raise ValueError(
                f"Column {column!r} does not hold numbers (its first value is {values.iloc[0]!r}), but {name} "
                f"takes numbers only. Put a MetadataEncoder before it: make_pipeline(MetadataEncoder(), {name}())."
            )
        values = values.to_numpy()
        if not np.isfinite(values).all():
            raise ValueError(
                f"Column {column!r} holds NaN or infinite values, but {name} takes finite numbers only. "
                f"A MetadataEncoder before it imputes them: make_pipeline(MetadataEncoder(), {name}())."
            )
        _sized(f"Column {column!r}", values)


def _sized(what, values):
    largest = max((float(end(values, initial=0.0)) for end in (np.fmax.reduce, np.fmin.reduce)), key=abs)
    if abs(largest) > LARGEST:
        raise ValueError(f"{what} holds {largest:g}, but expected numbers of at most {LARGEST:g} in size.")
    return values


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
    return _sized("sample_weight", weights)


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
            values = value_codes(features[column])
            groups = {"model": model_codes, "dataset": dataset_codes}
            role = next((role for role, codes in groups.items() if constant_within(values, codes)), "pair")
        roles[column] = role
    return roles


def constant_within(values, groups):
    """Tell whether the numbered values are one and the same within each group; -1 takes no side."""
    present = values >= 0
    values, groups = values[present], groups[present]
    first = np.full(groups.max(initial=-1) + 1, -1, dtype=np.int64)
    first[groups[::-1]] = values[::-1]
    return bool((first[groups] == values).all())


def make_records(scores, models=None, datasets=None, pairs=None, *, model="model", dataset="dataset", target="score"):
    """Join scores and metadata tables into the tidy record frame that every estimator reads.

    Parameters
    ----------
    scores : frame
        Long, one row a result: the columns `model`, `dataset` and `target`; further columns describe the pair and
        become ``pair__<column>``, unless their name says already what they describe (``model__...``).
        Wide, one row a model and one column a dataset, NaN where a model was not run: a frame without the columns
        `dataset` and `target`. The models are in the column `model`, else in the index of a pandas frame. A frame
        without an index of its own (polars, pyarrow, a plain range in pandas) may have them in its first column.
    models, datasets : frame, optional
        One row an id: metadata, keyed by the column `model` (`dataset`), or by the index of a pandas frame that has
        no such column. Rows of ids that are not in `scores` are left out.
    pairs : frame, optional
        One row a pair: features, keyed by the columns (or index levels) `model` and `dataset`. Every pair of
        `scores` needs a row; where a feature is not known, its cell may be empty.
    model, dataset, target : str, default="model", "dataset", "score"
        The names of the id columns and of the scores, in every table and in the result.

    Returns
    -------
    pandas.DataFrame
        The columns `model`, `dataset`, `target`, then the metadata, named ``model__<column>``,
        ``dataset__<column>`` and ``pair__<column>``; a name that has its prefix keeps it.

    Raises
    ------
    ValueError
        When an id is missing, occurs twice or has no row of metadata, or a score is no finite number; it names the ids.

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat import make_records
    >>> accuracy = pd.DataFrame({"pets": [0.93, 0.91], "cars": [0.82, None]}, index=["resnet50", "vgg16"])
    >>> sizes = pd.DataFrame({"model": ["resnet50", "vgg16"], "parameters": [25_557_032, 138_357_544]})
    >>> make_records(accuracy, sizes)
          model dataset  score  model__parameters
    0  resnet50    pets   0.93           25557032
    1  resnet50    cars   0.82           25557032
    2     vgg16    pets   0.91          138357544
    """
    _check_names(model, dataset, target)
    records = _read_scores(scores, model, dataset, target)
    ids = {key: records.pop(key).to_numpy() for key in (model, dataset)}
    heads = pd.DataFrame({**ids, target: records.pop(target)})
    parts = {role: [] for role in ROLES}
    for column in records.columns:
        role = _prefix_role(column) or "pair"
        parts[role].append(_prefixed(records[[column]], role))
    for role, table, keys in (("model", models, [model]), ("dataset", datasets, [dataset]), ("pair", pairs, [*ids])):
        if table is not None:
            parts[role].append(_prefixed(_rows_for(table, f"{role}s", {key: ids[key] for key in keys}), role))
    result = pd.concat([heads, *(part for role in ROLES for part in parts[role])], axis=1)
    twice = result.columns[result.columns.duplicated()]
    if len(twice):
        raise ValueError(f"The column {twice[0]!r} comes from more than one place; rename it in one of the tables.")
    return result


def _prefixed(frame, role):
    names = [c if _prefix_role(c) == role else f"{role}__{c}" for c in frame.columns]
    return frame.set_axis(names, axis=1)


def _read_scores(scores, model, dataset, target):
    """The long form of the scores: the ids, finite scores and what else was beside them."""
    table = _keyed_table(scores, "scores", [model, dataset])
    if dataset not in table.columns and target not in table.columns:
        if isinstance(scores, pd.DataFrame):
            rows, columns = scores.index.name, scores.columns.name
            if (rows == dataset or columns == model) and rows != model and columns != dataset:
                # By its own words it lies on its side.
                scores, table = scores.T, _keyed_table(scores.T, "scores", [model, dataset])
        table = _unpivot(table, scores, model, dataset, target)
    _require(table, "scores", {model: "the model ids", dataset: "the dataset ids", target: "the scores"})
    if not len(table):
        raise ValueError("scores holds no score; at least 1 is required.")
    ids = {key: _ids(table[key], key, role) for key, role in ((model, "model"), (dataset, "dataset"))}
    table[target] = finite_scores(table[target], target, *ids.values())
    _check_unique(ids, "scores")
    return table


def _own_index(frame):
    """The index of a pandas frame, unless it only counts the rows."""
    index = getattr(frame, "index", None)
    if not isinstance(index, pd.Index) or (isinstance(index, pd.RangeIndex) and index.name is None):
        return None
    return index


def _keyed_table(table, name, keys):
    """A normalised table with a plain index; ids that were in the index are columns."""
    frame = as_pandas(table, name)
    index = _own_index(table)
    lost = [key for key in keys if key not in frame.columns]
    frame = frame.reset_index(drop=True)
    if index is not None and lost:
        if set(lost) <= set(index.names):
            found = {key: index.get_level_values(key) for key in lost}
        else:
            found = {keys[0]: index} if len(keys) == index.nlevels == 1 else {}
        frame = as_pandas(frame.assign(**{key: np.asarray(values) for key, values in found.items()}))
    return frame


def _require(frame, name, columns):
    for column, holds in columns.items():
        if column not in frame.columns:
            raise ValueError(f"{name} has no column {column!r} with {holds}; its columns are {_listed(frame.columns)}.")


def _unpivot(table, scores, model, dataset, target):
    """One row a cell that holds something, model by model."""
    index = _own_index(scores)
    if model in table.columns:
        models = table.pop(model)
    elif index is not None:
        models = as_pandas(pd.DataFrame({model: np.asarray(index)}))[model]
    elif table.shape[1] and not (isinstance(scores, pd.DataFrame) and _is_numbered(table)):
        models = table.pop(table.columns[0])
    else:
        models = pd.Series(np.arange(len(table)))
    models = _ids(models, model, "model")
    _check_unique({model: models}, "scores")
    numeric = all(is_numeric(table[column]) for column in table.columns)
    cells = table.to_numpy(dtype=np.float64 if numeric else object)
    rows, columns = np.nonzero(~pd.isna(cells))
    datasets = pd.Series(list(table.columns), dtype=None if is_numeric(table.columns) else object).to_numpy()
    # As they are: pandas would make a column of dates of objects that are dates, and those count as nanoseconds.
    found = pd.Series(cells[rows, columns], dtype=cells.dtype)
    return pd.DataFrame({model: models[rows], dataset: datasets[columns], target: found})


def _is_numbered(table):
    """Tell whether the first column of a pandas frame holds scores; the models have no ids but their numbers then."""
    # What pandas calls an index without a name that it wrote into a file.
    return table.columns[0] != "Unnamed: 0" and is_numeric(table.iloc[:, 0])


def _rows_for(table, name, ids):
    """The rows of a metadata table that belong to the ids, one a record."""
    frame = _keyed_table(table, name, list(ids))
    _require(frame, name, dict.fromkeys(ids, "its ids"))
    held = {key: _ids(frame.pop(key), key, name.removesuffix("s")) for key in ids}
    _check_unique(held, name)
    held_keys, asked_keys = _joint_codes(held, ids)
    rows = pd.Index(held_keys).get_indexer(pd.Index(asked_keys))
    if (rows < 0).any():
        raise ValueError(f"{name} has no row for {_described(ids, rows < 0)}; every id of scores needs one.")
    return frame.take(rows).reset_index(drop=True)


def _joint_codes(held, asked):
    """One number for each tuple of ids; -1 for one that is not held."""
    held_keys, asked_keys = 0, 0
    for key, values in held.items():
        known, codes = id_codes(values)
        found = lookup_ids(known, asked[key])
        held_keys = held_keys * len(known) + codes
        asked_keys = np.where((asked_keys < 0) | (found < 0), -1, asked_keys * len(known) + found)
    return held_keys, asked_keys


def _check_unique(ids, name):
    keys, _ = _joint_codes(ids, ids)
    again = pd.Series(keys).duplicated().to_numpy()
    if again.any():
        raise ValueError(f"{name} has more than one row for {_described(ids, again)}; expected one.")


def _described(ids, chosen, most=5):
    """The distinct ids of the chosen rows in words: ``'a' on 'x', 'b' on 'x'``."""
    rows = zip(*(values[chosen].tolist() for values in ids.values()), strict=True)
    said = list(dict.fromkeys(" on ".join(map(repr, row)) for row in rows))
    return ", ".join(said[:most]) + (f" and {len(said) - most} more" if len(said) > most else "")
