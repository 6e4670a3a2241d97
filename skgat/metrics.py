"""Ranking metrics averaged over groups, and scorers that find the groups in the columns of ``X``.

Every metric ranks within each group (the models that were tried on one dataset) and returns the mean over the groups.
A group with fewer than two rows or with a constant truth says nothing about ranking and is skipped; when no group is
left the result is nan, with an :class:`~sklearn.exceptions.UndefinedMetricWarning`. Nothing breaks ties in the
predictions: correlations treat them as scipy does, the other metrics return the expectation over all orders of the tied
rows. So the order of the rows never matters.
"""

__all__ = [
    "RANKING_SCORERS",
    "kendall",
    "ndcg",
    "pearson",
    "ranking_scorer",
    "relative_accuracy",
    "spearman",
    "top_k_recall",
    "top_k_regret",
    "weighted_kendall",
]

import warnings
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils import check_array
from sklearn.utils.metadata_routing import MetadataRequest

from ._compat import BaseScorer
from ._frames import as_pandas, column_names, is_frame
from ._ranking import (
    best,
    best_of_top,
    correlation,
    kendall_tau,
    mean_ranks,
    normalised_gain,
    rankable_rows,
    top_recall,
    weighted_kendall_tau,
)
from .exceptions import UndefinedMetricWarning
from .model_selection import check_ids, read_ids
from .records import id_codes


def pearson(y_true, y_pred, *, groups):
    """Pearson correlation within each group, averaged over the groups.

    A constant prediction counts 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        True and predicted scores, finite numbers.
    groups : array-like of shape (n_rows,)
        The group (dataset) of each row: ids of any type.

    Returns
    -------
    score : float
        Between -1 and 1, higher is better.

    Examples
    --------
    >>> from skgat.metrics import pearson
    >>> pearson([1, 2, 3, 1, 2], [1, 2, 3, 5, 4], groups=["a", "a", "a", "b", "b"])
    0.0
    """
    return _macro(lambda rows: correlation(rows, rows.truth, rows.pred), "pearson", y_true, y_pred, groups)


def spearman(y_true, y_pred, *, groups):
    """Spearman rank correlation within each group, averaged over the groups.

    Tied rows share their mean rank. A constant prediction counts 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        True and predicted scores, finite numbers.
    groups : array-like of shape (n_rows,)
        The group (dataset) of each row: ids of any type.

    Returns
    -------
    score : float
        Between -1 and 1, higher is better.

    Examples
    --------
    >>> from skgat.metrics import spearman
    >>> spearman([1, 2, 30], [1, 5, 6], groups=["a", "a", "a"])
    1.0
    """
    return _macro(
        lambda rows: correlation(rows, mean_ranks(rows, rows.truth), mean_ranks(rows, rows.pred)),
        "spearman", y_true, y_pred, groups,
    )  # fmt: skip


def kendall(y_true, y_pred, *, groups):
    """Kendall's tau-b within each group, averaged over the groups.

    Agrees with :func:`scipy.stats.kendalltau`. A constant prediction counts 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        True and predicted scores, finite numbers.
    groups : array-like of shape (n_rows,)
        The group (dataset) of each row: ids of any type.

    Returns
    -------
    score : float
        Between -1 and 1, higher is better.

    Examples
    --------
    >>> from skgat.metrics import kendall
    >>> kendall([1, 2, 3, 4], [1, 2, 4, 3], groups=["a"] * 4)
    0.666...
    """
    return _macro(kendall_tau, "kendall", y_true, y_pred, groups)


def weighted_kendall(y_true, y_pred, *, groups):
    """Weighted Kendall's tau within each group, averaged over the groups: mistakes at the top cost most.

    Agrees with :func:`scipy.stats.weightedtau` in its default form: additive hyperbolic weights, the mean of ranking
    the rows by the truth and ranking them by the prediction. (Papers that use ``rank=None`` report other figures.)
    A constant prediction counts 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        True and predicted scores, finite numbers.
    groups : array-like of shape (n_rows,)
        The group (dataset) of each row: ids of any type.

    Returns
    -------
    score : float
        Between -1 and 1, higher is better.

    Examples
    --------
    >>> from skgat.metrics import weighted_kendall
    >>> weighted_kendall([1, 2, 3, 4], [2, 1, 3, 4], groups=["a"] * 4)  # a mistake at the bottom
    0.813...
    >>> weighted_kendall([1, 2, 3, 4], [1, 2, 4, 3], groups=["a"] * 4)  # and at the top
    0.52
    """
    return _macro(weighted_kendall_tau, "weighted_kendall", y_true, y_pred, groups)


