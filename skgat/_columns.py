"""Columns of metadata: what kind of values they hold, and how each kind becomes numbers.

An encoder here is fitted once on the distinct values of a table; from then on it is a function of a row.
"""

__all__ = ["KINDS", "Categories", "Numbers", "Words", "counts_rows", "infer_kind"]

import re
from collections import Counter
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler, normalize

from ._frames import is_numeric
from .records import LARGEST, value_codes

#: How the values of a column are understood.
KINDS = ("numeric", "log", "categorical", "multilabel", "text")

_NUMBERS = {"boolean", "integer", "floating", "decimal", "mixed-integer-float"}
_DATES = {"date", "datetime", "datetime64"}
_SPANS = {"timedelta", "timedelta64"}
_SEPARATOR = "\x1f"  # between labels that are already told apart: no label holds it
_DELIMITERS = (";", "|", ",")
#: What a first column without a name is called, with a further number where it was written into a file again.
_NAMELESS = re.compile(r"(Unnamed: 0(\.\d+)?)?")
#: What the table of all categories of a column may hold.
_MOST_CELLS = 10**8


def _per_value(column, function):
    """Apply a function to the list of distinct values; also tell where each row finds its own, -1 if missing."""
    codes = value_codes(column)
    first = np.empty(codes.max(initial=-1) + 1, dtype=np.int64)
    rows = np.flatnonzero(codes >= 0)[::-1]
    first[codes[rows]] = rows
    values = column.iloc[first]
    if values.dtype in (np.float16, np.float32):
        # 0.1 of any precision is the same category.
        return function([float(str(value)) for value in values.to_numpy()]), codes
    return function(values.tolist()), codes


def counts_rows(name, column):
    """Tell whether a column holds the numbers of rows that pandas writes into a file unless told otherwise."""
    return bool(_NAMELESS.fullmatch(str(name))) and pd.api.types.is_integer_dtype(column) and column.is_unique


def infer_kind(column):
    """Tell the kind of a column; the rules are in the documentation of the encoder."""
    if is_numeric(column):
        return "log" if column.dtype != bool and _is_skewed(column.to_numpy(dtype=np.float64)) else "numeric"
    values, codes = _per_value(column, list)
    what = pd.api.types.infer_dtype(values, skipna=True)
    if what in _DATES | _SPANS | {"boolean"}:
        return "numeric"
    if what in _NUMBERS:
        return "log" if _is_skewed(_as_numbers(column, what, column.name)) else "numeric"
    if any(isinstance(value, list | tuple | set | frozenset | np.ndarray) for value in values):
        return "multilabel"
    strings = sorted({label for label in map(_label, values) if label})
    if _find_delimiter(strings):
        return "multilabel"
    repeats = (codes >= 0).sum() / max(len(strings), 1)
    if _mean_words(strings) >= 4 and repeats < 2:
        return "text"
    return "categorical" if len(strings) <= (100 if repeats >= 2 else 20) else "text"


def _is_skewed(values):
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if not len(positive) or values.min() < 0 or values.max() / 10 < positive.min():
        return False
    scaled = values / values.max()
    deviation = scaled - scaled.mean()
    return bool((deviation**3).mean() > 0.5 * (deviation**2).mean() ** 1.5)


def _mean_words(strings):
    return np.mean([len(re.findall(r"\w+", string)) for string in strings]) if len(strings) else 0.0


def _find_delimiter(strings):
    """The character that splits distinct strings into short labels; None when none does."""
    strings = strings[:1000]
    for mark in _DELIMITERS:
        split = [set(_labels(string, mark)) for string in strings]
        joined = sum(len(labels) > 1 for labels in split)
        counts = Counter(label for labels in split for label in labels)
        shared = joined >= max(2, len(strings) / 4) and max(counts.values()) > 1
        if (shared or 0 < joined == len(strings)) and np.mean([len(label.split()) for label in counts]) < 2.5:
            return mark
    return None


def _label(value):
    # 3, 3.0 and a boolean that became a float along the way are one category.
    if isinstance(value, Real) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _labels(value, mark):
    if isinstance(value, str):
        value = [part.strip("[](){}'\" \t\n") for part in value.split(mark)]
    elif not isinstance(value, list | tuple | set | frozenset | np.ndarray):
        value = [value]
    return [label for label in (_label(part) for part in value if not _is_missing(part)) if label]


