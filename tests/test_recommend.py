"""recommend: who is ranked, by what, in which order, and what it refuses."""

import copy
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skgat import MetadataEncoder, TransferabilityGAT, _candidates, recommend
from skgat._entities import pair_up
from skgat.baselines import BiasRegressor, TransferSpaceRegressor
from skgat.datasets import make_transfer_records
from skgat.exceptions import UnknownEntityWarning

SIZES = {"pets": 37.0, "cars": 196.0, "food": 101.0}


class UncertainBias(BiasRegressor):
    """The additive model with a standard deviation by model, and further records by fitting again."""

    def fit(self, X, y=None, sample_weight=None):
        super().fit(X, y, sample_weight)
        scores = X[self.target] if y is None else y
        self.seen_ = X.assign(**{self.target: np.asarray(scores)})
        self.pairs_ = np.column_stack(
            [
                pd.Index(ids).get_indexer(X[column])
                for ids, column in ((self.models_, "model"), (self.datasets_, "dataset"))
            ]
        )
        return self

    def predict(self, X, return_std=False):
        mean = super().predict(X)
        return (mean, X[self.model].map(len).to_numpy() / 10.0) if return_std else mean

    def partial_fit(self, X, y=None):
        return self.fit(pd.concat([self.seen_, X.assign(**{self.target: y})], ignore_index=True))


@pytest.fixture(scope="module")
def records():
    """Three models on three datasets; one pair is missing."""
    rows = [("vit", "pets", 0.9), ("vit", "cars", 0.7), ("vit", "food", 0.8), ("resnet", "pets", 0.8)]
    rows += [("resnet", "cars", 0.75), ("resnet", "food", 0.6), ("vgg", "pets", 0.5), ("vgg", "cars", 0.3)]
    frame = pd.DataFrame(rows, columns=["model", "dataset", "score"])
    return frame.assign(
        model__size=frame["model"].map({"vit": 86.0, "resnet": 25.0, "vgg": 138.0}),
        dataset__size=frame["dataset"].map(SIZES),
    )


@pytest.fixture(scope="module")
def bias(records):
    return UncertainBias().fit(records)


@pytest.fixture(scope="module")
def forest(records):
    """A recommender that sees nothing but metadata."""
    encoder = MetadataEncoder(output="features")
    return make_pipeline(encoder, RandomForestRegressor(20, random_state=0)).fit(records, records["score"])


def test_form_and_order(bias):
    ranking = recommend(bias, ["cars", "pets"], k=2)
    assert list(ranking.columns) == ["dataset", "rank", "model", "score", "std"]
    assert ranking["dataset"].tolist() == ["cars", "cars", "pets", "pets"]
    assert ranking["rank"].tolist() == [1, 2, 1, 2]
    mean, std = bias.predict(ranking[["model", "dataset"]], return_std=True)
    assert_array_equal(ranking["score"], mean)
    assert_array_equal(ranking["std"], std)
    every = bias.predict(pd.DataFrame({"model": ["vit", "resnet", "vgg"], "dataset": "cars"}))
    assert ranking["score"][:2].tolist() == sorted(every, reverse=True)[:2]
    assert isinstance(ranking.index, pd.RangeIndex)


def test_std_is_nan_where_the_regressor_has_none(records):
    ranking = recommend(BiasRegressor().fit(records), "pets", k=None)
    assert len(ranking) == 3
    assert ranking["std"].isna().all()


@pytest.mark.parametrize(
    "datasets",
    [
        ["new"],
        ("new",),
        np.array(["new"]),
        pd.Index(["new"]),
        {"dataset": "new", "size": 50.0},
        {"dataset": "new", "dataset__size": 50.0},
        pd.DataFrame({"dataset": ["new"], "size": [50.0]}),
        pd.DataFrame({"size": [50.0]}, index=pd.Index(["new"], name="dataset")),
        pl.DataFrame({"dataset": ["new"], "size": [50.0]}),
        pa.table({"dataset": ["new"], "dataset__size": [50.0]}),
    ],
    ids=["list", "tuple", "array", "index", "dict", "prefixed", "pandas", "indexed", "polars", "pyarrow"],
)
def test_forms_of_datasets(bias, datasets):
    expected = recommend(bias, "new", k=None)
    assert set(expected["dataset"]) == {"new"}
    assert_frame_equal(recommend(bias, datasets, k=None), expected)


