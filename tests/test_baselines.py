"""The additive model: effects, the unknown, shrinkage, weights, input."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.preprocessing import OneHotEncoder

from skgat.baselines import BiasRegressor
from skgat.datasets import make_transfer_records
from skgat.exceptions import DuplicatePairWarning


def small(**columns):
    frame = {"model": ["a", "b", "a", "b"], "dataset": ["x", "x", "y", "y"], "score": [0.1, 0.4, 0.3, 0.6]}
    return pd.DataFrame(frame | columns)


@pytest.fixture(scope="module")
def records():
    return make_transfer_records(12, 10, fill=0.6, random_state=0).records


def test_without_shrinkage_an_additive_table_comes_back():
    bias = BiasRegressor(shrinkage=0.0).fit(small())
    assert_allclose(bias.predict(small()), small()["score"])
    assert bias.mean_ == pytest.approx(0.35)
    assert_allclose(bias.model_effects_, [-0.15, 0.15])
    assert_allclose(bias.dataset_effects_, [-0.1, 0.1])
    assert bias.models_.tolist() == ["a", "b"]
    assert bias.datasets_.tolist() == ["x", "y"]


def test_the_unknown_has_no_effect():
    bias = BiasRegressor(shrinkage=0.0).fit(small())
    new = pd.DataFrame({"model": ["a", "new", "new"], "dataset": ["new", "y", "new"]})
    assert_allclose(bias.predict(new), [0.2, 0.45, 0.35])


@pytest.mark.parametrize("shrinkage", [0.5, 1.0, 20.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_ridge_regression_on_one_hot_ids(records, shrinkage, weighted):
    weights = np.random.default_rng(0).uniform(0.2, 2.0, len(records)) if weighted else np.ones(len(records))
    bias = BiasRegressor(shrinkage=shrinkage).fit(records, sample_weight=weights)
    ids = OneHotEncoder().fit_transform(records[["model", "dataset"]])
    mean = np.average(records["score"], weights=weights)
    ridge = Ridge(alpha=shrinkage, fit_intercept=False, solver="cholesky")
    ridge.fit(ids.toarray(), records["score"] - mean, sample_weight=weights / weights.mean())
    assert_allclose(bias.predict(records), mean + ridge.predict(ids.toarray()), rtol=1e-9)


def test_ranks_the_models_alike_everywhere(records):
    bias = BiasRegressor().fit(records)
    grid = pd.MultiIndex.from_product([bias.models_, [*bias.datasets_, "new"]], names=["model", "dataset"])
    table = pd.Series(bias.predict(grid.to_frame(index=False)), index=grid).unstack()
    for dataset in table:
        assert spearmanr(table[dataset], table["new"]).statistic == pytest.approx(1.0)


def test_strong_shrinkage_leaves_the_mean(records):
    assert_allclose(BiasRegressor(shrinkage=1e9).fit(records).predict(records), records["score"].mean(), rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_row_depends_on_itself_alone(records, data):
    bias = BiasRegressor().fit(records)
    rows = data.draw(st.lists(st.integers(0, len(records) - 1), min_size=1, max_size=10))
    assert_array_equal(bias.predict(records.iloc[rows]), bias.predict(records)[rows])
    assert_array_equal(bias.predict(records.iloc[rows].assign(score=np.nan)), bias.predict(records)[rows])


def test_integer_weights_are_repeated_rows(records):
    counts = np.arange(len(records)) % 3
    weighted = BiasRegressor().fit(records, sample_weight=counts)
    repeated = BiasRegressor().fit(records.loc[records.index.repeat(counts)])
    assert_allclose(weighted.predict(records), repeated.predict(records), rtol=1e-12)


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas])
def test_frames_of_any_library(records, convert):
    expected = BiasRegressor().fit(records).predict(records)
    assert_array_equal(BiasRegressor().fit(convert(records)).predict(convert(records)), expected)


def test_columns_beside_the_ids_are_not_read(records):
    ids = records[["model", "dataset", "score"]]
    assert_array_equal(
        BiasRegressor().fit(records).predict(records[["model", "dataset"]]), BiasRegressor().fit(ids).predict(ids)
    )


def test_y_stands_in_for_the_target_column(records):
    one = BiasRegressor().fit(records.drop(columns="score"), records["score"])
    other = BiasRegressor().fit(records.assign(score=-1.0), records["score"])
    expected = BiasRegressor().fit(records).predict(records)
    assert_array_equal(one.predict(records), expected)
    assert_array_equal(other.predict(records), expected)


def test_a_nameless_array_is_read_by_position():
    array = np.array([[0.0, 5.0], [1.0, 5.0], [0.0, 6.0], [1.0, 6.0]])
    bias = BiasRegressor(shrinkage=0.0).fit(array, small()["score"])
    assert_allclose(bias.predict(np.array([[1.0, 6.0], [0.0, 9.0]])), [0.6, 0.2])


def test_ids_of_another_type_are_unknown():
    bias = BiasRegressor().fit(small())
    assert_array_equal(bias.predict(pd.DataFrame({"model": [1], "dataset": [2]})), [bias.mean_])


def test_duplicates_are_averaged_or_refused():
    twice = pd.concat([small(), small(score=0.0)], ignore_index=True)
    with pytest.warns(DuplicatePairWarning, match="4 .* the first is model 'a' on dataset 'x'; their scores are avera"):
        bias = BiasRegressor(shrinkage=0.0).fit(twice)
    assert_allclose(bias.predict(small()), small()["score"] / 2)
    with pytest.raises(ValueError, match='Keep one score a pair, or set duplicates="mean"'):
        BiasRegressor(duplicates="raise").fit(twice)


@pytest.mark.parametrize(
    ("frame", "params", "message"),
    [
        (small().drop(columns="model"), {}, "X has no column 'model' with the model ids"),
        (small(score=np.inf), {}, "Column 'score' holds 4 value(s) that are not finite numbers"),
        (small(), {"shrinkage": -1.0}, "The 'shrinkage' parameter of BiasRegressor must be a float in the range [0.0"),
        (small(), {"target": "accuracy"}, "X has no target column 'accuracy' and y is None"),
    ],
)
def test_bad_input(frame, params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BiasRegressor(**params).fit(frame)


@pytest.mark.parametrize("unit", [1e-200, 1e-30, 1e-20, 1e20, 1e140])
def test_effects_do_not_depend_on_the_unit_of_the_scores(unit):
    rng = np.random.default_rng(0)
    models, datasets = np.nonzero(rng.random((10, 8)) < 0.5)
    records = pd.DataFrame({"model": models, "dataset": datasets, "score": rng.normal(size=len(models))})
    found = BiasRegressor().fit(records.assign(score=unit * records["score"])).predict(records)
    np.testing.assert_allclose(found / unit, BiasRegressor().fit(records).predict(records), rtol=0, atol=1e-12)