def _is_missing(part):
    return part is None or part is pd.NA or part is pd.NaT or (isinstance(part, Real) and part != part)


def _as_numbers(column, what, name):
    """A column as floats: days for dates and spans of time, NaN for missing values."""
    if is_numeric(column):
        numbers = column.to_numpy(dtype=np.float64)
    else:
        distinct, codes = _per_value(column, lambda values: _convert(pd.Series(values, dtype=object), what, name))
        numbers = np.append(distinct, np.nan)[codes]
    if np.isinf(numbers).any():
        raise ValueError(f"Column {name!r} holds infinite values, but expected finite numbers or missing values.")
    if (np.abs(numbers) > LARGEST).any():
        raise ValueError(
            f"Column {name!r} holds {numbers[np.nanargmax(np.abs(numbers))]:g}, but expected numbers of at "
            f"most {LARGEST:g} in size."
        )
    return numbers


def _convert(values, what, name):
    if what in _DATES:
        # A number is no date, whatever pandas would take it for.
        dates = values.mask(np.array([isinstance(value, Real) for value in values], dtype=bool), None)
        stamps = pd.to_datetime(dates, utc=True, format="ISO8601", errors="coerce")
        # In the unit of the dates: nanoseconds do not reach beyond the years 1677 and 2262.
        numbers = (stamps - pd.Timestamp(0, tz="UTC").as_unit(stamps.dt.unit)) / pd.Timedelta(days=1)
    elif what in _SPANS:
        numbers = pd.to_timedelta(values, errors="coerce") / pd.Timedelta(days=1)
    else:
        numbers = pd.to_numeric(values, errors="coerce")
    bad = numbers.isna().to_numpy()
    if bad.any():
        raise ValueError(f"Column {name!r} holds {values[bad.argmax()]!r}, but expected numbers (or dates, as in fit).")
    return numbers.to_numpy(dtype=np.float64)


class Numbers:
    """All numeric columns of a role: logs, the median for what is missing, unit scale, and flags."""

    def __init__(self, kinds, names):
        self.kinds = kinds
        self.names = [names[column] for column in kinds]

    def fit(self, table):
        self.types = {c: pd.api.types.infer_dtype(table[c], skipna=True) for c in self.kinds}
        self.logs = {}
        for column, kind in self.kinds.items():
            if kind == "log":
                self.logs[column] = _log_range(_as_numbers(table[column], self.types[column], column), column)
        values = np.ascontiguousarray(self._numbers(table))
        self.imputer = SimpleImputer(strategy="median").fit(values)
        self.scaler = StandardScaler().fit(self.imputer.transform(values))
        self.indicator = MissingIndicator(error_on_new=False).fit(values)
        self.names += [f"{self.names[i]}_missing" for i in self.indicator.features_]
        return self

    @property
    def sources(self):
        """The column that each of ``names`` comes from."""
        columns = list(self.kinds)
        return columns + [columns[i] for i in self.indicator.features_]

    def _numbers(self, features):
        numbers = {column: _as_numbers(features[column], what, column) for column, what in self.types.items()}
        for column, (offset, least) in self.logs.items():
            numbers[column] = np.log(np.maximum(numbers[column] + offset, least))
        return np.stack(list(numbers.values())).T

    def encode(self, features):
        # In numpy: the transformers check their input for longer than they work on a row.
        values = self._numbers(features)
        absent = np.isnan(values)
        numbers = (np.where(absent, self.imputer.statistics_, values) - self.scaler.mean_) / self.scaler.scale_
        return np.hstack([numbers, absent[:, self.indicator.features_]])


def _log_range(values, column):
    """What to add before taking logs, and the least value to take one of: nothing falls below what fit saw."""
    values = values[~np.isnan(values)]
    if values.min() < 0:
        raise ValueError(f"Column {column!r} is of kind 'log' but holds {values.min():g}; expected no negative number.")
    positive = values[values > 0]
    offset = 0.0 if len(positive) == len(values) else float(positive.min(initial=np.inf))
    offset = offset if np.isfinite(offset) else 1.0
    return offset, float(values.min()) + offset