@pytest.mark.parametrize("column", ["size", "dataset__size"])
@pytest.mark.parametrize("form", [pd.DataFrame, pl.DataFrame, pa.table])
def test_metadata_reaches_the_recommender(forest, records, form, column):
    new = form({"dataset": ["small", "large"], column: [37.0, 196.0]})
    scores = recommend(forest, new, k=None).groupby("dataset")["score"].mean()
    assert scores["small"] > scores["large"] + 0.05
    like_pets = recommend(forest, {column: 37.0}, k=None)
    assert_array_equal(like_pets["score"], recommend(forest, "pets", k=None)["score"])


def test_known_ids_need_no_metadata(forest, records):
    ranking = recommend(forest, ["pets", "cars"], k=None)
    pairs = ranking[["model", "dataset"]].merge(records.drop(columns="score"), how="left")
    assert_array_equal(ranking["score"], forest.predict(pairs))


def test_known_and_unknown_in_one_frame(forest):
    mixed = recommend(forest, pd.DataFrame({"dataset": ["pets", "new"], "size": [np.nan, 196.0]}), k=None)
    known = recommend(forest, "pets", k=None)
    assert_frame_equal(mixed[mixed["dataset"] == "pets"], known)
    new = recommend(forest, {"dataset": "new", "size": 196.0}, k=None)
    assert_frame_equal(mixed[mixed["dataset"] == "new"].reset_index(drop=True), new)


def test_candidate_models(bias, forest):
    assert set(recommend(bias, "pets", ["vgg", "vit"], k=2)["model"]) == {"vgg", "vit"}
    assert recommend(bias, "pets", "vgg", k=1)["model"].tolist() == ["vgg"]
    unknown = pd.DataFrame({"model": ["deit", "alexnet"], "size": [86.0, 138.0]})
    scores = recommend(forest, "pets", unknown, k=2).set_index("model")["score"]
    known = recommend(forest, "pets", k=None).set_index("model")["score"]
    assert scores["deit"] == known["vit"]
    assert scores["alexnet"] == known["vgg"]


def test_a_dataset_without_an_id(bias, records):
    assert recommend(bias, {"size": 50.0}, k=1)["dataset"].tolist() == ["new dataset"]
    assert recommend(bias, pd.DataFrame({"size": [50.0]}), k=1)["dataset"].tolist() == ["new dataset"]
    taken = UncertainBias().fit(records.assign(dataset=records["dataset"].replace("pets", "new dataset")))
    assert recommend(taken, {"size": 50.0}, k=1)["dataset"].tolist() == ["new dataset'"]
    few = pd.DataFrame({"model": ["vit"], "dataset": ["mine"], "score": [0.2]})
    assert recommend(bias, {"size": 50.0}, k=1, context=few)["dataset"].tolist() == ["mine"]


def test_names_come_from_the_recommender(records):
    renamed = records.rename(columns={"model": "arch", "dataset": "task", "score": "accuracy"})
    other = BiasRegressor(model="arch", dataset="task", target="accuracy").fit(renamed)
    expected = recommend(BiasRegressor().fit(records), "pets", k=3)
    assert_frame_equal(recommend(other, {"task": "pets", "size": 1.0}, k=3), expected)


@pytest.mark.parametrize("ids", [lambda s: s.map(len), lambda s: s.map(str.encode), lambda s: s.map(lambda v: v + "é")])
def test_ids_of_any_type(records, ids):
    frame = records.assign(model=ids(records["model"]), dataset=ids(records["dataset"]))
    frame = frame.drop_duplicates(["model", "dataset"])
    fitted = BiasRegressor().fit(frame)
    ranking = recommend(fitted, frame["dataset"].unique(), k=1)
    assert ranking["dataset"].tolist() == frame["dataset"].unique().tolist()
    assert set(ranking["model"]) <= set(frame["model"])


