"""Which past results and which metadata moved a prediction."""

__all__ = ["explain", "explain_models"]

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd

from .._entities import Entities, name_unnamed, pair_up, read_entities
from .._fitted import as_ids, inspect_recommender, kept_by
from .._frames import as_pandas
from ..gat import TransferabilityGAT
from ..gat.evidence import attention_on_records, similarity_to_records, without_features, without_records
from ..gat.prediction import predict_pairs
from ..graph import SIDES
from ..records import Pairs, lookup_ids, read_pairs
from ._explanation import Explanation

_COLUMNS = (
    "kind", "model", "dataset", "column", "value", "score", "effect", "ranking_effect", "attention", "similarity",
)  # fmt: skip
_NUMBERS = ("score", "effect", "ranking_effect", "attention", "similarity")


def explain(recommender, model, dataset, *, max_records=250):
    """Tell which past results and which metadata moved the prediction for a model on a dataset.

    Each result is taken out of the history in turn, and what follows from the history is computed anew: what the
    networks hear, the solved kernel regression, the levels of the datasets. Only what training chose stays: the
    weights of the networks, the strengths of the kernel and the trees, so that this is exact for ``partial_fit`` and a
    good stand-in for training again. Each column of metadata is replaced by its average over the known models or
    datasets.

    Parameters
    ----------
    recommender : TransferabilityGAT, or Pipeline that ends in one
        Fitted; a fitted search over one does too.
    model : id, dict or frame of one row
        A known model, or the metadata of any; of a known one those that it had in ``fit`` are used, and told.
    dataset : id, dict or frame of one row
        A known dataset, or the metadata of any, as for models.
    max_records : int or None, default=250
        At most so many results are taken out, one after the other. In a longer history those are chosen by a quick
        estimate, from the kernel regression and the attention. None for all.

    Returns
    -------
    explanation : Explanation
        Its ``frame`` has one row a piece of evidence, ``records`` and ``metadata`` hold one kind each, and ``plot``
        draws the strongest.

    See Also
    --------
    skgat.plotting.ExplanationDisplay : The plot.

    Notes
    -----
    Effects need not add up to the prediction: two results that say the same replace each other.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgat import MetadataEncoder, TransferabilityGAT
    >>> from skgat.datasets import load_vision_zoo
    >>> from skgat.inspection import explain
    >>> zoo = load_vision_zoo()
    >>> history = zoo.records[zoo.records["dataset"] != "pets"]
    >>> gat = TransferabilityGAT(max_iter=20, n_estimators=2, random_state=0)
    >>> recommender = make_pipeline(MetadataEncoder(), gat).fit(history)
    >>> pets = zoo.datasets[zoo.datasets["dataset"] == "pets"]
    >>> explanation = explain(recommender, "resnet50", pets, max_records=20)
    >>> explanation.records.shape
    (20, 7)
    >>> sorted(explanation.metadata["column"])[:2]
    ['dataset__domain', 'dataset__granularity']
    """
    knowledge = _inspect(recommender)
    models = _one(model, "model", knowledge)
    return explain_models(recommender, models, dataset, max_records=max_records)[0]


