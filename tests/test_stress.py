"""Records at the edge of what there is: every recommender stays finite, sensible, and says where it cannot be."""

import os
import warnings
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from estimators import recommenders
from numpy.testing import assert_allclose

from skgat import MetadataEncoder, TransferabilityGAT, recommend
from skgat.datasets import make_transfer_records

NAMES = list(recommenders())
#: GraphEmbedder looks at the order of the scores alone, whatever follows it sees all of them.
SINGLE = {"TransferabilityGAT", "GraphEmbedder"}
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
#: Those that are linear in the number of records; the others compare datasets with each other.
LINEAR = ["BiasRegressor", "MatrixCompletion", "TransferSpaceRegressor", "MetadataEncoder", "TransferabilityGAT"]
#: Fewer in the everyday run, for time.
_MANY = {"TransferabilityGAT": 20_000, "TransferSpaceRegressor": 20_000}


def fit(name, frame):
    """Fitted, with the warnings that graphs of one node on a side are due."""
    lonely = name == "TransferabilityGAT" and min(frame["model"].nunique(), frame["dataset"].nunique()) == 1
    expected = pytest.warns(UserWarning, match="X has a single") if lonely else nullcontext()
    with expected:
        return recommenders()[name].fit(frame, frame["score"])


def frame_of(models, datasets, seed=0):
    scores = np.random.default_rng(seed).uniform(0.2, 0.9, len(models))
    measure = np.linspace(0.0, 1.0, len(models))
    return pd.DataFrame({"model": models, "dataset": datasets, "pair__measure": measure, "score": scores})


def star(center, n=12):
    ends = {center: ["hub"] * n, {"model": "dataset", "dataset": "model"}[center]: [f"leaf {i}" for i in range(n)]}
    return frame_of(ends["model"], ends["dataset"])


GRAPHS = {
    "one record a model": frame_of(list("abcdefghij"), [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]),
    "one record a dataset": frame_of([0, 0, 0, 1, 1, 1, 2, 2, 2, 2], list("abcdefghij")),
    "star around a model": star("model"),
    "star around a dataset": star("dataset"),
    "pairs apart": frame_of(range(8), range(8)),
    "islands": frame_of([0, 0, 1, 1, 5, 5, 6, 6], [0, 1, 0, 1, 7, 8, 7, 8]),
    "two records": frame_of([0, 1], [0, 1]),
}


@pytest.fixture(scope="module")
def records():
    return make_transfer_records(10, 12, fill=0.8, random_state=0).records


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", NAMES)
def test_graphs_that_say_little(name, graph):
    frame = GRAPHS[graph]
    found = fit(name, frame).predict(frame)
    assert np.isfinite(found).all()
    # Nothing here is a reason to leave the range of the scores by more than its width.
    low, high = frame["score"].min(), frame["score"].max()
    assert found.min() > low - (high - low)
    assert found.max() < high + (high - low)


@pytest.mark.parametrize("value", [0.0, 0.7, -3e9])
@pytest.mark.parametrize("name", NAMES)
def test_constant_scores(name, records, value):
    frame = records.assign(score=value)
    new = frame[:3].assign(dataset="new")
    fitted = fit(name, frame)
    for rows in (frame, new):
        assert_allclose(fitted.predict(rows), value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("name", NAMES)
def test_scores_of_any_size(name, records, scale):
    """The unit of the scores is of no matter."""
    expected = fit(name, records).predict(records) * scale
    frame = records.assign(score=records["score"] * scale)
    found = fit(name, frame).predict(frame)
    assert_allclose(found, expected, rtol=0, atol=(1e-3 if name in SINGLE else 1e-6) * frame["score"].std())


def test_errors_grow_with_the_scores(records):
    frame = MetadataEncoder().fit_transform(records)
    gat = recommenders()["TransferabilityGAT"][-1]
    one = gat.fit(frame).predict(frame, return_std=True)[1]
    other = gat.fit(frame.assign(score=1e12 * frame["score"])).predict(frame, return_std=True)[1]
    assert (one > 0).all()
    assert_allclose(other, 1e12 * one, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "MetadataEncoder"])