def test_ties_are_in_the_order_of_the_ids(bias):
    flat = copy.deepcopy(bias)
    flat.model_effects_ = np.zeros(3)
    for models in (["vit", "resnet", "vgg"], ["vgg", "vit", "resnet"]):
        assert recommend(flat, "pets", models, k=None)["model"].tolist() == ["resnet", "vgg", "vit"]


def test_ucb_adds_the_uncertainty(bias):
    ranking = recommend(bias, "pets", k=None, strategy="ucb", exploration=10.0)
    mean = bias.predict(ranking[["model", "dataset"]])
    assert_array_equal(ranking["score"], mean)
    assert ranking["model"].iloc[0] == "resnet", "the longest name has the largest std here"
    assert (np.diff(ranking["score"] + 10.0 * ranking["std"]) <= 0).all()
    by_mean = recommend(bias, "pets", k=None)
    assert_frame_equal(recommend(bias, "pets", k=None, strategy="ucb", exploration=0.0), by_mean)


def test_thompson_draws_from_mean_and_std(bias):
    first = pd.Series(
        [recommend(bias, "pets", k=1, strategy="thompson", random_state=i)["model"][0] for i in range(200)]
    )
    mean = bias.predict(pd.DataFrame({"model": ["resnet", "vgg", "vit"], "dataset": "pets"}))
    draws = np.random.RandomState(0).normal(mean, [0.6, 0.3, 0.3], (20_000, 3)).argmax(axis=1)
    expected = np.bincount(draws, minlength=3) / len(draws)
    shares = first.value_counts(normalize=True).reindex(["resnet", "vgg", "vit"], fill_value=0)
    assert np.abs(shares.to_numpy() - expected).max() < 0.12


def test_thompson_depends_on_the_seed_and_not_on_the_order_of_the_candidates(bias):
    arguments = {"k": None, "strategy": "thompson", "random_state": 3}
    one = recommend(bias, ["pets", "cars"], ["vit", "vgg", "resnet"], **arguments)
    assert_frame_equal(recommend(bias, ["pets", "cars"], ["resnet", "vit", "vgg"], **arguments), one)


def test_exclude_known(bias):
    ranking = recommend(bias, ["pets", "food", "new"], k=2, exclude_known=True)
    found = ranking.groupby("dataset")["model"].agg(list).to_dict()
    assert set(found) == {"food", "new"}
    assert found["food"] == ["vgg"]
    assert len(found["new"]) == 2
    assert ranking["rank"].tolist() == [1, 1, 2]
    few = pd.DataFrame({"model": ["vgg"], "dataset": ["food"], "score": [0.2]})
    assert recommend(bias, "food", exclude_known=True, k=3, context=few).empty


def test_exclude_known_needs_the_pairs_only_for_known_datasets(forest):
    assert len(recommend(forest, {"size": 50.0}, k=3, exclude_known=True)) == 3


def test_context_teaches_a_copy(bias, records):
    before = copy.deepcopy(vars(bias))
    few = pd.DataFrame({"model": ["vgg", "vit"], "dataset": ["mine", "mine"], "score": [0.1, 0.15]})
    plain, taught = recommend(bias, "mine", k=3), recommend(bias, "mine", k=3, context=few)
    whole = UncertainBias().fit(pd.concat([records, few], ignore_index=True))
    assert_array_equal(taught["score"], whole.predict(taught[["model", "dataset"]]))
    assert (taught["score"] < plain["score"] - 0.1).all()
    assert vars(bias).keys() == before.keys()
    assert_array_equal(bias.model_effects_, before["model_effects_"])
    assert_frame_equal(recommend(bias, "mine", k=3), plain)
    assert few.columns.tolist() == ["model", "dataset", "score"]


def test_context_borrows_the_metadata_of_its_dataset(records):
    class Recorder(UncertainBias):
        def partial_fit(self, X, y=None):
            shown.append(X.copy())
            return super().partial_fit(X, y)

    shown = []
    few = pl.DataFrame({"model": ["vgg", "vit"], "dataset": ["mine", "pets"], "score": [0.1, 0.9]})
    recommend(Recorder().fit(records), {"dataset": "mine", "size": 50.0}, k=1, context=few)
    assert_array_equal(shown[0]["dataset__size"], [50.0, np.nan])
    assert "score" not in shown[0]