def ndcg(y_true, y_pred, *, groups, k=None):
    """Normalised discounted cumulative gain within each group, averaged over the groups.

    Agrees with :func:`sklearn.metrics.ndcg_score`: the gain is the true score, the discount logarithmic, tied
    predictions share their mean gain. Where scikit-learn refuses negative scores, here a group with a negative true
    score is shifted so that its lowest one is 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        True and predicted scores, finite numbers.
    groups : array-like of shape (n_rows,)
        The group (dataset) of each row: ids of any type.
    k : int, optional
        Consider the ``k`` highest predictions of each group only; all by default.

    Returns
    -------
    score : float
        Between 0 and 1, higher is better.

    Examples
    --------
    >>> from skgat.metrics import ndcg
    >>> ndcg([0.9, 0.5, 0.1], [0.3, 0.2, 0.1], groups=["a"] * 3)
    1.0
    >>> ndcg([0.9, 0.5, 0.1], [0.2, 0.3, 0.1], groups=["a"] * 3, k=1)
    0.555...
    """
    if k is not None:
        _check_k(k)
    return _macro(lambda rows: normalised_gain(rows, k), "ndcg", y_true, y_pred, groups)


def top_k_recall(y_true, y_pred, *, groups, k=5):
    """Share of the true top ``k`` that is in the predicted top ``k``, averaged over the groups.

    Any row as good as the ``k``-th best counts as a hit. A group with no more than ``k`` rows is found whole and
    counts 1.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        True and predicted scores, finite numbers.
    groups : array-like of shape (n_rows,)
        The group (dataset) of each row: ids of any type.
    k : int, default=5

    Returns
    -------
    score : float
        Between 0 and 1, higher is better.

    Examples
    --------
    >>> from skgat.metrics import top_k_recall
    >>> top_k_recall([4, 3, 2, 1], [4, 1, 3, 2], groups=["a"] * 4, k=2)
    0.5
    """
    _check_k(k)
    return _macro(lambda rows: top_recall(rows, k), "top_k_recall", y_true, y_pred, groups)


def top_k_regret(y_true, y_pred, *, groups, k=5):
    """What fine-tuning only the predicted top ``k`` gives away, averaged over the groups. A loss.

    The best true score of the group minus the best true score among its ``k`` highest predictions.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        True and predicted scores, finite numbers.
    groups : array-like of shape (n_rows,)
        The group (dataset) of each row: ids of any type.
    k : int, default=5

    Returns
    -------
    loss : float
        In the unit of the scores, at least 0, lower is better.

    Examples
    --------
    >>> from skgat.metrics import top_k_regret
    >>> top_k_regret([0.9, 0.5, 0.25], [1, 3, 2], groups=["a"] * 3, k=2)
    0.4
    """
    _check_k(k)
    return _macro(lambda rows: best(rows) - best_of_top(rows, k), "top_k_regret", y_true, y_pred, groups)


def relative_accuracy(y_true, y_pred, *, groups, k=5):
    """The best true score among the predicted top ``k`` over the best of all, averaged over the groups.

    For scores that are larger than 0, like accuracies. A group whose best score is not positive has no such ratio and
    is skipped.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_rows,)
        True and predicted scores, finite numbers.
    groups : array-like of shape (n_rows,)
        The group (dataset) of each row: ids of any type.
    k : int, default=5

    Returns
    -------
    score : float
        At most 1, higher is better.

    Examples
    --------
    >>> from skgat.metrics import relative_accuracy
    >>> relative_accuracy([0.8, 0.4, 0.2], [1, 3, 2], groups=["a"] * 3, k=2)
    0.5
    """
    _check_k(k)
    return _macro(lambda rows: _relative_accuracy(rows, k), "relative_accuracy", y_true, y_pred, groups)


def _macro(metric, name, y_true, y_pred, groups):
    rows = _read(y_true, y_pred, groups)
    scores = metric(rows) if len(rows.size) else np.empty(0)
    scores = scores[~np.isnan(scores)]
    if len(scores):
        return float(scores.mean())
    warnings.warn(
        f"{name} is undefined and set to nan: it needs a group with at least two rows and true scores that differ"
        f"{', the best of them above 0' if name == 'relative_accuracy' else ''}.",
        UndefinedMetricWarning,
        stacklevel=3,
    )
    return float("nan")


def _read(y_true, y_pred, groups):
    truth, pred = _numbers(y_true, "y_true"), _numbers(y_pred, "y_pred")
    if groups is None:
        raise ValueError("Got groups=None, but expected the group (dataset) of each row.")
    groups = check_ids(groups, "groups", "group")
    if not len(truth) == len(pred) == len(groups):
        raise ValueError(
            f"Got {len(truth)} values in y_true, {len(pred)} in y_pred and {len(groups)} in groups, but expected one "
            "each for every row."
        )
    return rankable_rows(truth, pred, id_codes(groups)[1])


def _numbers(values, name):
    values = check_array(values, ensure_2d=False, dtype=np.float64, ensure_min_samples=0, input_name=name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}, but expected one number a row.")
    return values


def _check_k(k):
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise ValueError(f"Got k={k!r}, but expected an integer of at least 1.")


def _relative_accuracy(rows, k):
    highest = best(rows)
    # A score far below 0 over one hardly above it may be more than floats can hold.
    with np.errstate(over="ignore"):
        return np.where(highest > 0, best_of_top(rows, k) / np.where(highest > 0, highest, 1), np.nan)


