"""The headline usage on the bundled zoo: from records to rankings with scikit-learn's own tools."""

import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_html_repr

from skgat import BiasRegressor, MetadataEncoder, TransferabilityGAT, recommend
from skgat.datasets import load_vision_zoo
from skgat.metrics import RANKING_SCORERS, pearson
from skgat.model_selection import LeaveDatasetsOut

SMALL = {"max_iter": 30, "hidden_dim": 8, "n_estimators": 1, "random_state": 0}


@pytest.fixture(scope="module")
def records():
    return load_vision_zoo().records


@pytest.fixture
def pipe():
    return Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(**SMALL))])


@pytest.fixture(scope="module")
def fitted(records):
    return Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(**SMALL))]).fit(records)


def test_scores_in_the_frame_or_beside_it(pipe, fitted, records):
    y = records["score"]
    expected = fitted.predict(records)
    assert_array_equal(clone(pipe).fit(records, y).predict(records), expected)
    assert_array_equal(clone(pipe).fit(records.drop(columns="score"), y).predict(records), expected)
    assert_array_equal(fitted.predict(records.drop(columns="score")), expected)
    assert pearson(y, expected, groups=records["dataset"]) > 0.5


def test_an_unknown_dataset_is_ranked_from_its_metadata(records):
    unseen = records["dataset"] == "pets"
    pipe = Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(**SMALL))]).fit(records[~unseen])
    ranking = recommend(pipe, records[unseen].filter(like="dataset").iloc[[0]], k=23)
    assert ranking["rank"].tolist() == list(range(1, 24))
    expected = pd.Series(pipe.predict(records[unseen]), records.loc[unseen, "model"]).sort_values(ascending=False)
    assert ranking["model"].tolist() == expected.index.tolist()
    np.testing.assert_allclose(ranking["score"], expected, rtol=1e-9)


def test_unknown_datasets_are_ranked_well_on_average(records):
    """Within a dataset the correlation of a guess with the truth is 0 on average."""
    pipe = Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(max_iter=100, random_state=0))])
    scoring = RANKING_SCORERS["pearson"]
    found = cross_validate(pipe, records, scoring=scoring, cv=LeaveDatasetsOut(4), error_score="raise")
    assert found["test_score"].mean() > 0.6


def test_grid_search(pipe, records):
    search = GridSearchCV(
        pipe,
        {"gat__hidden_dim": [8, 16], "gat__n_layers": [1]},
        scoring=RANKING_SCORERS["weighted_kendall"],
        cv=LeaveDatasetsOut(5),
        n_jobs=2,
        error_score="raise",
    ).fit(records)
    assert search.n_splits_ == 5
    folds = np.stack([search.cv_results_[f"split{i}_test_score"] for i in range(5)])
    assert np.isfinite(folds).all()
    assert (np.abs(folds) <= 1).all()
    best = clone(pipe).set_params(**search.best_params_).fit(records)
    assert_array_equal(search.predict(records), best.predict(records))
    by_hand = []
    for train, test in LeaveDatasetsOut(5).split(records):
        fold = clone(pipe).set_params(**search.best_params_).fit(records.iloc[train])
        by_hand.append(RANKING_SCORERS["weighted_kendall"](fold, records.iloc[test]))
    assert_array_equal(folds[:, search.best_index_], by_hand)


def test_grid_search_with_y(pipe, records):
    search = GridSearchCV(pipe, {"gat__n_layers": [1]}, scoring=RANKING_SCORERS["ndcg"], cv=LeaveDatasetsOut(2))
    search.fit(records, records["score"])
    assert 0 < search.best_score_ <= 1


def test_cross_validate_with_several_scorers(pipe, records):
    scoring = {name: RANKING_SCORERS[name] for name in ("weighted_kendall", "pearson", "top_k_regret")}
    both = scoring | {"r2": "r2"}
    found = cross_validate(pipe, records, records["score"], scoring=both, cv=LeaveDatasetsOut(3), error_score="raise")
    for name in [*scoring, "r2"]:
        assert found[f"test_{name}"].shape == (3,)
        assert np.isfinite(found[f"test_{name}"]).all()
    assert (found["test_top_k_regret"] <= 0).all()
    without_y = cross_validate(pipe, records, scoring=scoring, cv=LeaveDatasetsOut(3), error_score="raise")
    for name in scoring:
        assert_array_equal(found[f"test_{name}"], without_y[f"test_{name}"])


