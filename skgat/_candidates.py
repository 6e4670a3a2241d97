"""The candidates for each dataset: paired, scored, ordered."""

__all__ = ["Request", "rank_candidates"]

import copy
import warnings
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ._entities import Entities, name_unnamed, pair_up, read_entities
from ._fitted import as_ids, inspect_recommender
from ._frames import as_pandas, is_frame
from .exceptions import UnknownEntityWarning
from .records import finite_scores, id_codes, lookup_ids

_STRATEGIES = ("mean", "ucb", "thompson")
#: Of fewer models each is predicted on its own.
_MANY_MODELS = 10_000
#: Scores of all models that are looked at together.
_MOST_SCORES = 2**22
#: Products of all models are as exact as this, relative to the range of the scores and to their size.
_OFF_BY = 1e-4, 1e-6


@dataclass(frozen=True)
class Request:
    """How to rank; the arguments of :func:`skgat.recommend` of the same names.

    ``relative`` asks for a column ``ranking_std`` more: how sure the order is, where the recommender tells that apart.
    """

    k: int | None
    strategy: str
    exclude_known: bool
    random_state: object
    exploration: float
    relative: bool = False

    def __post_init__(self):
        if self.k is not None and (not isinstance(self.k, Integral) or isinstance(self.k, bool) or self.k < 1):
            raise ValueError(f"Got k={self.k!r}, but expected an integer of at least 1, or None for all candidates.")
        if self.strategy not in _STRATEGIES:
            raise ValueError(f"Got strategy={self.strategy!r}, but expected one of {list(_STRATEGIES)}.")
        if not isinstance(self.exploration, Real) or not np.isfinite(self.exploration) or self.exploration < 0:
            raise ValueError(f"Got exploration={self.exploration!r}, but expected a finite number of at least 0.")


def rank_candidates(recommender, datasets, models, context, request):
    """Do what :func:`skgat.recommend` says.

    Parameters
    ----------
    recommender : estimator
    datasets, models, context : see :func:`skgat.recommend`
    request : Request

    Returns
    -------
    pandas.DataFrame
    """
    knowledge = inspect_recommender(recommender)
    if request.strategy != "mean" and not knowledge.has_std():
        raise ValueError(
            f"strategy={request.strategy!r} needs to know how sure each prediction is, but "
            f'{type(knowledge.regressor).__name__}.predict has no return_std; use strategy="mean".'
        )
    context = None if context is None else _read_context(context, knowledge)
    datasets = read_entities(datasets, "dataset", knowledge, name_unnamed(knowledge, context))
    if context is not None:
        datasets = _described(datasets, "dataset", context, knowledge)
    if models is None and context is None:
        models = _shortlist(knowledge, datasets, request)
    models = _read_models(models, knowledge)
    if context is not None:
        models = _described(models, "model", context, knowledge)
    if request.k is not None and request.k > len(models):
        raise ValueError(
            f"Got k={request.k}, but there are only {len(models)} candidate models; pass a smaller k, or k=None for "
            "all of them."
        )
    regressor = knowledge.regressor if context is None else _taught(knowledge, context, models, datasets)
    pairs = pair_up(datasets, models, knowledge)
    mean, std, doubt = _predict(knowledge, regressor, pairs, request)
    known = _known(datasets, models, knowledge, context) if request.exclude_known else np.zeros(len(mean), dtype=bool)
    return _ordered(datasets, models, mean, std, doubt, known, request)