def explain_models(recommender, models, dataset, *, max_records=250):
    """Explain several models on one dataset; each result is taken out once for all of them.

    Parameters
    ----------
    recommender : see :func:`explain`
    models : list of ids, frame or Entities
    dataset, max_records : see :func:`explain`

    Returns
    -------
    list of Explanation
        In the order of the models.
    """
    if max_records is not None and (not isinstance(max_records, Integral) or isinstance(max_records, bool)):
        raise TypeError(f"Got max_records={max_records!r}, but expected an integer of at least 1, or None for all.")
    if max_records is not None and max_records < 1:
        raise ValueError(f"Got max_records={max_records!r}, but expected an integer of at least 1, or None for all.")
    knowledge = _inspect(recommender)
    if not isinstance(models, Entities):
        models = read_entities(models, "model", knowledge, "new model")
    case = _read_case(knowledge, models, _one(dataset, "dataset", knowledge))
    weights = attention_on_records(case.gat)
    told = [similarity_to_records(case.gat, case.X.iloc[[row]]) for row in range(len(models))]
    attention = np.stack([_direct_attention(case, row, weights) for row in range(len(models))])
    examined = _choose(np.stack([influence for _, influence in told]), attention, max_records)
    effects = np.stack([case.values - without_records(case.gat, case.pairs, [edge]) for edge in examined])
    metadata, metadata_effects = _metadata_effects(case)
    explanations = []
    for row in range(len(models)):
        parts = [_records_frame(case, examined, effects, row, attention[row], told[row][0])]
        rows = [number for number, (side, node, *_) in enumerate(metadata) if side == "dataset" or node == row]
        parts.append(_metadata_frame(case, [metadata[i] for i in rows], [metadata_effects[i] for i in rows], row))
        frame = _stack(parts)
        pair = models.ids[row], case.dataset.ids[0], float(case.values[row]), float(case.std[row])
        explanations.append(Explanation(*pair, frame, case.gat.graph_.n_edges))
    return explanations


@dataclass(frozen=True)
class _Case:
    """The pairs to explain, first, and those they are compared with: all known models on the same dataset."""

    knowledge: object
    gat: object
    models: Entities
    dataset: Entities
    X: pd.DataFrame
    pairs: Pairs
    values: np.ndarray
    std: np.ndarray


def _inspect(recommender):
    knowledge = inspect_recommender(recommender)
    if not isinstance(knowledge.regressor, TransferabilityGAT):
        name = type(knowledge.regressor).__name__
        raise TypeError(
            f"explain takes a TransferabilityGAT or a Pipeline that ends in one, got {name}, which cannot tell what it "
            "would predict without a result."
        )
    return knowledge


def _one(given, role, knowledge):
    if isinstance(given, Entities):
        return given
    found = read_entities(given, role, knowledge, "new model" if role == "model" else name_unnamed(knowledge))
    if len(found) > 1:
        raise ValueError(f"{role} names {len(found)} {role}s, but expected one.")
    return found


def _read_case(knowledge, models, dataset):
    known = knowledge.ids["model"]
    others = known[lookup_ids(models.ids, known) < 0]
    ids = np.concatenate([models.ids, others])
    metadata = models.metadata.reset_index(drop=True).reindex(range(len(ids)))
    if not knowledge.transformers:
        metadata = _filled(metadata, len(models), others, knowledge.regressor.graph_)
    compared = Entities(ids, metadata)
    X = as_pandas(knowledge.transform(pair_up(dataset, compared, knowledge))).reset_index(drop=True)
    # Read once, for they are asked about again and again.
    pairs = read_pairs(knowledge.regressor, X, reset=False, missing=True)
    values, std, _ = predict_pairs(knowledge.regressor, pairs)
    return _Case(knowledge, knowledge.regressor, models, dataset, X, pairs, values, std)


def _filled(metadata, start, known, graph):
    """The table with what was seen in fit of known models, from a row on; an encoder fills them by itself."""
    features = pd.DataFrame(graph.model_features, columns=list(graph.model_columns)).reindex(columns=metadata.columns)
    of_known = features.iloc[lookup_ids(graph.models, known)].set_axis(metadata.index[start:])
    return metadata.astype(object).combine_first(of_known.astype(object)).infer_objects()


def _choose(influence, attention, max_records):
    """The records to take out: those that matter for any of the pairs, by the regression and by the attention."""
    n_edges = influence.shape[1]
    if max_records is None or n_edges <= max_records:
        return np.arange(n_edges)
    shares = []
    for values in (influence, np.nan_to_num(attention)):
        largest = values.max(axis=1, keepdims=True)
        shares.append(np.divide(values, largest, out=np.zeros_like(values), where=largest > 0).max(axis=0))
    return np.sort(np.argsort(-(shares[0] + shares[1]), kind="stable")[:max_records])


