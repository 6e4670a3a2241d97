import datetime as dt
import pickle
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgat.encoder import MetadataEncoder
from skgat.records import make_records

MODELS = pd.DataFrame(
    {
        "model": ["rn18", "rn50", "vgg16", "vit", "eff"],
        "family": ["resnet", "resnet", "vgg", "transformer", None],
        "parameters": [11_700_000, 25_600_000, 138_400_000, 86_600_000, 5_300_000],
        "top1": [69.8, 76.1, 71.6, np.nan, 77.7],
        "released": [dt.date(2015, 1, 1), dt.date(2015, 1, 1), dt.date(2014, 1, 1), dt.date(2020, 6, 1), None],
        "supervised": [True, True, True, False, True],
    }
)
DATASETS = pd.DataFrame(
    {
        "dataset": ["pets", "cars", "draw"],
        "classes": [37, 196, 10],
        "labels": ["cat, dog", "sedan, truck, van", "cat, van"],
        "about": [
            "photos of cats and dogs at home",
            "photos of cars seen from the street",
            "quick line drawings made by players of a game",
        ],
    }
)
SCORES = pd.DataFrame(
    [(m, d, s) for s, (m, d) in enumerate((m, d) for m in MODELS["model"] for d in DATASETS["dataset"])],
    columns=["model", "dataset", "score"],
)
SCORES["lr"] = np.tile([0.1, 0.01, 0.001], 5)
RECORDS = make_records(SCORES, MODELS, DATASETS)


def frame_of(**columns):
    """Ten models on one dataset each, with metadata columns beside."""
    return pd.DataFrame({"model": [f"m{i}" for i in range(10)], "dataset": "x"} | columns)


@pytest.mark.conformance
@parametrize_with_checks([MetadataEncoder(), MetadataEncoder(output="features")])
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


# ---- the form of the output --------------------------------------------------------------------------------------


def test_output_is_ids_then_numbers_then_target():
    encoder = MetadataEncoder()
    encoded = encoder.fit_transform(RECORDS)
    assert list(encoded) == [
        "model", "dataset",
        "model__parameters", "model__top1", "model__released", "model__supervised",
        "model__top1_missing", "model__released_missing",
        "model__family_resnet", "model__family_transformer", "model__family_vgg", "model__family_missing",
        "dataset__classes",
        "dataset__labels_cat", "dataset__labels_dog", "dataset__labels_sedan", "dataset__labels_truck",
        "dataset__labels_van",
        "dataset__about_svd0", "dataset__about_svd1", "dataset__about_svd2",
        "pair__lr",
        "score",
    ]  # fmt: skip
    assert encoder.get_feature_names_out().tolist() == list(encoded)[:-1]
    assert encoded["score"].tolist() == list(range(15))
    assert (encoded.dtypes.iloc[2:-1] == np.float64).all()
    assert np.isfinite(encoded.iloc[:, 2:].to_numpy()).all()
    assert encoder.kinds_ == {
        "model__family": "categorical",
        "model__parameters": "log",
        "model__top1": "numeric",
        "model__released": "numeric",
        "model__supervised": "numeric",
        "dataset__classes": "log",
        "dataset__labels": "multilabel",
        "dataset__about": "text",
        "pair__lr": "log",
    }
    assert encoder.feature_names_in_.tolist() == [c for c in RECORDS if c != "score"]


def test_the_target_is_last_only_where_the_input_has_it():
    encoder = MetadataEncoder().fit(RECORDS)
    assert list(encoder.transform(RECORDS.drop(columns="score"))) == list(encoder.get_feature_names_out())
    front = RECORDS[["score", *RECORDS.columns.drop("score")]]
    pd.testing.assert_frame_equal(encoder.transform(front), encoder.transform(RECORDS))


def test_the_index_is_kept():
    frame = RECORDS.set_axis([5, 5, *range(13)])
    assert MetadataEncoder().fit_transform(frame).index.tolist() == frame.index.tolist()