class _Strings:
    """What the encoders of a single column share: distinct values are encoded once, missing ones are zeros."""

    def fit(self, column):
        documents, codes = _per_value(column, self._documents)
        documents = np.array([*documents, ""], dtype=object)[codes]
        present = documents[documents != ""]
        self.flagged = len(present) < len(documents)
        labels = self._fit(present) if len(present) else []
        self.size = len(labels)
        self.names = [f"{self.name}_{label}" for label in labels] + [f"{self.name}_missing"] * self.flagged
        return self

    @property
    def sources(self):
        """The column that each of ``names`` comes from."""
        return [self.column] * len(self.names)

    def encode(self, features):
        documents, codes = _per_value(features[self.column], self._documents)
        documents = np.array([*documents, ""], dtype=object)
        absent = documents == ""
        values = np.zeros((len(documents), len(self.names)))
        if self.size and not absent.all():
            values[~absent, : self.size] = self._encode(documents[~absent])
        if self.flagged:
            values[absent, -1] = 1.0
        # Column by column, as the output is laid out: several times faster than row by row.
        return np.ascontiguousarray(values.T).take(codes, axis=1).T


class Categories(_Strings):
    """A column of few distinct values: one column a category."""

    def __init__(self, column, name, min_frequency):
        self.column = column
        self.name = name
        self.encoder = OneHotEncoder(
            handle_unknown="infrequent_if_exist", min_frequency=min_frequency, sparse_output=False
        )

    def _documents(self, values):
        return [_label(value) for value in values]

    def _fit(self, documents):
        self.encoder.fit(documents[:, None])
        known, names = self.encoder.categories_[0], self.encoder.get_feature_names_out()
        if len(known) * len(names) > _MOST_CELLS:
            raise ValueError(
                f"Column {self.column!r} has {len(known)} categories, which is too many for a column each; set "
                f"min_frequency, or let it be read as text: kinds={{{self.column!r}: 'text'}}."
            )
        self.places = {document: i for i, document in enumerate(known)}
        # The last row is what an unknown category encodes as; no category is named like the separator.
        self.rows = self.encoder.transform(np.append(known, _SEPARATOR)[:, None])
        return [name.removeprefix("x0_") for name in names]

    def _encode(self, documents):
        return self.rows[[self.places.get(document, -1) for document in documents]]


class Words(_Strings):
    """A column of label sets or texts: labels or words, projected when there are many."""

    def __init__(self, column, name, kind, max_components):
        self.column = column
        self.name = name
        self.kind = kind
        self.max_components = max_components

    def fit(self, column):
        if self.kind == "multilabel":
            values, _ = _per_value(column, list)
            strings = sorted({_label(value) for value in values if isinstance(value, str)} - {""})
            self.delimiter = _find_delimiter(strings) or _likeliest_delimiter(strings)
        return super().fit(column)

    def _documents(self, values):
        if self.kind == "text":
            return [_label(value) for value in values]
        return [_SEPARATOR.join(_labels(value, self.delimiter)) for value in values]

    def _fit(self, documents):
        documents = sorted(set(documents))
        self.vectorizer = _vectorizer(self.kind, documents)
        counts = self.vectorizer.fit_transform(documents)
        if counts.shape[1] <= self.max_components:
            self.directions = None
            return list(self.vectorizer.get_feature_names_out())
        svd = TruncatedSVD(min(self.max_components, len(documents)), random_state=0)
        with np.errstate(invalid="ignore"):  # the share of explained variance, of none
            svd.fit(normalize(counts))
        # Directions beyond the rank are noise of the solver.
        self.directions = svd.components_[svd.singular_values_ > 1e-6 * svd.singular_values_[0]].T
        return [f"svd{i}" for i in range(self.directions.shape[1])]

    def _encode(self, documents):
        counts = self.vectorizer.transform(documents)
        return counts.toarray() if self.directions is None else normalize(counts) @ self.directions


def _likeliest_delimiter(strings):
    return max(reversed(_DELIMITERS), key=lambda mark: sum(mark in string for string in strings))


def _vectorizer(kind, documents):
    if kind == "multilabel":
        return CountVectorizer(binary=True, lowercase=False, token_pattern=f"[^{_SEPARATOR}]+")
    if _mean_words(documents) >= 4:
        return TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    # Names have no words to share, but parts: "resnet" is in "resnet50" and in "wide_resnet101".
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
