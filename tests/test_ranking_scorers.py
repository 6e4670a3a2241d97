"""The ranking scorers inside scikit-learn's machinery, and what an estimator gets to see while it is scored."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skgat import metrics
from skgat.metrics import RANKING_SCORERS, ranking_scorer
from skgat.model_selection import LeaveDatasetsOut

NAMES = list(RANKING_SCORERS)


def metric(name):
    return getattr(metrics, name)


class ModelMean(RegressorMixin, BaseEstimator):
    """Predicts the mean score of the model; takes the scores from the frame when there is no y."""

    def __init__(self, weight=1.0):
        self.weight = weight

    def fit(self, X, y=None):
        frame = to_pandas(X)
        y = frame["score"] if y is None else np.asarray(y)
        self.means_ = pd.Series(np.asarray(y), index=frame["model"]).groupby(level=0).mean()
        self.columns_ = None
        return self

    def predict(self, X):
        self.columns_ = list(to_pandas(X).columns)
        self.type_ = type(X)
        return self.weight * self.means_[to_pandas(X)["model"]].to_numpy()


class Cheat(ModelMean):
    def predict(self, X):
        return to_pandas(X)["score"].to_numpy()


class NamedCheat(Cheat):
    """Was shown the scores as a feature and says so."""

    def fit(self, X, y=None):
        self.feature_names_in_ = np.array(list(to_pandas(X).columns), dtype=object)
        return super().fit(X, y)


def to_pandas(X):
    return X if isinstance(X, pd.DataFrame) else pd.DataFrame({name: X[name].to_numpy() for name in names_of(X)})


def names_of(X):
    return X.column_names if isinstance(X, pa.Table) else X.columns


FRAMES = {"pandas": lambda X: X, "polars": pl.from_pandas, "pyarrow": lambda X: pa.Table.from_pandas(X)}


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    X = pd.DataFrame([(f"m{i}", f"d{j}", i + 3 * rng.normal()) for i in range(8) for j in range(10)])
    X = X.set_axis(["model", "dataset", "score"], axis=1).assign(noise=rng.normal(size=80))
    return X.sample(frac=1, random_state=0)


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("give_y", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_scorer_equals_the_metric(records, library, give_y, name):
    X, y = FRAMES[library](records), records["score"].to_numpy()
    estimator = ModelMean().fit(X)
    expected = metric(name)(y, estimator.predict(X), groups=records["dataset"])
    sign = -1 if name == "top_k_regret" else 1
    scorer = RANKING_SCORERS[name]
    assert (scorer(estimator, X, y) if give_y else scorer(estimator, X)) == sign * expected
    # A frame stays what it was, with the scores taken out.
    assert estimator.type_ is type(X)
    assert estimator.columns_ == ["model", "dataset", "noise"] + ["__index_level_0__"] * (library == "pyarrow")


def test_y_wins_over_the_target_column(records):
    estimator = ModelMean().fit(records)
    scorer = ranking_scorer("spearman")
    assert scorer(estimator, records, -records["score"]) == pytest.approx(-scorer(estimator, records))


def test_scorer_with_other_column_names(records):
    estimator = ModelMean().fit(records)
    X = records.rename(columns={"dataset": "task", "score": "accuracy"})
    scorer = ranking_scorer("ndcg", dataset="task", target="accuracy", k=3)
    expected = metrics.ndcg(
        X["accuracy"] - 0, estimator.predict(X.drop(columns="accuracy")), groups=X["task"].tolist(), k=3
    )
    assert scorer(estimator, X) == expected
    assert repr(scorer) == "ranking_scorer('ndcg', dataset='task', target='accuracy', k=3)"


def test_scorer_of_a_nameless_array_takes_the_groups_from_column_1():
    X = np.array([[0, 5, 1.0], [1, 5, 2.0], [2, 5, 3.0], [0, 6, 2.0], [1, 6, 1.0]])
    y = np.array([1.0, 2.0, 4.0, 2.0, 3.0])
    estimator = Ridge(alpha=1e-9).fit(X[:, 2:], y)
    model = make_pipeline(make_column_transformer(("passthrough", [2])), estimator).fit(X, y)
    assert RANKING_SCORERS["kendall"](model, X, y) == 0
    with pytest.raises(ValueError, match="X has no target column 'score' and y is None"):
        RANKING_SCORERS["kendall"](model, X)


@pytest.mark.parametrize("library", FRAMES)
def test_missing_columns_are_named(records, library):
    estimator = ModelMean().fit(records)
    with pytest.raises(ValueError, match="X has no target column 'accuracy' and y is None; pass the scores as y, or"):
        ranking_scorer("ndcg", target="accuracy")(estimator, FRAMES[library](records))
    with pytest.raises(ValueError, match="X has no column 'task' with the dataset ids; its columns are"):
        ranking_scorer("ndcg", dataset="task")(estimator, FRAMES[library](records))


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("give_y", [False, True])
@pytest.mark.parametrize(("cheat", "error"), [(Cheat, KeyError), (NamedCheat, ValueError)])
def test_an_estimator_that_reads_the_scores_cannot_win(records, library, give_y, cheat, error):
    X = FRAMES[library](records)
    estimator = cheat().fit(X)
    with pytest.raises(error, match="score" if error is KeyError else "Input y_pred contains NaN"):
        RANKING_SCORERS["pearson"](estimator, X, records["score"] if give_y else None)


def test_a_model_fitted_on_the_scores_gains_nothing(records):
    X = records[["dataset", "score", "noise"]].assign(dataset=records["dataset"].str[1:].astype(int))
    model = HistGradientBoostingRegressor(max_iter=20).fit(X, X["score"])
    assert metrics.spearman(X["score"], model.predict(X), groups=X["dataset"]) > 0.95
    assert RANKING_SCORERS["spearman"](model, X, X["score"]) < 0.5
    assert "score" in X


def test_a_cached_prediction_that_saw_the_scores_is_not_used(records):
    X = records[["dataset", "score", "noise"]].assign(dataset=records["dataset"].str[1:].astype(int))
    model = HistGradientBoostingRegressor(max_iter=20).fit(X, X["score"])
    both = check_scoring(model, {"r2": check_scoring(model, "r2"), "rank": RANKING_SCORERS["spearman"]})
    assert both(model, X, X["score"])["rank"] == RANKING_SCORERS["spearman"](model, X, X["score"])


def test_a_pipeline_that_passes_the_target_through_still_predicts(records):
    ids = make_column_transformer(("passthrough", ["model", "dataset", "score"])).set_output(transform="pandas")
    ids.set_params(verbose_feature_names_out=False)
    pipe = make_pipeline(ids, ModelMean()).fit(records)
    plain = RANKING_SCORERS["ndcg"](ModelMean().fit(records), records)
    assert RANKING_SCORERS["ndcg"](pipe, records) == plain


@pytest.mark.parametrize("library", FRAMES)
def test_grid_search_without_y(records, library):
    X = FRAMES[library](records)
    search = GridSearchCV(
        ModelMean(),
        {"weight": [-1.0, 1.0]},
        scoring=RANKING_SCORERS["weighted_kendall"],
        cv=LeaveDatasetsOut(5),
        error_score="raise",
    ).fit(X)
    assert search.best_params_ == {"weight": 1.0}
    assert search.best_score_ > 0.3
    assert search.score(X) == RANKING_SCORERS["weighted_kendall"](search.best_estimator_, X)
    assert clone(search).scoring == RANKING_SCORERS["weighted_kendall"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_cross_validate_with_all_scorers_in_two_processes(records, library):
    X, y = FRAMES[library](records.reset_index(drop=True)), records["score"].to_numpy()
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["model"]))
    pipe = make_pipeline(encoder, Ridge())
    options = {"cv": LeaveDatasetsOut("all"), "scoring": RANKING_SCORERS, "error_score": "raise"}
    alone = cross_validate(pipe, X, y, **options)
    together = cross_validate(pipe, X, y, n_jobs=2, **options)
    for name in NAMES:
        np.testing.assert_array_equal(alone[f"test_{name}"], together[f"test_{name}"])
    train, test = next(LeaveDatasetsOut("all").split(records))
    expected = metrics.kendall(
        y[test], pipe.fit(records.iloc[train], y[train]).predict(records.iloc[test]), groups=np.zeros(len(test))
    )
    assert alone["test_kendall"][0] == expected
    assert (alone["test_top_k_regret"] <= 0).all()


def test_halving_search(records):
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV

    search = HalvingGridSearchCV(
        ModelMean(),
        {"weight": [-2.0, -1.0, 1.0]},
        scoring=ranking_scorer("spearman"),
        cv=LeaveDatasetsOut(2),
        min_resources=40,
        error_score="raise",
        random_state=0,
    )
    with sklearn.config_context(assume_finite=True):
        search.fit(records, records["score"])
    assert search.best_params_ == {"weight": 1.0}


def test_with_metadata_routing_switched_on(records):
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["model"]))
    pipe = make_pipeline(encoder, Ridge())
    folds = records["dataset"].isin(["d0", "d1"]).to_numpy()
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_validate(
            pipe,
            records,
            records["score"],
            cv=LeaveDatasetsOut("all"),
            scoring=RANKING_SCORERS,
            params={"groups": folds},
            error_score="raise",
        )
    assert len(scores["test_ndcg"]) == 2
    assert np.isfinite(scores["test_ndcg"]).all()


@pytest.mark.parametrize("scoring", [RANKING_SCORERS["ndcg"], {"score": RANKING_SCORERS["ndcg"]}], ids=["one", "dict"])
def test_scoring_monitor(scoring):
    callback = pytest.importorskip("sklearn.callback")
    rng = np.random.default_rng(0)
    X = np.column_stack([np.tile(range(10), 5), np.repeat(range(5), 10), rng.normal(size=50)])
    y = (X[:, 2] + rng.normal(size=50) > 0).astype(int)
    monitor = callback.ScoringMonitor(scoring=scoring)
    model = LogisticRegression(max_iter=100).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs().data_as_pandas
    assert log["score"].iloc[-1] == RANKING_SCORERS["ndcg"](model, X, y)


def test_check_scoring_takes_the_scorer_as_it_is():
    scorer = ranking_scorer(metrics.kendall)
    assert check_scoring(ModelMean(), scorer) is scorer


def double(y_true, y_pred, *, groups, factor=2):
    return factor * metrics.kendall(y_true, y_pred, groups=groups)


def test_scorer_of_a_function_of_ones_own(records):
    estimator = ModelMean().fit(records)
    scorer = ranking_scorer(double, factor=3)
    assert repr(scorer) == "ranking_scorer(double, factor=3)"
    assert scorer(estimator, records) == 3 * RANKING_SCORERS["kendall"](estimator, records)


@pytest.mark.parametrize("name", NAMES)
def test_scorers_are_values(name):
    scorer = ranking_scorer(name)
    assert scorer == RANKING_SCORERS[name] == ranking_scorer(metric(name)) == pickle.loads(pickle.dumps(scorer))
    assert hash(scorer) == hash(RANKING_SCORERS[name])
    assert repr(scorer) == f"ranking_scorer('{name}')"
    assert scorer != ranking_scorer(name, target="accuracy")
    assert scorer != name
    assert len(set(RANKING_SCORERS.values())) == len(NAMES)


@pytest.mark.parametrize("bad", ["r2", None, 3])
def test_unknown_metric_is_named(bad):
    with pytest.raises(ValueError, match=rf"Got metric={bad!r}, but expected a function or one of \['kendall', 'ndcg'"):
        ranking_scorer(bad)


def test_wrong_argument_of_a_metric_shows_at_once():
    with pytest.raises(TypeError, match=r"pearson.* got an unexpected keyword argument 'k'"):
        ranking_scorer("pearson", k=3)


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_scorer_is_the_metric_itself_or_its_negative(name, records):
    model = ModelMean(weight=-1.0).fit(records)
    value = metric(name)(records["score"], model.predict(records), groups=records["dataset"])
    assert RANKING_SCORERS[name](model, records) == (-value if name == "top_k_regret" else value) != 0


def test_nothing_can_be_routed_to_a_ranking_scorer():
    with pytest.raises(
        ValueError, match=r"a request for \['sample_weight'\], but a ranking scorer takes nothing besides"
    ):
        ranking_scorer("kendall").set_score_request(sample_weight=True)