def test_features_for_another_regressor():
    encoder = MetadataEncoder(output="features").fit(RECORDS)
    values = encoder.transform(RECORDS)
    assert list(values) == encoder.get_feature_names_out().tolist()
    assert not {"model", "dataset", "score"} & set(values)
    whole = MetadataEncoder().fit_transform(RECORDS)
    pd.testing.assert_frame_equal(values, whole[values.columns])
    pipe = make_pipeline(MetadataEncoder(output="features"), Ridge()).fit(RECORDS, RECORDS["score"])
    assert pipe.score(RECORDS, RECORDS["score"]) > 0.5


def test_ids_alone_are_enough():
    frame = RECORDS[["model", "dataset", "score"]]
    pd.testing.assert_frame_equal(MetadataEncoder().fit_transform(frame), frame, check_dtype=False)
    assert MetadataEncoder(output="features").fit_transform(frame).shape == (15, 0)


@pytest.mark.parametrize("wrap", [np.asarray, pd.DataFrame, lambda X: pd.DataFrame(X, columns=list("uvwx"))])
def test_nameless_numbers(wrap):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(3, size=20), rng.integers(4, size=20), rng.normal(size=(20, 2))])
    encoder = MetadataEncoder(model="net")
    encoded = encoder.fit_transform(wrap(X))
    assert isinstance(encoded, np.ndarray)
    np.testing.assert_array_equal(encoded[:, :2], X[:, :2])
    np.testing.assert_allclose(encoded[:, 2:], (X[:, 2:] - X[:, 2:].mean(0)) / X[:, 2:].std(0))
    assert encoder.get_feature_names_out().tolist() == ["net", "dataset", "pair__x2", "pair__x3"]
    frame = encoder.set_output(transform="pandas").transform(wrap(X))
    np.testing.assert_array_equal(frame.to_numpy(), encoded)
    again = MetadataEncoder(model="net").fit_transform(frame)
    assert list(again) == ["net", "dataset", "pair__x2", "pair__x3"]


# ---- libraries and set_output ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [pl.DataFrame, pa.table, lambda d: pa.table(d).to_pandas(types_mapper=pd.ArrowDtype), pd.DataFrame],
    ids=["polars", "pyarrow", "pandas-arrow", "pandas-objects"],
)
def test_every_library_gives_identical_numbers(make):
    columns = {c: [None if pd.isna(v) else v for v in RECORDS[c].tolist()] for c in RECORDS}
    frame = make(columns)
    expected, encoder = MetadataEncoder().fit(RECORDS), MetadataEncoder().fit(frame)
    assert encoder.kinds_ == expected.kinds_
    assert encoder.roles_ == expected.roles_
    for encoded in (encoder.transform(frame), expected.transform(frame)):
        pd.testing.assert_frame_equal(encoded, expected.transform(RECORDS), check_exact=True, check_dtype=False)


def test_nullable_and_categorical_columns_give_identical_numbers():
    frame = RECORDS.convert_dtypes().astype({"model": "category", "model__family": "category"})
    pd.testing.assert_frame_equal(
        MetadataEncoder().fit_transform(frame),
        MetadataEncoder().fit_transform(RECORDS),
        check_exact=True,
        check_dtype=False,
    )


def test_lists_sets_arrays_and_strings_of_labels_are_one():
    rows = [["cat", "dog"], ["sedan", "truck", "van", None], ["cat", "van"]] * 5
    expected = MetadataEncoder().fit_transform(RECORDS)
    for kind in (list, tuple, set, lambda labels: np.array(labels, dtype=object)):
        frame = RECORDS.assign(dataset__labels=pd.Series([kind(labels) for labels in rows], dtype=object))
        encoder = MetadataEncoder().fit(frame)
        assert encoder.kinds_["dataset__labels"] == "multilabel"
        pd.testing.assert_frame_equal(encoder.transform(frame), expected)
        pd.testing.assert_frame_equal(encoder.transform(RECORDS), expected)