def test_searches_and_nested_pipelines(records, forest):
    search = GridSearchCV(
        Pipeline([("encode", MetadataEncoder()), ("bias", BiasRegressor())]), {"bias__shrinkage": [0.0]}, cv=2
    )
    search.fit(records, records["score"])
    assert_frame_equal(recommend(search, "pets", k=3), recommend(search.best_estimator_, "pets", k=3))
    nested = Pipeline([("skip", "passthrough"), ("inner", forest)])
    assert_frame_equal(recommend(nested, "cars", k=3), recommend(forest, "cars", k=3))


@settings(max_examples=25, deadline=None)
@given(st.permutations(["vit", "vgg", "resnet"]), st.permutations(["pets", "cars", "new"]), st.integers(1, 3))
def test_order_of_the_call_changes_nothing(bias, models, datasets, k):
    ranking = recommend(bias, datasets, models, k=k)
    assert ranking["dataset"].unique().tolist() == datasets
    canonical = recommend(bias, ["cars", "new", "pets"], k=k)
    columns = ["dataset", "rank"]
    assert_frame_equal(
        ranking.sort_values(columns, ignore_index=True), canonical.sort_values(columns, ignore_index=True)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 4}, "Got k=4, but there are only 3 candidate models; pass a smaller k"),
        ({"k": 2, "models": ["vit"]}, "Got k=2, but there are only 1 candidate models"),
        ({"k": 0}, "Got k=0, but expected an integer of at least 1, or None"),
        ({"k": 1.5}, "Got k=1.5, but expected an integer"),
        ({"k": True}, "Got k=True, but expected an integer"),
        ({"strategy": "best"}, "Got strategy='best', but expected one of ['mean', 'ucb', 'thompson']."),
        ({"exploration": -1}, "Got exploration=-1, but expected a finite number of at least 0."),
        ({"models": []}, "models is empty, but expected at least one model."),
        ({"models": ["vit", "vit"]}, "models names 'vit' more than once"),
        ({"datasets": []}, "datasets is empty, but expected at least one dataset."),
        (
            {"datasets": ["pets", "cars", "pets"]},
            "datasets names 'pets' more than once; every dataset id may occur once.",
        ),
        ({"datasets": ["pets", None]}, "datasets has a missing id at position 1"),
        (
            {"datasets": {"colour": 1}},
            "datasets has the column 'colour', which the recommender did not see in fit; the columns that describe a "
            "dataset are ['dataset__size'].",
        ),
        ({"datasets": {"model__size": 1}}, "datasets has the column 'model__size', which the recommender did not see"),
        (
            {"datasets": {"size": 1, "dataset__size": 1}},
            "has the columns 'size' and 'dataset__size', which mean the same",
        ),
        (
            {"datasets": pd.DataFrame({"size": [1.0, 2.0]})},
            "datasets has no column 'dataset' with the dataset ids; its columns are ['size'].",
        ),
        ({"context": {"model": "vit"}}, "context must be a frame of records, got dict."),
        (
            {"context": pd.DataFrame({"model": ["vit"], "score": [1.0]})},
            "context has no column 'dataset' with the dataset",
        ),
        (
            {"context": pd.DataFrame({"model": ["vit"], "dataset": ["q"]})},
            "context has no column 'score' with the scores",
        ),
        ({"context": pd.DataFrame({"model": [], "dataset": [], "score": []})}, "context is an empty frame"),
        (
            {"context": pd.DataFrame({"model": ["vgg", "vit"], "dataset": "pets", "score": [0.5, np.nan]})},
            "Column 'score' holds 1 value(s) that are not finite numbers, the first is nan for model 'vit' on dataset "
            "'pets'; every score must be a finite number.",
        ),
        (
            {"context": pd.DataFrame({"model": ["vgg", "vit"], "dataset": "pets", "score": ["0.5", "good"]})},
            "the first is 'good' for model 'vit' on dataset 'pets'",
        ),
    ],
)
def test_bad_input(bias, arguments, message):
    arguments = {"datasets": "pets", "k": 1, **arguments}
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        recommend(bias, **arguments)