def _shortlist(knowledge, datasets, request):
    """The known models that may be among the first k of a dataset; None where all are to be looked at.

    A regressor that predicts all models at once tells quickly which of a large zoo are far from the first. The others
    are predicted one by one, so that scores and ties are what they would be without a shortlist.
    """
    regressor, k = knowledge.regressor, request.k
    if k is None or request.strategy != "mean" or not hasattr(regressor, "predict_all"):
        return None
    known = getattr(regressor, "models_", ())
    if len(known) < max(_MANY_MODELS, 2 * k):
        return None
    rows = pair_up(datasets, _bare(known[:1]), knowledge)
    everybody = _bare(known) if request.exclude_known else None
    chosen = np.zeros(len(known), dtype=bool)
    step = max(_MOST_SCORES // len(known), 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        with warnings.catch_warnings():
            # What is to be said of the datasets is said when the pairs are predicted.
            warnings.simplefilter("ignore", UnknownEntityWarning)
            table = regressor.predict_all(knowledge.transform(rows.iloc[part]))
        off_by = np.column_stack([np.ptp(table, axis=1), np.abs(table).max(axis=1)]) @ _OFF_BY
        if everybody is not None:
            tried = _known(datasets.take(part), everybody, knowledge, None).reshape(table.shape)
            table = np.where(tried, -np.inf, table)
        for scores, off in zip(table, off_by, strict=True):
            chosen |= scores >= np.partition(scores, -k)[-k] - off
    return as_ids(known[chosen]) if 2 * chosen.sum() <= len(known) else None


def _bare(ids):
    return Entities(as_ids(ids), pd.DataFrame(index=range(len(ids))))


def _read_models(models, knowledge):
    """The candidates in the canonical order, so that neither ties nor draws depend on the order of the call."""
    if models is None:
        models = knowledge.ids["model"]
        if models is None:
            raise ValueError("The recommender does not tell which models it knows; pass the candidates as models.")
    candidates = read_entities(models, "model", knowledge, "new model")
    ordered, codes = id_codes(candidates.ids)
    order = np.empty(len(ordered), dtype=np.int64)
    order[codes] = np.arange(len(ordered))
    return candidates.take(order)


def _read_context(context, knowledge):
    if not is_frame(context):
        raise TypeError(f"context must be a frame of records, got {type(context).__name__}.")
    if not hasattr(knowledge.regressor, "partial_fit"):
        name = type(knowledge.regressor).__name__
        raise ValueError(
            f"context needs a recommender that can take in further records, but {name} has no partial_fit; leave "
            "context out, or fit again with the records included."
        )
    frame = as_pandas(context, "context").reset_index(drop=True)
    for role, column in knowledge.names.items():
        if column not in frame.columns:
            raise ValueError(f"context has no column {column!r} with the {_MEANINGS[role]}.")
    if not len(frame):
        raise ValueError("context is an empty frame, but expected at least 1 record; pass None for no context.")
    return frame


def _described(entities, role, context, knowledge):
    """Datasets or models with what their records in the context say of them, where the caller said nothing.

    Of a column the first record that has a value decides, as in the encoder. What is known of models is known already.
    """
    roles, key = knowledge.columns or {}, knowledge.names[role]
    metadata = entities.metadata.reset_index(drop=True)
    known = knowledge.ids[role] if role == "model" else None
    asked = np.ones(len(entities), dtype=bool) if known is None else lookup_ids(known, entities.ids) < 0
    for column in context.columns:
        if roles.get(column) != role:
            continue
        told = context.loc[context[column].notna(), [key, column]].drop_duplicates(key)
        row = np.where(asked, lookup_ids(as_ids(told[key]), entities.ids), -1)
        if (row >= 0).any():
            metadata[column] = _filled(metadata, told[column], row)
    return Entities(entities.ids, metadata)


def _filled(frame, source, row):
    """A column of a frame with values of a source in the place of what is missing, or where there is no such column.

    Each row of the frame has the source's value at the position ``row``, none if that is -1.
    """
    values = source.reset_index(drop=True).reindex(np.where(row < 0, len(source), row)).reset_index(drop=True)
    if source.name not in frame.columns:
        return values
    given = frame[source.name]
    missing = given.isna()
    return given.astype(object).where(~missing, values).infer_objects() if missing.any() else given


_MEANINGS = {"model": "model ids", "dataset": "dataset ids", "target": "scores"}


def _taught(knowledge, context, models, datasets):
    """A copy of the regressor that has taken in the context."""
    names = knowledge.names
    records = context.drop(columns=names["target"])
    for role, entities in (("model", models), ("dataset", datasets)):
        row = lookup_ids(entities.ids, as_ids(records[names[role]]))
        for column in entities.metadata.columns:
            # The caller described it once; its records need not repeat it.
            records[column] = _filled(records, entities.metadata[column], row)
    ids = (as_ids(records[names[role]]) for role in ("model", "dataset"))
    scores = finite_scores(context[names["target"]], names["target"], *ids)
    regressor = copy.deepcopy(knowledge.regressor)
    return regressor.partial_fit(knowledge.transform(records), scores)


def _predict(knowledge, regressor, pairs, request):
    """Scores, their standard deviations, and those that matter for the order."""
    X = knowledge.transform(pairs)
    if not knowledge.has_std():
        mean = np.asarray(regressor.predict(X), dtype=np.float64)
        return mean, np.full(len(mean), np.nan), None
    mean, std = (np.asarray(values, dtype=np.float64) for values in regressor.predict(X, return_std=True))
    if (request.strategy != "mean" or request.relative) and hasattr(regressor, "ranking_std"):
        # How good the dataset is for all models alike must not drown the differences between them.
        return mean, std, regressor.ranking_std(X)
    return mean, std, std


def _known(datasets, models, knowledge, context):
    """Which of the pairs have a score already."""
    known = np.zeros((len(datasets), len(models)), dtype=bool)
    sources = []
    seen = knowledge.ids["dataset"]
    met = None if seen is None else datasets.ids[lookup_ids(seen, datasets.ids) >= 0]
    if met is None or len(met):
        if knowledge.pairs is None:
            which = "" if met is None else f" with dataset {met[0]!r}"
            raise ValueError(
                "exclude_known=True needs a recommender that remembers the pairs it was fitted on, but no step of this "
                f"one does; it cannot tell which models were tried{which}."
            )
        sources.append(knowledge.pairs)
    if context is not None:
        sources.append(tuple(as_ids(context[knowledge.names[role]]) for role in ("model", "dataset")))
    for of_models, of_datasets in sources:
        row = lookup_ids(datasets.ids, of_datasets)
        asked = row >= 0
        row, column = row[asked], lookup_ids(models.ids, of_models[asked])
        known[row[column >= 0], column[column >= 0]] = True
    return known.ravel()


def _ordered(datasets, models, mean, std, doubt, known, request):
    if request.strategy == "ucb":
        key = mean + request.exploration * doubt
    elif request.strategy == "thompson":
        key = check_random_state(request.random_state).normal(mean, doubt)
    else:
        key = mean
    of_dataset = np.repeat(np.arange(len(datasets)), len(models))
    order = np.lexsort((-key, known, of_dataset))
    rank = np.tile(np.arange(1, len(models) + 1), len(datasets))
    kept = ~known[order] & (rank <= (request.k or len(models)))
    order, rank = order[kept], rank[kept]
    columns = {
        "dataset": datasets.ids[of_dataset[order]],
        "rank": rank,
        "model": models.ids[order % len(models)],
        "score": mean[order],
        "std": std[order],
    }
    if request.relative and doubt is not None:
        columns["ranking_std"] = doubt[order]
    return pd.DataFrame(columns).infer_objects()