@pytest.mark.parametrize("X", [RECORDS, pl.from_pandas(RECORDS.drop(columns="model__released"))])
def test_set_output(X):
    encoder = MetadataEncoder().fit(X)
    expected = encoder.transform(X)
    assert isinstance(expected, pd.DataFrame)
    polars = encoder.set_output(transform="polars").transform(X)
    assert isinstance(polars, pl.DataFrame)
    assert polars.columns == list(expected)
    assert polars["model"].to_list() == expected["model"].tolist()
    np.testing.assert_array_equal(polars[:, 2:].to_numpy(), expected.iloc[:, 2:].to_numpy(dtype=float))
    assert isinstance(clone(encoder).fit_transform(X), pl.DataFrame)
    assert encoder.set_output(transform=None) is encoder
    assert isinstance(encoder.transform(X), pl.DataFrame)
    pd.testing.assert_frame_equal(encoder.set_output(transform="default").transform(X), expected)
    with pytest.raises(ValueError, match="Got transform='arrow', but expected 'default', 'pandas' or 'polars'"):
        encoder.set_output(transform="arrow")


def test_set_output_reaches_through_a_pipeline():
    pipe = make_pipeline(MetadataEncoder()).set_output(transform="polars")
    assert isinstance(pipe.fit_transform(RECORDS), pl.DataFrame)


# ---- statistics --------------------------------------------------------------------------------------------------


def test_numbers_have_unit_scale_over_distinct_ids():
    encoded = MetadataEncoder().fit_transform(RECORDS)
    sizes = np.log(MODELS["parameters"].to_numpy(float))
    expected = pd.Series((sizes - sizes.mean()) / sizes.std(), index=MODELS["model"])
    np.testing.assert_allclose(encoded["model__parameters"], expected[encoded["model"]])
    top1 = MODELS["top1"].fillna(MODELS["top1"].median()).to_numpy()
    expected = pd.Series((top1 - top1.mean()) / top1.std(), index=MODELS["model"])
    np.testing.assert_allclose(encoded["model__top1"], expected[encoded["model"]])
    rate = np.log(RECORDS["pair__lr"])
    np.testing.assert_allclose(encoded["pair__lr"], (rate - rate.mean()) / rate.std(ddof=0))


@pytest.mark.parametrize("copies", [2, 100])
def test_many_rows_of_one_model_change_nothing(copies):
    frame = RECORDS.drop(columns="pair__lr")
    more = pd.concat([frame, *[frame[frame["model"] == "vgg16"]] * copies], ignore_index=True)
    pd.testing.assert_frame_equal(
        MetadataEncoder(min_frequency=2).fit(more).transform(frame),
        MetadataEncoder(min_frequency=2).fit_transform(frame),
        check_exact=True,
    )


def test_the_order_of_rows_and_the_scores_change_nothing():
    encoder = MetadataEncoder().fit(RECORDS)
    shuffled = RECORDS.sample(frac=1, random_state=0).assign(score=np.nan)
    other = MetadataEncoder().fit(shuffled, np.arange(15.0))
    pd.testing.assert_frame_equal(other.transform(RECORDS), encoder.transform(RECORDS))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 14), min_size=1, max_size=20))
def test_a_row_is_encoded_by_itself(rows):
    holed = RECORDS.drop(columns="score").assign(model__parameters=[np.nan, *RECORDS["model__parameters"][1:]])
    holed.loc[[3, 7], "dataset__labels"] = [None, "cat, unheard-of"]
    encoder = MetadataEncoder().fit(RECORDS)
    whole = encoder.transform(holed)
    part = encoder.transform(holed.iloc[rows])
    pd.testing.assert_frame_equal(part, whole.iloc[rows], rtol=0, atol=1e-12)


def test_fitting_is_repeatable_and_the_state_small():
    first, second = (pickle.dumps(MetadataEncoder().fit(RECORDS)) for _ in range(2))
    assert len(first) < 30_000
    pd.testing.assert_frame_equal(
        pickle.loads(first).transform(RECORDS), pickle.loads(second).transform(RECORDS), check_exact=True
    )


def test_inputs_are_left_alone_and_may_be_read_only():
    frame = RECORDS.copy(deep=True)
    MetadataEncoder().fit(frame).transform(frame)
    pd.testing.assert_frame_equal(frame, RECORDS)
    values = np.array([[0, 0, 1.0], [1, 0, 2.0], [2, 1, 5.0]])
    values.flags.writeable = False
    frozen = pd.DataFrame(values, columns=["model", "dataset", "x"], copy=False)
    assert np.isfinite(MetadataEncoder().fit_transform(frozen).to_numpy()).all()