@pytest.mark.parametrize("strategy", ["ucb", "thompson"])
def test_strategies_that_need_a_std(forest, strategy):
    with pytest.raises(
        ValueError, match=f"strategy='{strategy}' needs .* RandomForestRegressor.predict has no return_std"
    ):
        recommend(forest, "pets", strategy=strategy)


@pytest.fixture(scope="module")
def told_apart():
    """A zoo in which one number of the models and one of the datasets say everything, and a recommender for it."""
    p = np.random.default_rng(0).normal(size=12)
    rows = [(f"m{i}", f"d{j}", 3 * p[i] + 0.5 * j, p[i], 2.0 * j) for i in range(12) for j in range(8) if (i + j) % 3]
    frame = pd.DataFrame(rows, columns=["model", "dataset", "score", "model__p", "dataset__s"])
    gat = TransferabilityGAT(max_iter=30, n_estimators=1, random_state=0)
    return p, make_pipeline(MetadataEncoder(), gat).fit(frame)


@pytest.mark.filterwarnings("error::skgat.exceptions.UnknownEntityWarning")
def test_context_borrows_the_metadata_of_its_models(told_apart):
    """Wherever they are told: with the candidates, in the context, or in some of its rows alone."""
    p, recommender = told_apart
    context = pd.DataFrame({"model": ["new", "m0"], "dataset": "d0", "score": [6.0, 3 * p[0]]})
    told = context.assign(model__p=[2.0, p[0]])
    candidates = pd.DataFrame({"model": ["new", "m0", "m1"], "p": [2.0, p[0], p[1]]})
    expected = recommend(recommender, "d1", candidates, context=told, k=3)
    assert expected["model"][0] == "new"
    for records in (context, context.assign(model__p=[np.nan, p[0]]), told):
        assert_frame_equal(recommend(recommender, "d1", candidates, context=records, k=3), expected)
    assert_frame_equal(recommend(recommender, "d1", ["new", "m0", "m1"], context=told, k=3), expected)


@pytest.mark.filterwarnings("error::skgat.exceptions.UnknownEntityWarning")
def test_what_some_records_of_the_context_say_of_a_dataset_holds_for_all(told_apart):
    _, recommender = told_apart
    some = pd.DataFrame({"model": ["m0", "m1"], "dataset": "new", "score": [1.0, 2.0], "dataset__s": [np.nan, 40.0]})
    none = some.assign(dataset__s=np.nan)
    described = {"dataset": "new", "s": 40.0}
    expected = recommend(recommender, described, context=none.drop(columns="dataset__s"), k=12)
    for dataset, context in (("new", some), ("new", some[::-1]), (described, none), (described, some)):
        assert_frame_equal(recommend(recommender, dataset, context=context, k=12), expected)


def test_a_pipeline_within_a_pipeline_is_looked_into():
    frame = pd.DataFrame(
        {"net": list("abab"), "task": list("xxyy"), "acc": [0.5, 0.7, 0.6, 0.9], "model__p": [1.0, 2, 1, 2]}
    )
    encoder = MetadataEncoder(model="net", dataset="task", target="acc", output="features")
    flat = make_pipeline(encoder, StandardScaler(), Ridge()).fit(frame, frame["acc"])
    nested = make_pipeline(make_pipeline(encoder, "passthrough", StandardScaler()), Ridge()).fit(frame, frame["acc"])
    assert_frame_equal(recommend(nested, "x", k=2), recommend(flat, "x", k=2))


def test_a_tuple_that_is_an_id_is_one_dataset():
    frame = pd.DataFrame(
        {"model": list("abab"), "dataset": [("x", 1)] * 2 + [("y", 1)] * 2, "score": [0.5, 0.7, 0.6, 0.9]}
    )
    fitted = BiasRegressor().fit(frame)
    assert_frame_equal(recommend(fitted, ("x", 1), k=2), recommend(fitted, [("x", 1)], k=2))
    names = BiasRegressor().fit(frame.assign(dataset=list("xxyy")))
    assert recommend(names, ("x", "y"), k=1)["dataset"].tolist() == ["x", "y"]


