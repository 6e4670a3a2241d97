"""Ranking metrics against scipy, scikit-learn and slow reference code."""

import contextlib
import warnings
from itertools import permutations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import ndcg_score

from skgat import metrics
from skgat.metrics import RANKING_SCORERS, ranking_scorer

NAMES = [
    "pearson", "spearman", "kendall", "weighted_kendall", "ndcg", "top_k_recall", "top_k_regret", "relative_accuracy",
]  # fmt: skip
ORACLES = {
    "pearson": lambda t, p: stats.pearsonr(t, p)[0],
    "spearman": lambda t, p: stats.spearmanr(t, p)[0],
    "kendall": lambda t, p: stats.kendalltau(t, p)[0],
    "weighted_kendall": lambda t, p: stats.weightedtau(t, p)[0],
}


def metric(name):
    return getattr(metrics, name)


def constant(values):
    return len(set(values)) == 1


def macro(oracle, truth, pred, groups, flat=0):
    """The mean over groups in a plain loop; a constant prediction counts ``flat`` unless that is None."""
    scores = []
    for group in sorted(set(groups)):
        t, p = truth[groups == group], pred[groups == group]
        if len(t) > 1 and not constant(t):
            scores.append(flat if flat is not None and constant(p) else oracle(t, p))
    return np.mean(scores)


