"""Metadata of models, datasets and pairs as numbers: what a recommender learns from beside the ids."""

__all__ = ["MetadataEncoder"]

import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._columns import KINDS, Categories, Numbers, Words, counts_rows, infer_kind
from ._compat import CallbackSupportMixin, DocumentedMixin, Interval, StrOptions, fit_context, with_callbacks
from ._frames import is_numeric
from ._output import RecordsOutputMixin, unique_names
from ._versioned import VersionedMixin
from .exceptions import warn_of_unknown
from .records import ROLES, constant_within, id_codes, infer_roles, lookup_ids, read_pairs, value_codes


class MetadataEncoder(
    DocumentedMixin,
    VersionedMixin,
    RecordsOutputMixin,
    CallbackSupportMixin,
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,
):
    """Encode the metadata of a record frame as numbers.

    Every column gets a *role* (what it describes) and a *kind* (how its values are understood). Statistics such as
    means, categories and vocabularies are taken over the distinct models for columns that describe the model, over
    the distinct datasets for columns that describe the dataset, and over the rows for columns that describe the
    pair; so a model with many results weighs no more than one with few. The vocabulary of a column of labels or texts
    is that of its distinct values. The scores are never looked at.

    Parameters
    ----------
    model, dataset, target : str, default="model", "dataset", "score"
        The columns with the model ids, the dataset ids and the scores.
    roles : "auto" or dict, default="auto"
        ``{column: "model" | "dataset" | "pair" | "drop"}`` for some or all columns. The others tell by their prefix
        (``model__``, ``dataset__``, ``pair__``), else by what they are a function of: constant within each model,
        else constant within each dataset, else of the pair.
    kinds : "auto" or dict, default="auto"
        ``{column: "numeric" | "log" | "categorical" | "multilabel" | "text"}`` for some or all columns. For the
        others:

        - numbers and booleans are `numeric`; dates and times become days;
        - numbers are `log` when none is negative, the largest is at least ten times the smallest positive one, and
          their skewness is above 0.5;
        - lists, and strings that a ``;``, ``|`` or ``,`` splits into short labels, are `multilabel`: at least a
          quarter of the strings have the delimiter and share a label, or all have it;
        - strings of four words or more on average, most of them distinct, are `text`;
        - other strings are `categorical` up to 20 distinct ones, or up to 100 when each occurs twice on average;
          beyond that they are names rather than categories, and `text`: what is in a name is shared by its parts.
    max_components : int, default=16
        The most columns that a multilabel or text column becomes. A larger vocabulary is projected by a truncated
        singular value decomposition.
    min_frequency : int or float, default=None
        Categories that fewer ids have (a float: than this share of the ids that have a value) are put together as one.
    output : {"records", "features"}, default="records"
        ``"records"``: the two id columns, the encoded columns, and the target where the input has it.
        ``"features"``: the encoded columns alone, for any regressor of scikit-learn.

    Attributes
    ----------
    roles_ : dict
        The role of each column.
    kinds_ : dict
        The kind of each column that is not dropped. A column that holds nothing but missing values is told as
        ``"drop"`` and has no part in the output.
    models_, datasets_ : pandas.DataFrame
        The metadata of the models (datasets) seen in `fit`, one row an id, as it came.
    pairs_ : integer array of shape (n_pairs, 2)
        Which models were seen with which datasets, as positions in `models_` and `datasets_`.
    encoders_ : dict
        The fitted encoders of each role.
    feature_names_in_ : array of str
        The columns seen in `fit`, without the target.
    n_features_in_ : int

    See Also
    --------
    skgat.make_records : Joins scores and metadata tables into a record frame.

    Notes
    -----
    A missing value is imputed (by the median; by zeros where the column is not numeric), and flagged in a column
    ``<name>_missing`` if `fit` saw missing ones. A category, label or word that `fit` did not see encodes as zeros.
    A value of a known model or dataset that is missing from a call, or a whole column that is, is filled with what
    was seen in `fit`. An empty text or list counts as missing when it is encoded.

    If a column that is said to describe the model differs between the records of a model, `fit` warns and learns
    from the first value of each model; `transform` encodes the value of the row. The same goes for datasets.

    An array without column names is read by position: model id, dataset id, then numbers that describe the pair,
    named ``pair__x2``, ``pair__x3``, ... So is a frame of numbers in which nothing is named like a record. The
    output is then an array in the same order.

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat import MetadataEncoder
    >>> records = pd.DataFrame({
    ...     "model": ["resnet50", "resnet50", "vgg16", "vgg16"],
    ...     "dataset": ["pets", "cars", "pets", "cars"],
    ...     "model__family": ["resnet", "resnet", "vgg", "vgg"],
    ...     "dataset__classes": [37, 196, 37, 196],
    ...     "score": [0.93, 0.82, 0.91, 0.78],
    ... })
    >>> encoder = MetadataEncoder().fit(records)
    >>> encoder.kinds_
    {'model__family': 'categorical', 'dataset__classes': 'numeric'}
    >>> encoder.transform(records).columns.tolist()
    ['model', 'dataset', 'model__family_resnet', 'model__family_vgg', 'dataset__classes', 'score']
    """

    _parameter_constraints = {  # noqa: RUF012 - scikit-learn's own form
        "model": [str],
        "dataset": [str],
        "target": [str],
        "roles": [StrOptions({"auto"}), dict],
        "kinds": [StrOptions({"auto"}), dict],
        "max_components": [Interval(Integral, 1, None, closed="left")],
        "min_frequency": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "output": [StrOptions({"records", "features"})],
    }

    def __init__(
        self,
        *,
        model="model",
        dataset="dataset",
        target="score",
        roles="auto",
        kinds="auto",
        max_components=16,
        min_frequency=None,
        output="records",
    ):
        self.model = model
        self.dataset = dataset
        self.target = target
        self.roles = roles
        self.kinds = kinds
        self.max_components = max_components
        self.min_frequency = min_frequency
        self.output = output

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn how to encode the metadata.

        Parameters
        ----------
        X : frame or array of shape (n_records, n_columns)
            Records.
        y : ignored
            The scores; not looked at.

        Returns
        -------
        MetadataEncoder
            The fitted encoder.
        """
        # A step without steps of its own: progress bars of a pipeline pass it by as one.
        context = self._init_callback_context(max_subtasks=0)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._learn(X)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _learn(self, X):
        pairs = read_pairs(self, X, reset=True, numeric=False, missing=True)
        models, model_codes = id_codes(pairs.models)
        datasets, dataset_codes = id_codes(pairs.datasets)
        self.roles_ = self._find_roles(pairs.features, model_codes, dataset_codes)
        columns = {role: [c for c, r in self.roles_.items() if r == role] for role in ROLES}
        self.models_ = _distinct(pairs.features[columns["model"]], models, model_codes, self.model, "model")
        self.datasets_ = _distinct(pairs.features[columns["dataset"]], datasets, dataset_codes, self.dataset, "dataset")
        seen = np.unique(dataset_codes * len(models) + model_codes)
        self.pairs_ = np.column_stack([seen % len(models), seen // len(models)])
        overrides = self._overrides("kinds", pairs.features.columns, KINDS)
        self.kinds_ = {}
        self.encoders_ = {}
        for role, table in zip(ROLES, (self.models_, self.datasets_, pairs.features[columns["pair"]]), strict=True):
            kinds = {column: overrides.get(column) or infer_kind(table[column]) for column in table.columns}
            kinds = {column: "drop" if table[column].isna().all() else kind for column, kind in kinds.items()}
            self.kinds_ |= kinds
            self.encoders_[role] = self._fit_table(table, kinds, role)
        self._names = unique_names(
            [name for encoders in self.encoders_.values() for encoder in encoders for name in encoder.names],
            taken=(self.model, self.dataset, self.target),
        )

    def _overrides(self, argument, columns, choices):
        given = getattr(self, argument)
        if given == "auto":
            return {}
        for column, choice in given.items():
            if column not in columns:
                raise ValueError(
                    f"Got {argument}={{{column!r}: {choice!r}}}, but X has no metadata column {column!r}; "
                    f"its metadata columns are {list(columns)}."
                )
            if choice not in choices:
                raise ValueError(
                    f"Got {argument}={{{column!r}: {choice!r}}}, but expected one of "
                    f"{', '.join(map(repr, choices))} for a column."
                )
        return given

    def _find_roles(self, features, model_codes, dataset_codes):
        given = self._overrides("roles", features.columns, (*ROLES, "drop"))
        open_ = [column for column in features.columns if column not in given]
        for column in open_:
            if len(features) > 1 and counts_rows(_bare(column), features[column]):
                warnings.warn(
                    f"Column {column!r} seems to hold the numbers of the rows, as pandas.DataFrame.to_csv writes them. "
                    "They describe nothing, and tell the scores where the rows are sorted by them. Leave the column "
                    f"out (read_csv(..., index_col=0)), or say what it describes: roles={{{column!r}: 'pair'}}.",
                    UserWarning,
                    stacklevel=3,
                )
        found = infer_roles(features[open_], model_codes, dataset_codes) | given
        return {column: found[column] for column in features.columns}

    def _fit_table(self, table, kinds, role):
        names = {column: f"{role}__{_bare(column)}" for column in kinds}
        numbers = {column: kind for column, kind in kinds.items() if kind in ("numeric", "log")}
        encoders = [Numbers(numbers, names).fit(table)] if numbers else []
        for column, kind in kinds.items():
            if kind == "categorical":
                encoders.append(Categories(column, names[column], self.min_frequency).fit(table[column]))
            elif kind in ("multilabel", "text"):
                encoders.append(Words(column, names[column], kind, self.max_components).fit(table[column]))
        return encoders

    def transform(self, X):
        """Encode records.

        Each row is encoded by itself: what comes out does not depend on the other rows of the call.

        Parameters
        ----------
        X : frame or array of shape (n_records, n_columns)
            Records. A frame may lack metadata columns that `fit` saw.

        Returns
        -------
        frame, or array for an array
            See the parameter `output`.
        """
        check_is_fitted(self)
        pairs = read_pairs(self, X, reset=False, numeric=False, missing=True)
        features = self._complete(pairs)
        values = np.empty((len(pairs), len(self._names)), order="F")
        end = 0
        for encoder in (encoder for encoders in self.encoders_.values() for encoder in encoders):
            start, end = end, end + len(encoder.names)
            values[:, start:end] = encoder.encode(features)
        return self._hand_over(X, pairs, values)

    def get_sources(self):
        """Tell which column of the records each encoded column comes from.

        Returns
        -------
        dict
            The names of the encoded columns, in their order, and for each the name that it has in the records.
        """
        check_is_fitted(self)
        sources = [s for encoders in self.encoders_.values() for encoder in encoders for s in encoder.sources]
        return dict(zip(self._names, sources, strict=True))

    def _complete(self, pairs):
        """The columns seen in fit, with what the call leaves open filled from what fit saw of the known ids."""
        features = {
            column: pairs.features[column] if column in pairs.features else pd.Series(np.full(len(pairs), np.nan))
            for column, kind in self.kinds_.items()
            if kind != "drop"
        }
        bare = {}
        tables = {"model": (self.models_, pairs.models), "dataset": (self.datasets_, pairs.datasets)}
        for role, (table, ids) in tables.items():
            absent = {column: features[column].isna().to_numpy() for column in table.columns if column in features}
            if any(mask.any() for mask in absent.values()):
                places = lookup_ids(table.index.to_numpy(), ids)
                undescribed = np.logical_and.reduce(list(absent.values())) & (places < 0)
                bare[role] = set(ids[undescribed].tolist())
                for column, mask in absent.items():
                    rows = mask & (places >= 0)
                    if rows.any():
                        features[column] = _replaced(features[column], rows, table[column].iloc[places[rows]])
        warn_of_unknown(bare, stacklevel=4)
        return features


def _bare(column):
    role, mark, rest = str(column).partition("__")
    return rest if mark and rest and role in ROLES else str(column)


def _distinct(features, ids, codes, name, role):
    """One row an id: the first value of each column that is there."""
    table = {}
    for column in features.columns:
        if not constant_within(value_codes(features[column]), codes):
            warnings.warn(
                f"Column {column!r} describes the {role} but differs between the records of one {role}; the first "
                f"value of each {role} is learned from. roles={{{column!r}: 'pair'}} lets it describe the pair.",
                UserWarning,
                stacklevel=3,
            )
        rows = np.flatnonzero(features[column].notna())[::-1]
        first = np.full(len(ids), -1)
        first[codes[rows]] = rows
        values = features[column].to_numpy()[np.maximum(first, 0)]
        if (first < 0).any():
            values[first < 0] = None if values.dtype == object else np.nan
        table[column] = pd.Series(values, dtype=values.dtype)
    table = pd.DataFrame(table, index=pd.RangeIndex(len(ids)), columns=features.columns)
    return table.set_index(pd.Index(ids, dtype=ids.dtype, name=name))


def _replaced(column, rows, values):
    numeric = is_numeric(column) and is_numeric(values)
    merged = column.to_numpy(dtype=np.float64 if numeric else object, copy=True)
    merged[rows] = values.to_numpy()
    return pd.Series(merged)