# ---- kinds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.linspace(70, 80, 10), "numeric"),
        (np.arange(1, 11), "numeric"),
        (np.geomspace(1, 1000, 10), "log"),
        (np.geomspace(1e-5, 0.1, 10), "log"),
        ([0, 0, 1, 2, 3, 5, 8, 20, 100, 400], "log"),
        (-np.geomspace(1, 1000, 10), "numeric"),
        ([0, 1] * 5, "numeric"),
        ([0] * 9 + [1], "numeric"),
        ([True, False] * 5, "numeric"),
        ([True, None] * 5, "numeric"),
        ([Decimal("0.1"), Decimal("0.2")] * 5, "numeric"),
        ([Decimal(10) ** i for i in range(10)], "log"),
        (pd.date_range("2020-01-01", periods=10), "numeric"),
        (pd.date_range("2020-01-01", periods=10, tz="Asia/Tokyo"), "numeric"),
        ([dt.date(2020, 1, 1), None] * 5, "numeric"),
        (pd.to_timedelta(range(10), unit="h"), "numeric"),
        (["resnet", "vgg"] * 5, "categorical"),
        ([f"name{i}" for i in range(10)], "categorical"),
        (["a", 1] * 5, "categorical"),
        ([["a"], ["a", "b"]] * 5, "multilabel"),
        (["a;b", "b;c"] * 5, "multilabel"),
        (["a|b", "b"] * 5, "categorical"),
        (["hot dog, ice cream", "ice cream, pizza"] * 5, "multilabel"),
        (["['cat', 'dog']", "['dog', 'cow']"] * 5, "multilabel"),
        (["saxophone, flying_saucer", "leaf, jail"] * 5, "multilabel"),
        ([f"the {i}th of many photos, taken with a phone, or so we think" for i in range(10)], "text"),
        (["a long sentence that is the same for half", "and another one for the others"] * 5, "categorical"),
    ],
)
def test_kinds_are_inferred(values, kind):
    frame = frame_of(model__x=values)
    encoder = MetadataEncoder().fit(frame)
    assert encoder.kinds_ == {"model__x": kind}
    encoded = encoder.transform(frame).iloc[:, 2:].to_numpy()
    assert np.isfinite(encoded).all()
    assert np.ptp(encoded, axis=0).max() > 0


def test_many_distinct_names_do_not_explode():
    names = [f"google/vit-{i:04}" for i in range(200)]
    frame = pd.DataFrame({"model": names, "dataset": "x", "hub": names, "family": [n[-1] for n in names]})
    encoder = MetadataEncoder(max_components=4).fit(frame)
    assert encoder.kinds_ == {"hub": "text", "family": "categorical"}
    assert len(encoder.get_feature_names_out()) == 2 + 4 + 10


def test_log_of_a_column_with_zeros_is_shifted_and_stays_in_range():
    values = np.array([0, 0, 1, 2, 3, 5, 8, 20, 100, 400.0])
    frame = frame_of(model__x=values)
    encoder = MetadataEncoder().fit(frame)
    logs = np.log(values + 1)
    encoded = encoder.transform(frame)["model__x"]
    np.testing.assert_allclose(encoded, (logs - logs.mean()) / logs.std())
    below = encoder.transform(frame.assign(model__x=-5.0))["model__x"]
    np.testing.assert_array_equal(below, encoded[0])


def test_dates_are_days():
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-05", None] + ["2020-01-01"] * 6)
    encoder = MetadataEncoder().fit(frame_of(model__x=days))
    encoded = encoder.transform(frame_of(model__x=days))["model__x"]
    np.testing.assert_allclose((encoded[2] - encoded[0]) / (encoded[1] - encoded[0]), 4)
    for same in (days.tz_localize("UTC"), days.strftime("%Y-%m-%d"), days.to_pydatetime(), days.date):
        again = encoder.transform(frame_of(model__x=pd.Series(same, dtype=object)))["model__x"]
        pd.testing.assert_series_equal(again, encoded)