def test_halving_grid_search(pipe, records):
    search = HalvingGridSearchCV(
        pipe,
        {"gat__n_layers": [1, 2]},
        resource="gat__max_iter",
        min_resources=4,
        max_resources=8,
        factor=2,
        scoring=RANKING_SCORERS["spearman"],
        cv=LeaveDatasetsOut(2),
        error_score="raise",
        random_state=0,
    ).fit(records, records["score"])
    assert search.n_resources_ == [4, 8]
    assert search.best_estimator_["gat"].n_iter_ == 8
    assert np.isfinite(search.predict(records)).all()


def test_a_fresh_process_loads_what_joblib_dumped(fitted, records, tmp_path):
    code = (
        "import sys, joblib\n"
        "pipe, records = joblib.load(sys.argv[1])\n"
        "scores = pipe.predict(records)\n"
        "assert 'torch' not in sys.modules\n"
        "joblib.dump(scores, sys.argv[2])\n"
    )
    joblib.dump((fitted, records), tmp_path / "pipe.joblib")
    command = [sys.executable, "-W", "error", "-c", code, tmp_path / "pipe.joblib", tmp_path / "scores.joblib"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    assert joblib.load(tmp_path / "scores.joblib").tobytes() == fitted.predict(records).tobytes()


def test_clone(fitted, records):
    twin = clone(fitted)
    assert not hasattr(twin["gat"], "graph_")
    assert twin["gat"].get_params() == fitted["gat"].get_params()
    assert_array_equal(twin.fit(records).predict(records), fitted.predict(records))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(pipe, fitted, records, library):
    pytest.importorskip(library)
    pipe.set_output(transform=library).fit(records)
    encoded = pipe[:-1].transform(records)
    assert type(encoded).__module__.split(".")[0] == library
    assert list(encoded.columns)[:2] == ["model", "dataset"]
    assert list(encoded.columns)[-1] == "score"
    assert_array_equal(pipe.predict(records), fitted.predict(records))


def test_html_shows_the_steps_and_their_arguments(pipe, fitted):
    html = estimator_html_repr(pipe)
    for word in ("MetadataEncoder", "TransferabilityGAT", "hidden_dim", "Not fitted"):
        assert word in html
    assert "<span>Fitted</span>" in estimator_html_repr(fitted)
    assert "TransferabilityGAT(hidden_dim=8" in repr(fitted)


def test_baselines_take_the_same_records(records):
    found = cross_validate(
        BiasRegressor(), records, scoring=RANKING_SCORERS["spearman"], cv=LeaveDatasetsOut(5), error_score="raise"
    )
    assert found["test_score"].mean() > 0


@pytest.mark.parametrize("to", ["to_polars", "to_arrow"])
def test_frames_of_other_libraries(fitted, records, to):
    polars = pytest.importorskip("polars")
    frame = polars.from_pandas(records)
    frame = frame.to_arrow() if to == "to_arrow" else frame
    pipe = clone(fitted).fit(frame)
    expected = fitted.predict(records)
    assert_array_equal(pipe.predict(frame), expected)
    assert_array_equal(fitted.predict(frame), expected)


def test_further_results_are_taken_in_by_a_pipeline_without_training(fitted, records):
    """`context=` does on a copy what partial_fit does."""
    new = pd.DataFrame({"model": fitted["gat"].models_[:5], "dataset": "new", "score": [0.1, 0.2, 0.3, 0.4, 0.5]})
    facts = records.filter(like="dataset__").iloc[[0]].assign(dataset="new")
    before = fitted.predict(records)
    ranking = recommend(fitted, facts, k=23, context=new.merge(facts, on="dataset"))
    plain = recommend(fitted, facts, k=23)
    assert sorted(ranking["model"]) == sorted(plain["model"])
    assert not np.allclose(ranking["score"], plain["score"])
    assert_array_equal(fitted.predict(records), before)