def test_metadata_that_are_all_missing(name, records):
    """They are told apart from nothing at all by nothing."""
    columns = records.columns.difference(["model", "dataset", "score"])
    frame = records.assign(**dict.fromkeys(columns, np.nan))
    ids = records.drop(columns=columns)
    assert_allclose(fit(name, frame).predict(frame), fit(name, ids).predict(ids), rtol=1e-6)


def test_an_encoder_of_nothing():
    frame = pd.DataFrame({"model": ["a", "b"], "dataset": "x", "model__size": [None, None], "score": [0.1, 0.2]})
    encoded = MetadataEncoder().fit_transform(frame)
    assert encoded.columns.tolist() == ["model", "dataset", "score"]


def test_a_hundred_thousand_categories():
    n = 100_000
    names = [f"{i:x}" for i in range(n)]
    frame = pd.DataFrame({"model": np.arange(n) % 50, "dataset": names, "dataset__name": names, "score": 0.0})
    encoder = MetadataEncoder(kinds={"dataset__name": "categorical"}, min_frequency=2)
    assert encoder.fit_transform(frame).shape == (n, 4)
    encoder = MetadataEncoder()
    found = encoder.fit(frame).transform(frame[:5])
    assert encoder.kinds_ == {"dataset__name": "text"}
    assert np.isfinite(found.drop(columns=["model", "dataset"]).to_numpy()).all()
    assert found.shape[1] <= 3 + encoder.max_components


def test_categories_that_memory_cannot_hold_are_refused():
    n = 100_000
    frame = pd.DataFrame({"model": np.arange(n) % 50, "dataset": np.arange(n), "dataset__id": np.arange(n).astype(str)})
    encoder = MetadataEncoder(kinds={"dataset__id": "categorical"})
    with pytest.raises(ValueError, match="Column 'dataset__id' has 100000 categories, which is too many"):
        encoder.fit(frame)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision(name, records):
    numbers = records.select_dtypes("float").columns
    half = records.astype(dict.fromkeys(numbers, np.float16))
    double = half.astype(dict.fromkeys(numbers, np.float64))
    assert_allclose(fit(name, half).predict(half), fit(name, double).predict(double), rtol=1e-6)


@pytest.mark.parametrize("name", LINEAR)
def test_a_model_with_many_records(name):
    """A hub with a hundred thousand datasets, a million in the nightly run, beside models with one record each."""
    n = 1_000_000 if NIGHTLY else _MANY.get(name, 100_000)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"model": np.r_[np.zeros(n, int), 1, 2, 3], "dataset": np.r_[np.arange(n), 0, 1, 2]})
    frame["dataset__kind"] = frame["dataset"] % 7
    frame["score"] = 0.5 + 0.1 * rng.normal(size=len(frame)) - 0.2 * (frame["model"] > 0)
    recommender = recommenders()[name]
    if name == "TransferabilityGAT":
        recommender.set_params(transferabilitygat__max_iter=2)
    found = recommender.fit(frame, frame["score"]).predict(frame[-1003:])
    assert np.isfinite(found).all()
    # The hub alone tells the level of the scores: that of three others is drawn to it.
    assert abs(found[:-3].mean() - 0.5) < 0.1


@pytest.mark.parametrize("strategy", ["mean", "ucb", "thompson"])
def test_ranking_a_lonely_model(strategy):
    frame = star("model").drop(columns="pair__measure")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X has a single", UserWarning)
        gat = TransferabilityGAT(max_iter=5, n_estimators=1, random_state=0).fit(frame)
    ranking = recommend(gat, "leaf 0", k=1, strategy=strategy, random_state=0)
    assert ranking["model"].tolist() == ["hub"]
    assert np.isfinite(ranking[["score", "std"]].to_numpy()).all()