def test_projection_keeps_what_is_alike_alike():
    rng = np.random.default_rng(0)
    themes = [[f"{theme}{i}" for i in range(30)] for theme in "ab"]
    labels = [list(rng.choice(themes[i % 2], 12, replace=False)) for i in range(40)]
    frame = pd.DataFrame({"model": "m", "dataset": range(40), "dataset__labels": labels})
    encoder = MetadataEncoder(max_components=3, roles={"dataset__labels": "dataset"}).fit(frame)
    encoded = encoder.transform(frame)
    assert list(encoded) == ["model", "dataset"] + [f"dataset__labels_svd{i}" for i in range(3)]
    values = encoded.iloc[:, 2:].to_numpy()
    cosines = values @ values.T / np.outer(*[np.linalg.norm(values, axis=1)] * 2)
    same = np.equal.outer(np.arange(40) % 2, np.arange(40) % 2)
    assert cosines[same].min() > cosines[~same].max()


def test_no_more_directions_than_there_is_to_tell_apart():
    words = [f"word{i}" for i in range(40)]
    texts = [" ".join(words[:20]), " ".join(words[20:])] * 5
    encoder = MetadataEncoder(kinds={"model__x": "text"}).fit(frame_of(model__x=texts))
    assert encoder.get_feature_names_out().tolist()[2:] == ["model__x_svd0", "model__x_svd1"]
    alone = MetadataEncoder(kinds={"model__x": "text"}).fit(frame_of(model__x=texts[0]))
    assert alone.get_feature_names_out().tolist()[2:] == ["model__x_svd0"]


def test_rare_categories_are_put_together():
    frame = frame_of(model__f=["a"] * 5 + ["b"] * 3 + ["c", "d"])
    encoder = MetadataEncoder(min_frequency=0.2).fit(frame)
    assert encoder.get_feature_names_out().tolist()[2:] == [
        "model__f_a", "model__f_b", "model__f_infrequent_sklearn"
    ]  # fmt: skip
    assert encoder.transform(frame_of(model__f="unheard-of")).iloc[0, 2:].tolist() == [0, 0, 1]


def test_numbers_as_categories_do_not_hang_on_their_type():
    encoder = MetadataEncoder(kinds={"model__x": "categorical"}).fit(frame_of(model__x=[224, 299] * 5))
    assert encoder.get_feature_names_out().tolist()[2:] == ["model__x_224", "model__x_299"]
    for values in ([224.0, 299.0] * 5, ["224", "299"] * 5, [224, None] * 5):
        assert encoder.transform(frame_of(model__x=values)).iloc[0, 2:].tolist() == [1, 0]


def test_names_never_meet():
    frame = frame_of(
        model__a=["b_c", "missing", None, "d", "d"] * 2,
        model__a_b=["c", "d"] * 5,
        a=np.arange(10),
        dataset__x=1,
    ).assign(model__model=np.arange(10))
    encoder = MetadataEncoder(model="model").fit(frame)
    names = encoder.get_feature_names_out().tolist()
    assert len(set(names)) == len(names)
    assert {"model__a_missing", "model__a_missing_2", "model__a_b_c", "model__a_b_c_2"} <= set(names)


# ---- roles -------------------------------------------------------------------------------------------------------


def test_roles_are_inferred_and_overridable():
    frame = RECORDS.rename(columns=lambda name: name.partition("__")[2] or name)
    encoder = MetadataEncoder().fit(frame)
    assert encoder.roles_ == {
        "family": "model", "parameters": "model", "top1": "model", "released": "model", "supervised": "model",
        "classes": "dataset", "labels": "dataset", "about": "dataset", "lr": "dataset",
    }  # fmt: skip
    encoder = MetadataEncoder(roles={"lr": "pair", "about": "drop"}).fit(frame)
    assert encoder.roles_["lr"] == "pair"
    assert encoder.roles_["about"] == "drop"
    assert "about" not in encoder.kinds_
    prefixed = MetadataEncoder(roles={"dataset__about": "drop"}).fit_transform(RECORDS)
    pd.testing.assert_frame_equal(encoder.transform(frame), prefixed)


def test_a_prefix_gives_way_to_a_role():
    encoder = MetadataEncoder(roles={"pair__lr": "dataset"}).fit(RECORDS)
    assert "dataset__lr" in encoder.get_feature_names_out()
    assert "pair__lr" in encoder.datasets_