@pytest.mark.parametrize("ids", [["pets"], ["pets", "new"]], ids=len)
def test_an_index_of_names_holds_the_ids(forest, ids):
    frame = pd.DataFrame({"dataset": ids, "size": np.arange(len(ids)) + 3.0})
    expected = recommend(forest, frame, k=1)
    assert_frame_equal(recommend(forest, frame.set_index("dataset").rename_axis(None), k=1), expected)
    numbered = frame[["size"]].set_axis(range(7, 7 + len(ids)))
    if len(ids) == 1:
        assert recommend(forest, numbered, k=1)["dataset"].tolist() == ["new dataset"]
    else:
        with pytest.raises(ValueError, match="datasets has no column 'dataset' with the dataset ids"):
            recommend(forest, numbered, k=1)


def test_arrays_without_dimensions_are_what_they_hold(forest):
    assert_frame_equal(recommend(forest, np.array("pets"), k=1), recommend(forest, "pets", k=1))
    assert_frame_equal(recommend(forest, "pets", np.array("vit"), k=1), recommend(forest, "pets", ["vit"], k=1))
    given = ({"dataset": "new", "size": wrap(3.0)} for wrap in (float, np.array))
    assert_frame_equal(*(recommend(forest, each, k=1) for each in given))


def test_context_needs_partial_fit(forest, records):
    with pytest.raises(ValueError, match="RandomForestRegressor has no partial_fit; leave context out"):
        recommend(forest, "pets", context=records[:1])


def test_exclude_known_needs_the_pairs(records):
    class Forgetful(BiasRegressor):
        def fit(self, X, y=None, sample_weight=None):
            super().fit(X, y, sample_weight)
            vars(self).pop("pairs_", None)
            return self

    with pytest.raises(ValueError, match=r"remembers the pairs .* which models were tried with dataset 'pets'"):
        recommend(Forgetful().fit(records), ["new", "pets"], k=1, exclude_known=True)


def test_what_is_no_recommender(records):
    with pytest.raises(NotFittedError):
        recommend(BiasRegressor(), "pets")
    with pytest.raises(
        TypeError, match="must be a fitted regressor, a Pipeline or a search over one; got MetadataEncoder"
    ):
        recommend(MetadataEncoder().fit(records), "pets")
    numbers = BiasRegressor().fit(np.array([[0, 0], [1, 0]]), [0.1, 0.2])
    with pytest.raises(ValueError, match="fitted on an array without column names"):
        recommend(numbers, 0, k=1)
    with pytest.raises(
        ValueError, match="datasets has the column 'size', but the recommender was fitted without column"
    ):
        recommend(numbers, {"size": 1.0}, k=1)
    with pytest.raises(ValueError, match="does not tell which models it knows; pass the candidates as models"):
        recommend(RandomForestRegressor(2).fit([[0.0], [1.0]], [0, 1]), "pets")


@pytest.fixture(scope="module")
def history():
    return make_transfer_records(60, 8, fill=0.6, random_state=0).records


@pytest.fixture(scope="module", params=["space", "gat"])
def zoo(request, history):
    tiny = {"max_iter": 5, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2}
    regressors = {"space": TransferSpaceRegressor(n_components=2), "gat": TransferabilityGAT(**tiny)}
    regressor = regressors[request.param].set_params(random_state=0)
    return make_pipeline(MetadataEncoder(), regressor).fit(history)


@pytest.fixture(scope="module")
def asked(history):
    columns = [column for column in history if column.startswith("dataset")]
    rows = history[columns].drop_duplicates("dataset").head(3)
    return pd.concat([rows, rows.tail(1).assign(dataset="unheard of")], ignore_index=True)