_METRICS = {
    metric.__name__: metric
    for metric in (pearson, spearman, kendall, weighted_kendall, ndcg, top_k_recall, top_k_regret, relative_accuracy)
}

#: A scorer maximises.
_LOSSES = (top_k_regret,)


def ranking_scorer(metric, *, dataset="dataset", target="score", **kwargs):
    """Make a scorer that takes the groups, and the scores when there is no ``y``, from the columns of ``X``.

    It goes wherever scikit-learn takes a scorer (``GridSearchCV``, ``cross_validate``, ``ScoringMonitor``, ...) and
    needs no metadata routing. The estimator predicts without seeing the scores: the target column is taken out of
    ``X``, or, if the estimator was fitted with it as one of its ``feature_names_in_``, filled with NaN.

    Parameters
    ----------
    metric : str or callable
        Name of a metric of this module, or a function ``metric(y_true, y_pred, *, groups, **kwargs)`` of which higher
        values are better. For ``top_k_regret``, a loss, the scorer returns the negative.
    dataset : str, default="dataset"
        Name of the column with the groups. In an array without column names they stand in column 1.
    target : str, default="score"
        Name of the column with the true scores, read when ``y`` is None.
    **kwargs
        Further arguments of the metric, like ``k``.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None)``; higher is better. Can be pickled and compared.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.dummy import DummyRegressor
    >>> from skgat.metrics import ranking_scorer
    >>> X = pd.DataFrame({"model": ["a", "b"], "dataset": ["x", "x"], "score": [0.5, 0.75]})
    >>> scorer = ranking_scorer("top_k_regret", k=1)
    >>> scorer
    ranking_scorer('top_k_regret', k=1)
    >>> scorer(DummyRegressor().fit(X[[]], X["score"]), X)
    -0.125
    """
    if isinstance(metric, str):
        metric = _METRICS.get(metric, metric)
    if not callable(metric):
        raise ValueError(f"Got metric={metric!r}, but expected a function or one of {sorted(_METRICS)}.")
    if metric in _METRICS.values():
        # A wrong argument shows here rather than as a nan in the middle of a search.
        metric([0, 1], [0, 1], groups=[0, 0], **kwargs)
    return _RankingScorer(metric, dataset, target, kwargs)


class _RankingScorer(BaseScorer):
    def __init__(self, metric, dataset, target, kwargs):
        super().__init__(metric, -1 if metric in _LOSSES else 1, kwargs)
        self._dataset = dataset
        self._target = target

    def __call__(self, estimator, X, y=None):
        """Score the predictions for X; higher is better."""
        return self._score(None, estimator, X, y)

    def _score(self, method_caller, estimator, X, y=None):
        # Not through the caller: it may hold what another scorer had predicted with the scores in sight.
        groups = read_ids(X, self._dataset, 1)
        y = self._scores(X) if y is None else y
        y_pred = estimator.predict(without_target(X, self._target, estimator))
        return self._sign * self._score_func(y, y_pred, groups=groups, **self._kwargs)

    def _scores(self, X):
        if is_frame(X) and self._target in column_names(X):
            return as_pandas(X, columns=[self._target])[self._target]
        raise ValueError(
            f"X has no target column {self._target!r} and y is None; pass the scores as y, or name the column that "
            "holds them with target=."
        )

    def _get_metadata_request(self):
        return MetadataRequest(owner=self)

    def set_score_request(self, **requests):
        """Refuse: there is nothing to route to a ranking scorer."""
        raise ValueError(f"Got a request for {sorted(requests)}, but a ranking scorer takes nothing besides X and y.")

    def _key(self):
        return self._score_func, self._dataset, self._target, tuple(sorted(self._kwargs.items()))

    def __eq__(self, other):
        return isinstance(other, _RankingScorer) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        name = getattr(self._score_func, "__name__", repr(self._score_func))
        shown = [repr(name) if name in _METRICS else name]
        shown += [f"dataset={self._dataset!r}"] * (self._dataset != "dataset")
        shown += [f"target={self._target!r}"] * (self._target != "score")
        shown += [f"{key}={value!r}" for key, value in self._kwargs.items()]
        return f"ranking_scorer({', '.join(shown)})"


def without_target(X, target, estimator):
    """``X`` without the scores, as the estimator can take it: for what must be predicted without seeing them."""
    if not is_frame(X) or target not in column_names(X):
        return X
    if target in list(getattr(estimator, "feature_names_in_", ())):
        return (X if isinstance(X, pd.DataFrame) else as_pandas(X)).assign(**{target: np.nan})
    names = [name for name in column_names(X) if name != target]
    # The frame keeps its type: what a pipeline was fitted on is what it predicts from.
    return X[names] if isinstance(X, pd.DataFrame) or not hasattr(X, "select") else X.select(names)


#: Ready scorers by the name of their metric, with default arguments. ``top_k_regret`` is negated.
RANKING_SCORERS = {name: _RankingScorer(metric, "dataset", "score", {}) for name, metric in _METRICS.items()}