@pytest.mark.parametrize("argument", ["roles", "kinds"])
def test_overrides_are_checked(argument):
    valid = {"roles": "model", "kinds": "log"}[argument]
    with pytest.raises(ValueError, match=rf"Got {argument}=.*'size'.*no metadata column 'size'.*\['model__family'"):
        MetadataEncoder(**{argument: {"size": valid}}).fit(RECORDS)
    with pytest.raises(ValueError, match=f"no metadata column '{'score'}'"):
        MetadataEncoder(**{argument: {"score": valid}}).fit(RECORDS)
    with pytest.raises(ValueError, match=rf"Got {argument}={{'pair__lr': 'size'}}, but expected one of '"):
        MetadataEncoder(**{argument: {"pair__lr": "size"}}).fit(RECORDS)
    with pytest.raises(ValueError, match=f"The '{argument}' parameter of MetadataEncoder must be"):
        MetadataEncoder(**{argument: "automatic"}).fit(RECORDS)


def test_numbers_of_rows_among_the_metadata_warn():
    records = RECORDS.assign(**{"Unnamed: 0": np.arange(len(RECORDS))})
    with pytest.warns(UserWarning, match=r"'Unnamed: 0' seems to hold the numbers of the rows.*index_col=0"):
        assert MetadataEncoder().fit(records).roles_["Unnamed: 0"] == "pair"
    scores = SCORES.reset_index(names="Unnamed: 0")
    with pytest.warns(UserWarning, match="'pair__Unnamed: 0' seems to hold the numbers of the rows"):
        MetadataEncoder().fit(make_records(scores))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for role in ("pair", "drop"):
            MetadataEncoder(roles={"Unnamed: 0": role}).fit(records)
        MetadataEncoder().fit(records.rename(columns={"Unnamed: 0": "runs"}))
        MetadataEncoder().fit(records.assign(**{"Unnamed: 0": np.arange(len(RECORDS)) // 2}))


def test_a_column_that_differs_within_a_model_warns():
    frame = RECORDS.assign(model__top1=np.arange(15.0))
    with pytest.warns(UserWarning, match="Column 'model__top1' describes the model but differs between the records"):
        encoder = MetadataEncoder().fit(frame)
    first = frame.groupby("model")["model__top1"].first()
    pd.testing.assert_series_equal(encoder.models_["model__top1"], first, check_index_type=False)


# ---- what is missing or unknown ----------------------------------------------------------------------------------


def test_tables_of_what_was_seen():
    encoder = MetadataEncoder().fit(RECORDS.sample(frac=1, random_state=1))
    assert encoder.models_.index.name == "model"
    assert encoder.models_.index.tolist() == sorted(MODELS["model"])
    seen = encoder.models_.loc[MODELS["model"]]
    assert seen["model__parameters"].tolist() == MODELS["parameters"].tolist()
    assert seen["model__family"].tolist()[:4] == MODELS["family"].tolist()[:4]
    assert encoder.datasets_.loc["cars", "dataset__labels"] == "sedan, truck, van"


def test_missing_values_are_imputed_and_flagged_where_fit_saw_them():
    encoder = MetadataEncoder().fit(RECORDS)
    encoded = encoder.transform(RECORDS)
    assert encoded["model__top1_missing"].tolist() == (encoded["model"] == "vit").astype(float).tolist()
    eff = encoded[encoded["model"] == "eff"]
    assert eff["model__family_missing"].eq(1).all()
    assert eff[["model__family_resnet", "model__family_vgg", "model__family_transformer"]].eq(0).all(axis=None)
    new = RECORDS[:1].assign(model="new", model__parameters=np.nan, model__top1=np.nan, pair__lr=np.nan)
    row = encoder.transform(new).iloc[0]
    middle = encoded.loc[encoded["model"] == "rn50", "model__parameters"].iloc[0]
    assert row["model__parameters"] == middle  # the median
    assert row["model__top1_missing"] == 1
    assert np.isfinite(row["pair__lr"])


def test_known_ids_are_filled_from_fit():
    encoder = MetadataEncoder().fit(RECORDS)
    expected = encoder.transform(RECORDS)
    ids = RECORDS[["model", "dataset", "pair__lr", "score"]]
    pd.testing.assert_frame_equal(encoder.transform(ids), expected)
    pd.testing.assert_frame_equal(encoder.transform(pl.from_pandas(ids)), expected)
    holed = RECORDS.mask(np.random.default_rng(0).random(RECORDS.shape) < 0.5).assign(**ids)
    pd.testing.assert_frame_equal(encoder.transform(holed), expected)


def test_the_unknown_is_encoded_from_its_own_metadata():
    encoder = MetadataEncoder().fit(RECORDS)
    twin = RECORDS[RECORDS["model"] == "rn50"].assign(model="new", dataset="other")
    expected = encoder.transform(RECORDS[RECORDS["model"] == "rn50"])
    pd.testing.assert_frame_equal(encoder.transform(twin).iloc[:, 2:], expected.iloc[:, 2:])
    alien = twin.assign(model__family="mamba", dataset__labels="axolotl", dataset__about="zzz")
    row = encoder.transform(alien).filter(regex="family|labels|about")
    assert row.eq(0).all(axis=None)


def test_columns_with_nothing_in_them_are_told_and_left_out():
    frame = RECORDS.assign(model__void=np.nan, dataset__void=None)
    encoder = MetadataEncoder().fit(frame)
    assert encoder.kinds_["model__void"] == encoder.kinds_["dataset__void"] == "drop"
    pd.testing.assert_frame_equal(encoder.transform(frame), MetadataEncoder().fit_transform(RECORDS))
    pd.testing.assert_frame_equal(encoder.transform(frame.assign(model__void=3.0)), encoder.transform(frame))


@pytest.mark.parametrize("kind", ["categorical", "multilabel", "text"])
@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_strings_count_as_missing(kind, blank):
    frame = frame_of(model__x=["a b", blank] * 5)
    encoded = MetadataEncoder(kinds={"model__x": kind}).fit_transform(frame)
    assert encoded["model__x_missing"].tolist() == [0, 1] * 5
    nothing = MetadataEncoder(kinds={"model__x": kind}).fit_transform(frame_of(model__x=[" ", None] * 5))
    assert np.isfinite(nothing.iloc[:, 2:].to_numpy(dtype=float)).all()


def test_columns_fit_did_not_see_are_refused():
    encoder = MetadataEncoder().fit(RECORDS)
    with pytest.raises(ValueError, match=r"(?s)unseen at fit time.*extra"):
        encoder.transform(RECORDS.assign(extra=1))


@pytest.mark.parametrize(
    ("kinds", "values", "match"),
    [
        ("auto", [1.0, np.inf] * 5, "Column 'model__x' holds infinite values"),
        ("auto", pd.Series([1, float("inf")] * 5, dtype=object), "Column 'model__x' holds infinite values"),
        ({"model__x": "log"}, [-1.0, 2.0] * 5, "Column 'model__x' is of kind 'log' but holds -1; expected no negative"),
        ({"model__x": "numeric"}, ["1", "two"] * 5, "Column 'model__x' holds 'two', but expected numbers"),
    ],
)
def test_values_that_do_not_fit_their_kind(kinds, values, match):
    frame = frame_of(model__x=values)
    with pytest.raises(ValueError, match=match):
        MetadataEncoder(kinds=kinds).fit(frame)


def test_words_where_fit_saw_numbers():
    encoder = MetadataEncoder().fit(RECORDS)
    with pytest.raises(ValueError, match="Column 'model__top1' holds 'high', but expected numbers"):
        encoder.transform(RECORDS.assign(model__top1="high"))
    with pytest.raises(ValueError, match=r"Column 'model__released' holds 'soon', but expected .*dates"):
        encoder.transform(RECORDS.assign(model__released=["soon", "later", "2020-01-01"] * 5))


def test_numbers_written_as_text_may_be_called_numeric():
    encoder = MetadataEncoder(kinds={"model__x": "numeric"})
    values = np.arange(10)
    pd.testing.assert_frame_equal(
        encoder.fit_transform(frame_of(model__x=values.astype(str))), encoder.fit_transform(frame_of(model__x=values))
    )


# ---- scikit-learn's rules ----------------------------------------------------------------------------------------


def test_before_fit():
    for call in (MetadataEncoder().transform, MetadataEncoder().get_feature_names_out):
        with pytest.raises(NotFittedError):
            call(RECORDS)


def test_input_features_are_compared():
    encoder = MetadataEncoder().fit(RECORDS)
    names = encoder.get_feature_names_out(encoder.feature_names_in_)
    assert names.tolist() == encoder.get_feature_names_out().tolist()
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        encoder.get_feature_names_out(["a"])
    nameless = MetadataEncoder().fit(np.eye(3))
    with pytest.raises(ValueError, match="should have length equal to number of features"):
        nameless.get_feature_names_out(["a"])


@pytest.mark.parametrize(
    ("argument", "value"),
    [("model", 1), ("max_components", 0), ("max_components", 2.5), ("min_frequency", 1.0), ("output", "frame")],
)
def test_arguments_are_checked(argument, value):
    with pytest.raises(ValueError, match=f"The '{argument}' parameter of MetadataEncoder must be"):
        MetadataEncoder(**{argument: value}).fit(RECORDS)


def test_remembers_which_models_were_seen_with_which_datasets():
    """Exactly: recommenders are asked to leave these out."""
    seen = [("vit", "pets"), ("rn18", "draw"), ("eff", "cars"), ("vit", "cars"), ("rn18", "pets"), ("vit", "pets")]
    frame = pd.DataFrame(seen, columns=["model", "dataset"]).assign(model__size=1.0, dataset__size=2.0)
    encoder = MetadataEncoder().fit(frame)
    models, datasets = (table.index.to_numpy()[places] for table, places in
                        zip((encoder.models_, encoder.datasets_), encoder.pairs_.T, strict=True))  # fmt: skip
    assert sorted(zip(models, datasets, strict=True)) == sorted(set(seen))
    assert encoder.pairs_.dtype.kind == "i"


class Listener:
    """A callback that writes down which tasks a fit tells of, and how many steps each says that it has."""

    def __init__(self):
        self.heard = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **_):
        self.heard.append(("begins", context.task_name, context.max_subtasks))

    def on_fit_task_end(self, estimator, context, **_):
        self.heard.append(("ends", context.task_name, context.max_subtasks))


def test_a_fit_is_one_task_without_steps():
    pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")
    listener = Listener()
    frame = pd.DataFrame({"model": ["vit", "rn18"], "dataset": ["pets", "pets"], "model__size": [1.0, 2.0]})
    MetadataEncoder().set_callbacks(listener).fit(frame)
    assert listener.heard == [("begins", "fit", 0), ("ends", "fit", 0)]


def test_missing_values_in_arrays_are_imputed_as_in_frames():
    X = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, np.nan], [0.0, 1.0, 3.0]])
    frame = pd.DataFrame({"model": X[:, 0], "dataset": X[:, 1], "pair__x2": X[:, 2]})
    expected = MetadataEncoder().fit_transform(frame)
    np.testing.assert_array_equal(MetadataEncoder().fit_transform(X), expected.to_numpy(dtype=np.float64))


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA, pd.NaT])
def test_what_is_missing_in_a_list_is_no_label(missing):
    frame = pd.DataFrame({"model": ["a", "b"], "dataset": "x", "model__t": [["u", missing], ["v", "u"]]})
    assert list(MetadataEncoder().fit(frame).get_feature_names_out()[2:]) == ["model__t_u", "model__t_v"]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_numbers_that_are_categories_are_the_same_in_any_precision(dtype):
    frame = pd.DataFrame({"model": list("abc"), "dataset": "x", "model__d": np.array([0.1, 0.2, 0.2])})
    encoder = MetadataEncoder(kinds={"model__d": "categorical"}).fit(frame.astype({"model__d": dtype}))
    assert list(encoder.get_feature_names_out()[2:]) == ["model__d_0.1", "model__d_0.2"]
    found = encoder.transform(frame.assign(model=["p", "q", "r"]))
    np.testing.assert_array_equal(found["model__d_0.1"], [1.0, 0.0, 0.0])