class TestManyModels:
    """Where a regressor predicts all models at once, most are not looked at one by one; the ranking stays the same."""

    @pytest.fixture
    def looked_at(self, monkeypatch):
        """How many models were paired with the datasets, call by call."""
        sizes = []

        def counting(datasets, models, knowledge):
            sizes.append(len(models))
            return pair_up(datasets, models, knowledge)

        monkeypatch.setattr(_candidates, "pair_up", counting)
        monkeypatch.setattr(_candidates, "_MANY_MODELS", 10)
        return sizes

    @pytest.mark.parametrize("at_once", [2**22, 1])
    @pytest.mark.parametrize("k", [1, 4])
    def test_the_ranking_is_that_of_all(self, zoo, asked, k, at_once, looked_at, monkeypatch):
        monkeypatch.setattr(_candidates, "_MOST_SCORES", at_once)
        short = recommend(zoo, asked, k=k)
        assert looked_at[0] == 1
        assert k <= looked_at[1] <= 25
        monkeypatch.undo()
        assert_frame_equal(short, recommend(zoo, asked, k=k))

    def test_what_rounding_might_have_put_aside_is_looked_at(self, history, asked, looked_at, monkeypatch):
        """Twins are equal, whatever the last digits of a product say of them."""

        class Rounding(TransferSpaceRegressor):
            def predict_all(self, X):
                noise = np.random.default_rng(0).normal(scale=1e-8, size=len(self.models_))
                return super().predict_all(X) + noise

        twins = pd.concat([history.assign(model=history["model"] + name) for name in "abc"], ignore_index=True)
        zoo = make_pipeline(MetadataEncoder(), Rounding(n_components=2, random_state=0)).fit(twins)
        short = recommend(zoo, asked, k=2)
        assert len(looked_at) == 2
        assert looked_at[1] < 60
        assert set(short["model"].str[-1]) <= set("ab")
        monkeypatch.undo()
        assert_frame_equal(short, recommend(zoo, asked, k=2))

    @pytest.mark.parametrize("tried", [15, 58])
    def test_known_pairs_are_left_out(self, history, asked, tried, looked_at, monkeypatch):
        """The first are among those that are left; where fewer are left than asked for, all are looked at."""
        first = asked.iloc[0]
        of_first = history.drop_duplicates("model").sort_values("score").tail(tried).assign(**first)
        rows = pd.concat([history[history["dataset"] != first["dataset"]], of_first], ignore_index=True)
        zoo = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(n_components=2, random_state=0)).fit(rows)
        short = recommend(zoo, asked, k=4, exclude_known=True)
        assert looked_at[0] == 1
        assert looked_at[1] <= 30 if tried == 15 else looked_at[1] == 60
        monkeypatch.undo()
        assert_frame_equal(short, recommend(zoo, asked, k=4, exclude_known=True))
        pairs = set(zip(rows["model"], rows["dataset"], strict=True))
        assert not pairs & set(zip(short["model"], short["dataset"], strict=True))
        assert (short["dataset"] == first["dataset"]).sum() == min(4, 60 - tried)

    @pytest.mark.parametrize("arguments", [{"k": None}, {"k": 31}])
    def test_otherwise_all_of_them_are(self, zoo, asked, arguments, looked_at):
        recommend(zoo, asked, **arguments)
        assert looked_at == [60]

    def test_named_candidates_are(self, zoo, asked, history, looked_at):
        recommend(zoo, asked, models=history["model"].unique()[:20])
        assert looked_at == [20]

    def test_other_strategies_and_contexts_too(self, history, asked, looked_at):
        gat = TransferabilityGAT(max_iter=2, hidden_dim=4, n_heads=1, n_estimators=1, random_state=0)
        zoo = make_pipeline(MetadataEncoder(), gat).fit(history)
        recommend(zoo, asked, strategy="ucb")
        recommend(zoo, asked.head(1), context=history.head(3))
        assert looked_at == [60, 60]

    def test_a_bare_dataset_is_warned_of_once(self, zoo, looked_at):
        with pytest.warns(UnknownEntityWarning) as caught:
            recommend(zoo, "nowhere", k=1)
        assert len([one for one in caught if "'nowhere'" in str(one.message)]) == 1
        assert len(looked_at) == 2


def test_a_search_that_was_not_refitted_says_so(records):
    search = GridSearchCV(BiasRegressor(), {"shrinkage": [0.5, 1.0]}, cv=2, refit=False).fit(records, records["score"])
    with pytest.raises(ValueError, match="GridSearchCV was fitted with refit=False and holds no fitted recommender"):
        recommend(search, records["dataset"].iloc[0])