def random_groups(seed, n_groups=1500, most=25):
    """Groups of every size from 1 up, most of them with heavy ties, rows shuffled."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), rng.integers(1, most, n_groups))
    levels = rng.integers(1, 30, n_groups)[groups]
    truth = np.floor(rng.random(len(groups)) * levels)
    pred = np.floor(rng.random(len(groups)) * rng.permutation(levels))
    order = rng.permutation(len(groups))
    return truth[order], pred[order], groups[order]


@pytest.mark.parametrize("name", ORACLES)
def test_correlations_agree_with_scipy_on_many_groups_with_ties(name):
    truth, pred, groups = random_groups(0)
    assert metric(name)(truth, pred, groups=groups) == pytest.approx(
        macro(ORACLES[name], truth, pred, groups), abs=1e-12
    )


@pytest.mark.parametrize("name", ORACLES)
@settings(deadline=None, max_examples=150)
@given(rows=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=40))
def test_correlations_agree_with_scipy_on_any_group(name, rows):
    truth, pred = np.array(rows, dtype=float).T
    if constant(truth):
        with pytest.warns(UndefinedMetricWarning):
            assert np.isnan(metric(name)(truth, pred, groups=np.zeros(len(truth))))
        return
    expected = 0 if constant(pred) else ORACLES[name](truth, pred)
    assert metric(name)(truth, pred, groups=np.zeros(len(truth))) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("n_levels", [3, 10**9])
def test_correlations_agree_with_scipy_on_one_large_group_beside_small_ones(name, n_levels):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, n_levels, 30_011).astype(float)
    pred = np.round(truth / n_levels + rng.normal(size=len(truth)), 2)
    groups = np.r_[np.zeros(30_000, dtype=int), [1] * 3, [2] * 8]
    assert metric(name)(truth, pred, groups=groups) == pytest.approx(
        macro(ORACLES[name], truth, pred, groups), abs=1e-12
    )


@pytest.mark.parametrize("k", [None, 1, 3, 100])
def test_ndcg_agrees_with_sklearn(k):
    truth, pred, groups = random_groups(2, n_groups=400)
    expected = macro(lambda t, p: ndcg_score([t], [p], k=k), truth, pred, groups, flat=None)
    assert metrics.ndcg(truth, pred, groups=groups, k=k) == pytest.approx(expected, abs=1e-12)


def test_ndcg_shifts_groups_with_negative_scores_and_no_others():
    truth, pred = np.array([-3.0, -1.0, 0.0, 2.0, 3.0]), np.array([2.0, 1.0, 3.0, 1.0, 0.0])
    expected = (ndcg_score([truth[:3] + 3], [pred[:3]]) + ndcg_score([truth[3:]], [pred[3:]])) / 2
    assert metrics.ndcg(truth, pred, groups=[0, 0, 0, 1, 1]) == pytest.approx(expected)


def slow_top(name, truth, pred, k):
    """The mean over all orders of the rows, ties in the prediction staying in that order."""
    scores = []
    threshold = np.sort(truth)[::-1][: min(k, len(truth))][-1]
    for order in permutations(range(len(truth))):
        top = sorted(order, key=lambda row: -pred[row])[:k]
        found = max(truth[row] for row in top)
        scores.append(
            {
                "top_k_recall": sum(truth[row] >= threshold for row in top) / len(top),
                "top_k_regret": truth.max() - found,
                "relative_accuracy": found / truth.max(),
            }[name]
        )
    return np.mean(scores)


@pytest.mark.parametrize("name", ["top_k_recall", "top_k_regret", "relative_accuracy"])
@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(-2, 5), st.integers(0, 2)), min_size=2, max_size=6).filter(
        lambda rows: len({t for t, _ in rows}) > 1 and max(rows)[0] > 0
    ),
    k=st.integers(1, 7),
)
def test_top_k_metrics_are_the_expectation_over_tied_predictions(name, rows, k):
    truth, pred = np.array(rows, dtype=float).T
    expected = slow_top(name, truth, pred, k)
    assert metric(name)(truth, pred, groups=["a"] * len(rows), k=k) == pytest.approx(expected, abs=1e-12)


def test_top_k_metrics_of_a_large_tie():
    n = 100_000
    truth = np.arange(1, n + 1) / n
    groups = np.zeros(n)
    # The largest of k numbers drawn from 1..n is k (n + 1) / (k + 1) on average.
    for k in (1, 7, 5_000):
        expected = k * (n + 1) / (k + 1) / n
        assert metrics.relative_accuracy(truth, groups, groups=groups, k=k) == pytest.approx(expected, rel=1e-12)
        assert metrics.top_k_recall(truth, groups, groups=groups, k=k) == pytest.approx(k / n, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_order_of_rows_and_names_of_groups_do_not_matter_to_the_last_bit(name, data):
    number = st.one_of(st.integers(1, 4).map(float), st.floats(0.1, 100))
    rows = data.draw(st.lists(st.tuples(number, number, st.integers(0, 3)), min_size=2, max_size=30))
    shuffled = data.draw(st.permutations(rows))
    assume(any(len({t for t, _, g in rows if g == group}) > 1 for group in range(4)))
    truth, pred, groups = map(np.array, zip(*rows, strict=True))
    score = metric(name)(truth, pred, groups=groups)
    truth, pred, groups = map(np.array, zip(*shuffled, strict=True))
    assert metric(name)(truth, pred, groups=np.array(list("pqrs"))[groups]) == score


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_prediction_is_best_and_its_reverse_is_worse(name):
    truth, _, groups = random_groups(3, n_groups=50)
    truth = truth + 1
    assert metric(name)(truth, truth, groups=groups) == (0 if name == "top_k_regret" else 1)
    reverse = metric(name)(truth, -truth, groups=groups)
    assert reverse > 0.1 if name == "top_k_regret" else reverse < 0.999


@pytest.mark.parametrize("name", ["spearman", "kendall", "weighted_kendall", "ndcg", "top_k_recall", "top_k_regret"])
def test_rank_metrics_see_only_the_order_of_the_predictions(name):
    truth, pred, groups = random_groups(4, n_groups=50)
    score = metric(name)(truth, pred, groups=groups)
    assert metric(name)(truth, np.exp(pred) - 7, groups=groups) == score


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1.0, 1e3, 1e300])
@pytest.mark.parametrize("shift", [0, 1e6])
def test_pearson_survives_any_scale_and_a_large_offset(scale, shift):
    truth, pred = np.array([1.0, 2.0, 4.0, 8.0]), np.array([3.0, 1.0, 5.0, 6.0])
    score = metrics.pearson(truth, (pred + shift) * scale, groups=[0] * 4)
    assert score == pytest.approx(stats.pearsonr(truth, pred)[0], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_groups_that_cannot_be_ranked_are_skipped(name):
    truth = np.array([1.0, 2.0, 3.0, 5.0, 7.0, 7.0])
    pred = np.array([1.0, 3.0, 2.0, 9.0, 1.0, 2.0])
    alone = metric(name)(truth[:3], pred[:3], groups=["a"] * 3)
    assert metric(name)(truth, pred, groups=["a", "a", "a", "single", "same", "same"]) == alone


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [([], [], []), ([1.0, 2.0], [1.0, 2.0], ["a", "b"]), ([3.0, 3.0], [1.0, 2.0], [0, 0])])
def test_no_group_left_is_nan_with_a_warning(name, rows):
    truth, pred, groups = rows
    with pytest.warns(
        UndefinedMetricWarning, match=f"{name} is undefined and set to nan: it needs a group with"
    ) as seen:
        assert np.isnan(metric(name)(truth, pred, groups=groups))
    assert seen[0].filename == __file__, "it points at the line that asked"


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e300])
def test_a_constant_prediction_counts_zero_for_the_correlations(name, value):
    truth, groups = [1.0, 2.0, 3.0, 1.0, 2.0], [0, 0, 0, 1, 1]
    pred = np.array([value] * 3 + [1.0, 2.0])
    assert metric(name)(truth, pred, groups=groups) == 0.5


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ([0.0, 1.7e308, 1.7e308], [0.0, 1.0, 1.0]),
        ([-1.7e308, 1.7e308, 1.7e308], [0.0, 1.0, 1.0]),
        ([0.0, 5e-324, 5e-324], [0.0, 1.0, 1.0]),
        ([0.0, 1e-12, 2e-12], [0.0, 1.0, 2.0]),
    ],
)
def test_ndcg_holds_for_scores_of_any_size(truth, expected):
    pred, groups = [0.0, 1.0, 0.0], [0, 0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.ndcg(truth, pred, groups=groups)
    assert found == pytest.approx(metrics.ndcg(expected, pred, groups=groups))


def test_recall_of_a_large_tie_is_no_more_than_one():
    # Twelve chances of 5 / 12 add up to a little more than 5.
    assert metrics.top_k_recall([1.0] * 4 + [0.0] * 8, [0.0] * 12, groups=[0] * 12) == 1.0


def test_relative_accuracy_skips_groups_whose_best_score_is_not_positive():
    truth, pred, groups = [-2.0, -1.0, 0.0, -1.0, 0.5, 1.0], [1.0, 0.0, 0.0, 1.0, 2.0, 1.0], [0, 0, 1, 1, 2, 2]
    assert metrics.relative_accuracy(truth, pred, groups=groups, k=1) == 0.5
    with pytest.warns(UndefinedMetricWarning, match="the best of them above 0"):
        assert np.isnan(metrics.relative_accuracy(truth[:4], pred[:4], groups=groups[:4]))


@pytest.mark.parametrize(
    "groups",
    [
        ["x", "x", "x", "y", "y"],
        np.array([7, 7, 7, 3, 3], dtype=np.int8),
        np.array([[7], [7], [7], [3], [3]]),
        np.array([None.__class__, None.__class__, None.__class__, 1, 1], dtype=object),
        [1, 1, 1, "1", "1"],
        [("a", 1)] * 3 + [("a", 2)] * 2,
        pd.Series(list("xxxyy"), dtype="category", index=range(5, 10)),
        pd.Series([2, 2, 2, 1, 1], dtype="Int64"),
        pd.to_datetime(["2020-01-01"] * 3 + ["2021-01-01"] * 2),
        pl.Series(["x", "x", "x", "y", "y"]),
        pl.Series(["x", "x", "x", "y", "y"], dtype=pl.Categorical),
        pa.chunked_array([["x", "x", "x"], ["y", "y"]]),
    ],
    ids=[
        "str",
        "int8",
        "column",
        "object",
        "mixed",
        "tuple",
        "category",
        "Int64",
        "datetime",
        "polars",
        "polars-cat",
        "pyarrow",
    ],
)
def test_groups_of_any_type(groups):
    truth, pred = [1.0, 2.0, 3.0, 1.0, 2.0], [1.0, 3.0, 2.0, 2.0, 1.0]
    assert metrics.spearman(truth, pred, groups=groups) == pytest.approx(-0.25)


def test_scores_of_any_container():
    truth, pred, groups = [1, 2, 4], [True, False, True], [0, 0, 0]
    expected = metrics.pearson(truth, pred, groups=groups)
    for wrap in (
        pd.Series,
        pl.Series,
        pa.array,
        lambda v: np.array(v)[:, None],
        lambda v: np.array(v, dtype=np.float32),
    ):
        assert metrics.pearson(wrap(truth), wrap(pred), groups=groups) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": [1.0, np.nan, 3.0]}, "Input y_true contains NaN"),
        ({"y_pred": [1.0, 2.0, np.inf]}, "Input y_pred contains infinity"),
        ({"y_pred": [1.0, 2.0]}, "Got 3 values in y_true, 2 in y_pred and 3 in groups, but expected one each"),
        ({"y_true": np.ones((3, 2))}, r"y_true has shape \(3, 2\), but expected one number a row"),
        ({"groups": np.ones((3, 2))}, r"groups has shape \(3, 2\), but expected one group id a row"),
        ({"groups": ["a", None, "a"]}, r"groups has 1 missing group id\(s\), the first in row 1; every row needs one"),
        ({"groups": 5}, "groups is 5, but expected one group id a row"),
        ({"groups": None}, r"Got groups=None, but expected the group \(dataset\) of each row"),
    ],
)
def test_bad_input_is_named(name, change, message):
    arguments = {"y_true": [1.0, 2.0, 3.0], "y_pred": [1.0, 2.0, 3.0], "groups": ["a", "a", "a"]} | change
    with pytest.raises(ValueError, match=message):
        metric(name)(arguments["y_true"], arguments["y_pred"], groups=arguments["groups"])


@pytest.mark.parametrize("name", ["ndcg", "top_k_recall", "top_k_regret", "relative_accuracy"])
@pytest.mark.parametrize("k", [0, -1, 1.0, True, "all"])
def test_bad_k_is_named(name, k):
    with pytest.raises(ValueError, match=f"Got k={k!r}, but expected an integer of at least 1"):
        metric(name)([1, 2], [1, 2], groups=[0, 0], k=k)
    with pytest.raises(ValueError, match=f"Got k={k!r}, but expected an integer of at least 1"):
        ranking_scorer(name, k=k)


def test_ready_scorers_are_those_of_all_metrics():
    assert list(RANKING_SCORERS) == NAMES


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ([0.8, 0.4, 0.2], 0.5),
        ([8, 4, 2], 0.5),
        ([5e-324, -1, -1], -np.inf),
        ([0, -1, -2], np.nan),
        ([-1, -2, -3], np.nan),
    ],
)
def test_relative_accuracy_is_a_ratio_of_positive_scores_of_any_size(truth, expected):
    context = pytest.warns(UndefinedMetricWarning) if np.isnan(expected) else contextlib.nullcontext()
    with context:
        found = metrics.relative_accuracy(truth, [1, 3, 2], groups=["a"] * 3, k=2)
    assert found == pytest.approx(expected, nan_ok=True)
