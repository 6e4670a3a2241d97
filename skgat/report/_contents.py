"""What a report tells: the ranking, the history around it, and why."""

__all__ = ["Contents", "Grid", "collect"]

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from .._candidates import Request, rank_candidates
from .._entities import Entities, name_unnamed, pair_up, read_entities
from .._fitted import as_ids, inspect_recommender, kept_by
from ..gat import TransferabilityGAT
from ..gat.evidence import similarity_to_datasets
from ..graph import Graph
from ..inspection._explain import explain_models
from ..records import lookup_ids

#: Half of the width of an interval that holds 80 % of a normal distribution, in standard deviations.
INTERVAL_80 = 1.2815515655446004
_MOST_MODELS, _MOST_DATASETS = 120, 40
_MOST_NEAREST = 8
_FEWEST_SHARED = 3


@dataclass(frozen=True)
class Grid:
    """Models, best first, by datasets: the one of the report, then the others, nearest first.

    Attributes
    ----------
    models, datasets : arrays of ids
    known, predicted : arrays of shape (n_models, n_datasets)
        ``known`` is NaN where there is no result.
    n_models, n_datasets : int
        Of how many these are a part.
    """

    models: np.ndarray
    datasets: np.ndarray
    known: np.ndarray
    predicted: np.ndarray
    n_models: int
    n_datasets: int

    def map(self):
        """Places in the plane of the models and of the datasets, or None where there are too few.

        What is left of the predictions without the levels and the spreads of datasets and the averages of models is
        the interaction: the product of what the recommender has learned of both sides. Its two leading directions are
        the plane; a model lies towards the datasets that it suits more than others do.
        """
        if len(self.models) < 3 or len(self.datasets) < 3:
            return None
        spread = self.predicted.std(axis=0)
        standard = (self.predicted - self.predicted.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        standard = standard - standard.mean(axis=1, keepdims=True)
        left, sizes, right = np.linalg.svd(standard, full_matrices=False)
        # The signs of the directions are arbitrary, and must not change from one machine to the next.
        signs = np.sign(right[np.arange(2), np.abs(right[:2]).argmax(axis=1)])
        sides = [left[:, :2] * sizes[:2] * signs, (right[:2].T * sizes[:2]) * signs]
        sizes = [np.sqrt((side**2).sum(axis=1).mean()) for side in sides]
        return [side / size if size > 1e-9 else side for side, size in zip(sides, sizes, strict=True)]


@dataclass(frozen=True)
class Contents:
    """Everything that is on the page.

    Attributes
    ----------
    dataset : id
    is_known : bool
    described : list of pairs
        What is known of the dataset: columns and values.
    counts : dict
        Of models, datasets and results in the history; a number is None where the recommender does not tell it.
    regressor : str
    ranking : pandas.DataFrame
        All candidates, best first: ``rank, model, score, std, ranking_std, results, known``.
    grid : Grid or None
    nearest : pandas.DataFrame or None
    explanations : list of Explanation
        Of the first models in the ranking; empty where the recommender cannot be explained.
    """

    dataset: object
    is_known: bool
    described: list
    counts: dict
    regressor: str
    ranking: pd.DataFrame
    grid: Grid | None
    nearest: pd.DataFrame | None
    explanations: list


def collect(recommender, dataset, models, k, max_records):
    """Ask a recommender for all that a report tells.

    Parameters
    ----------
    recommender, dataset, models, k, max_records
        See :func:`skgat.report.write_report`.

    Returns
    -------
    Contents
    """
    knowledge = inspect_recommender(recommender)
    entity = read_entities(dataset, "dataset", knowledge, name_unnamed(knowledge))
    if len(entity) > 1:
        raise ValueError(f"dataset names {len(entity)} datasets, but a report is about one; pass one id or one row.")
    request = Request(None, "mean", False, None, 1.0, relative=True)
    ranking = rank_candidates(recommender, _as_given(entity, knowledge), models, None, request)
    graph = next((step.graph_ for step in _steps(knowledge) if isinstance(getattr(step, "graph_", None), Graph)), None)
    ranking = _with_history(ranking, graph, entity.ids[0])
    candidates = _candidates(models, ranking, knowledge)
    nearest = _nearest(knowledge, entity, candidates, ranking, graph)
    known = knowledge.ids["dataset"]
    explained = isinstance(knowledge.regressor, TransferabilityGAT)
    top = candidates.take(np.arange(min(k, len(candidates))))
    return Contents(
        dataset=entity.ids[0],
        is_known=known is not None and lookup_ids(known, entity.ids)[0] >= 0,
        described=_described(entity, knowledge, graph),
        counts={
            "models": None if knowledge.ids["model"] is None else len(knowledge.ids["model"]),
            "datasets": None if known is None else len(known),
            "results": None if graph is None else graph.n_edges,
        },
        regressor=type(knowledge.regressor).__name__,
        ranking=ranking,
        grid=_grid(knowledge, candidates, entity, nearest, graph),
        nearest=None if nearest is None else nearest.head(_MOST_NEAREST),
        explanations=explain_models(recommender, top, entity, max_records=max_records) if explained else [],
    )


def _steps(knowledge):
    return [knowledge.regressor, *reversed(knowledge.transformers)]


def _as_given(entity, knowledge):
    """A frame of one row that reads as the entity again."""
    return entity.metadata.assign(**{knowledge.names["dataset"]: entity.ids})


def _candidates(models, ranking, knowledge):
    """The candidates in the order of the ranking."""
    ids = as_ids(ranking["model"])
    entities = read_entities(ids if models is None else models, "model", knowledge, "new model")
    return entities.take(lookup_ids_of(entities.ids, ids))


def lookup_ids_of(ids, wanted):
    """Where each of the wanted ids stands among ids in any order."""
    place = {id_: number for number, id_ in enumerate(ids.tolist())}
    return np.array([place[id_] for id_ in wanted.tolist()], dtype=np.int64)


def _with_history(ranking, graph, dataset):
    """How many results of each model there are, and that on the dataset itself."""
    results, known = np.zeros(len(ranking), dtype=np.int64), np.full(len(ranking), np.nan)
    if graph is not None:
        codes = lookup_ids(graph.models, as_ids(ranking["model"]))
        counts = np.bincount(graph.edge_models, minlength=graph.n_models)
        results = np.where(codes >= 0, counts[codes], 0)
        here = lookup_ids(graph.datasets, np.array([dataset], dtype=object))[0]
        table = np.full(graph.n_models, np.nan)
        own = graph.edge_datasets == here
        table[graph.edge_models[own]] = graph.scores[own]
        known = np.where(codes >= 0, table[codes], np.nan)
    if "ranking_std" not in ranking:
        ranking = ranking.assign(ranking_std=ranking["std"])
    return ranking.assign(results=results, known=known)


def _described(entity, knowledge, graph):
    """What the caller says of the dataset, else what fit saw; the other way round where that alone is used."""
    said = entity.metadata.iloc[0].items()
    kept = (kept_by(step, "dataset", entity.ids[0]) for step in _steps(knowledge))
    kept = next((table.iloc[0].items() for table in kept if table is not None), ())
    settled = graph is not None and graph.find("dataset", entity.ids)[0] >= 0
    first, second = (kept, said) if settled else (said, kept)
    return list(first) or list(second)


def _nearest(knowledge, entity, candidates, ranking, graph):
    """The known datasets, most alike first: by their metadata, else by the order of the models."""
    if graph is None:
        return None
    similarity = None
    if isinstance(knowledge.regressor, TransferabilityGAT):
        pair = knowledge.transform(pair_up(entity, candidates.take([0]), knowledge))
        similarity = similarity_to_datasets(knowledge.regressor, pair)
    frame = pd.DataFrame({"dataset": as_ids(graph.datasets)})
    frame["similarity"] = np.nan if similarity is None else similarity
    frame = frame[lookup_ids(entity.ids, as_ids(graph.datasets)) < 0]
    if similarity is not None:
        # Only those that may be shown are looked at more closely: there may be thousands.
        frame = frame.sort_values("similarity", ascending=False, kind="stable").head(_MOST_DATASETS)
    score = pd.Series(ranking["score"].to_numpy(), index=pd.Index(as_ids(ranking["model"]), dtype=object))
    told = [_results_on(graph, code, score) for code in lookup_ids(graph.datasets, as_ids(frame["dataset"]))]
    frame = frame.assign(**{name: [row[name] for row in told] for name in ("agreement", "results", "best")})
    if similarity is None:
        frame = frame.sort_values("agreement", ascending=False, kind="stable", na_position="last")
    return frame.reset_index(drop=True)


def _results_on(graph, code, score):
    own = graph.edge_datasets == code
    models, scores = as_ids(graph.models[graph.edge_models[own]]), graph.scores[own]
    predicted = score.reindex(models).to_numpy()
    shared = ~np.isnan(predicted)
    agreement = np.nan
    if shared.sum() >= _FEWEST_SHARED and np.ptp(scores[shared]) > 0 and np.ptp(predicted[shared]) > 0:
        agreement = spearmanr(scores[shared], predicted[shared]).statistic
    best = models[np.argsort(-scores, kind="stable")[:3]].tolist()
    return {"agreement": agreement, "results": int(own.sum()), "best": best}


def _grid(knowledge, candidates, entity, nearest, graph):
    known = knowledge.ids["dataset"]
    if known is None:
        return None
    apart = known[lookup_ids(entity.ids, known) < 0]
    others = as_ids(nearest["dataset"]) if nearest is not None else apart
    n_datasets = 1 + len(apart)
    rows = _spread(len(candidates), _MOST_MODELS)
    models = candidates.take(rows)
    ids = np.concatenate([entity.ids, others[: _MOST_DATASETS - 1]])
    metadata = entity.metadata.reset_index(drop=True).reindex(range(len(ids)))
    datasets = Entities(ids, metadata)
    X = knowledge.transform(pair_up(datasets, models, knowledge))
    predicted = np.asarray(knowledge.regressor.predict(X), dtype=np.float64).reshape(len(ids), len(models)).T
    scores = np.full(predicted.shape, np.nan)
    if graph is not None:
        row = lookup_ids(graph.models, models.ids)
        column = lookup_ids(graph.datasets, ids)
        place = {"model": _inverse(row, graph.n_models), "dataset": _inverse(column, graph.n_datasets)}
        at = place["model"][graph.edge_models], place["dataset"][graph.edge_datasets]
        inside = (at[0] >= 0) & (at[1] >= 0)
        scores[at[0][inside], at[1][inside]] = graph.scores[inside]
    return Grid(models.ids, ids, scores, predicted, len(candidates), n_datasets)


def _inverse(codes, size):
    places = np.full(size, -1)
    rows = np.flatnonzero(codes >= 0)
    places[codes[rows]] = rows
    return places


def _spread(n, most):
    """All positions, or the first two thirds of those that fit and an even choice from the rest."""
    if n <= most:
        return np.arange(n)
    first = 2 * most // 3
    return np.concatenate([np.arange(first), np.linspace(first, n - 1, most - first).astype(np.int64)])


def standing(values):
    """The share of the others in its column that each value is not below; a half where it is alone."""
    ranks = rankdata(values, axis=0) - 1.0
    return ranks / (len(values) - 1) if len(values) > 1 else np.full(values.shape, 0.5)