def _direct_attention(case, row, weights):
    """What the model of the pair and its dataset give to their own records."""
    graph = case.gat.graph_
    ids = {"model": case.models.ids[[row]], "dataset": case.dataset.ids}
    own = {side: getattr(graph, f"edge_{side}s") == lookup_ids(getattr(graph, f"{side}s"), ids[side]) for side in SIDES}
    attention = np.where(own["model"], weights["model"], np.where(own["dataset"], weights["dataset"], np.nan))
    return np.where(own["model"] & own["dataset"], np.fmax(*weights.values()), attention)


def _records_frame(case, examined, effects, row, attention, similarity):
    graph = case.gat.graph_
    frame = pd.DataFrame(
        {
            "kind": "record",
            "model": as_ids(graph.models[graph.edge_models[examined]]),
            "dataset": as_ids(graph.datasets[graph.edge_datasets[examined]]),
            "column": None,
            "value": None,
            "score": graph.scores[examined],
            "effect": effects[:, row],
            "ranking_effect": effects[:, row] - effects.mean(axis=1),
            "attention": attention[examined],
            "similarity": similarity[examined],
        }
    )
    return _strongest_first(frame)


def _metadata_effects(case):
    """For each column of metadata whose it is, which it is and its value; and how it moves all pairs."""
    rows, effects = [], []
    nodes = [("model", node, id_) for node, id_ in enumerate(case.models.ids)]
    for side, node, id_ in [*nodes, ("dataset", 0, case.dataset.ids[0])]:
        kept = [kept_by(step, side, id_) for step in case.knowledge.transformers]
        for column, encoded in _columns_of(case, side).items():
            rows.append((side, node, id_, column, _value(case, side, node, column, encoded, kept)))
            effects.append(case.values - without_features(case.gat, case.pairs, side, id_, encoded))
    return rows, effects


def _columns_of(case, side):
    """The columns that describe a side as they are called in the records, and what they are called when encoded."""
    sources = {}
    for step in case.knowledge.transformers:
        if hasattr(step, "get_sources"):
            sources |= step.get_sources()
    columns = {}
    for name in getattr(case.gat.graph_, f"{side}_columns"):
        columns.setdefault(sources.get(name, name), []).append(name)
    return columns


def _value(case, side, node, column, encoded, kept):
    """What was used of a column: what the caller said of an unknown one, else what fit saw, ``kept`` by steps."""
    entity, said = case.models if side == "model" else case.dataset, None
    if column in entity.metadata.columns and entity.metadata[column].notna().iloc[node]:
        said = entity.metadata[column].iloc[node]
    graph = case.gat.graph_
    code = graph.find(side, entity.ids[[node]])[0]
    if code < 0 and said is not None:
        return said
    for table in kept:
        if table is not None and column in table.columns:
            return table[column].iloc[0]
    if code < 0:
        return None
    seen = dict(zip(getattr(graph, f"{side}_columns"), getattr(graph, f"{side}_features")[code], strict=True))
    # Of what joined after fit the graph alone knows, in other units than the caller's.
    if said is not None and np.allclose(case.X[encoded].iloc[node].astype(float), [seen[name] for name in encoded]):
        return said
    return seen.get(column)


def _metadata_frame(case, rows, effects, row):
    table = [
        {
            "kind": "metadata",
            side: id_,
            "column": column,
            "value": value,
            "effect": effect[row],
            "ranking_effect": effect[row] - effect.mean(),
        }
        for (side, _, id_, column, value), effect in zip(rows, effects, strict=True)
    ]
    frame = pd.DataFrame(table, columns=list(_COLUMNS))
    for name in ("model", "dataset"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    return _strongest_first(frame.astype(dict.fromkeys(_NUMBERS, np.float64)))


def _stack(parts):
    """The parts under each other; pandas would guess the types of columns in which nothing is told."""
    kinds = {name: np.float64 if name in _NUMBERS else object for name in _COLUMNS}
    columns = {name: [part[name].to_numpy(dtype=kind) for part in parts] for name, kind in kinds.items()}
    return pd.DataFrame({n: pd.Series(np.concatenate(found), dtype=kinds[n]) for n, found in columns.items()})


def _strongest_first(frame):
    order = np.argsort(-frame["effect"].abs().to_numpy(), kind="stable")
    return frame.iloc[order].reset_index(drop=True)
