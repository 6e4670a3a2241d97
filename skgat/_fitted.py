"""What a fitted recommender knows: its steps, the names of its columns, its models and datasets."""

__all__ = ["Knowledge", "as_ids", "inspect_recommender", "kept_by"]

import inspect
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .records import ROLES, lookup_ids


@dataclass(frozen=True)
class Knowledge:
    """A fitted recommender taken apart.

    Attributes
    ----------
    transformers : list of transformers
    regressor : estimator
        The last step.
    names : dict
        The columns of the ids and the scores, by role: "model", "dataset", "target".
    ids : mapping
        The known ids, by role; None where no step tells them. They are read when they are first asked for.
    columns : dict or None
        The role of every metadata column that was in fit; None when nothing is known of the columns.
    """

    transformers: list
    regressor: object
    names: dict
    ids: dict
    columns: dict | None

    @cached_property
    def pairs(self):
        """The models and the datasets of the pairs that were in fit, two arrays of ids; None if no step tells them."""
        return _known_pairs([*self.transformers, self.regressor])

    def has_std(self):
        """Tell whether the regressor can say how sure it is."""
        return "return_std" in inspect.signature(self.regressor.predict).parameters

    def transform(self, X):
        """Pass records through every step but the last."""
        for transformer in self.transformers:
            X = transformer.transform(X)
        return X


def as_ids(values):
    """A series, an index or a list of ids as an array of Python values: what ids are compared as."""
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    return np.fromiter(values, dtype=object, count=len(values))


def kept_by(step, role, id_):
    """The metadata that a step keeps of a model or a dataset, a frame of one row; None if it keeps none of it."""
    table = getattr(step, f"{role}s_", None)
    if not isinstance(table, pd.DataFrame):
        return None
    # Not by label: pandas takes a tuple apart, and truth values for a choice of rows.
    place = lookup_ids(as_ids(table.index), as_ids([id_]))[0]
    return table.iloc[[place]] if place >= 0 else None


def inspect_recommender(recommender):
    """Take a fitted recommender apart.

    Parameters
    ----------
    recommender : estimator
        A regressor, a Pipeline or a search over one.

    Returns
    -------
    Knowledge
    """
    steps = _steps(recommender)
    check_is_fitted(steps[-1])
    reader = next((step for step in steps if _names_records(step)), None)
    names = {role: getattr(reader, role, default) for role, default in _DEFAULT_NAMES.items()}
    return Knowledge(
        transformers=steps[:-1],
        regressor=steps[-1],
        names=names,
        ids=_Ids(steps),
        columns=_columns(steps[0], reader, names),
    )


class _Ids(dict):
    """The known ids by role, read when they are first asked for: a million take longer than a ranking of them."""

    def __init__(self, steps):
        super().__init__()
        self._steps = steps

    def __missing__(self, role):
        self[role] = _known_ids(self._steps, f"{role}s_")
        return self[role]


_DEFAULT_NAMES = {"model": "model", "dataset": "dataset", "target": "score"}


def _steps(estimator):
    """The fitted steps in order, pipelines and searches opened."""
    if hasattr(estimator, "best_estimator_"):
        return _steps(estimator.best_estimator_)
    if hasattr(estimator, "cv_results_") and not hasattr(estimator, "predict"):
        raise ValueError(f"The {type(estimator).__name__} was fitted with refit=False and holds no fitted recommender.")
    if isinstance(estimator, Pipeline):
        return [*_transformers(estimator.steps[:-1]), *_steps(estimator.steps[-1][1])]
    if not hasattr(estimator, "predict"):
        raise TypeError(
            f"recommender must be a fitted regressor, a Pipeline or a search over one; got {type(estimator).__name__}."
        )
    return [estimator]


def _transformers(named):
    """Steps that only transform, with those of pipelines among them in their place."""
    for _, step in named:
        if isinstance(step, Pipeline):
            yield from _transformers(step.steps)
        elif step is not None and step != "passthrough":
            yield step


def _names_records(step):
    return isinstance(getattr(step, "model", None), str) and isinstance(getattr(step, "dataset", None), str)


def _known_ids(steps, attribute):
    # The regressor comes first: partial_fit may have shown it more than the steps before it saw in fit.
    for step in reversed(steps):
        known = getattr(step, attribute, None)
        if known is not None:
            return as_ids(known.index if isinstance(known, pd.DataFrame) else pd.Index(known))
    return None


def _columns(first, reader, names):
    seen = getattr(first, "feature_names_in_", None)
    if seen is None:
        return None
    roles = dict(getattr(reader, "roles_", {}))
    graph = getattr(reader, "graph_", None)
    for role in ROLES if graph is not None else ():
        roles.update(dict.fromkeys(getattr(graph, f"{role}_columns"), role))
    rest = [name for name in seen if name not in names.values()]
    return {name: roles.get(name, _role_of(name)) for name in rest}


def _role_of(name):
    prefix = str(name).partition("__")[0]
    return prefix if prefix in ROLES else None


def _known_pairs(steps):
    for step in reversed(steps):
        graph = getattr(step, "graph_", None)
        if graph is not None:
            return as_ids(graph.models[graph.edge_models]), as_ids(graph.datasets[graph.edge_datasets])
        if hasattr(step, "pairs_"):
            return tuple(_known_ids([step], f"{role}s_")[step.pairs_[:, i]] for i, role in enumerate(ROLES[:2]))
    return None
