import datetime as dt
import io
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from skgat import MetadataEncoder
from skgat.baselines import BiasRegressor
from skgat.metrics import kendall
from skgat.model_selection import LeaveModelsOut
from skgat.recommend import recommend
from skgat.records import constant_within, id_codes, infer_roles, lookup_ids, make_records, read_pairs, value_codes


class Reader(RegressorMixin, BaseEstimator):
    """Reads pairs, and does no more."""

    def __init__(self, model="model", dataset="dataset", target="score"):
        self.model = model
        self.dataset = dataset
        self.target = target

    def fit(self, X, y=None):
        read_pairs(self, X, y, reset=True, scores=True)
        return self


def records(**columns):
    return pd.DataFrame({"model": ["a", "a", "b"], "dataset": ["x", "y", "x"], "score": [0.1, 0.2, 0.3]} | columns)


def read(X, y=None, weight=None, **options):
    return read_pairs(Reader(), X, y, weight, **{"reset": True, "scores": True} | options)


# ---- reading -----------------------------------------------------------------------------------------------------


def test_a_record_frame_is_read():
    reader = Reader()
    frame = records(pair__lr=[1, 2, 3])
    pairs = read_pairs(reader, frame, reset=True, scores=True)
    assert pairs.named
    assert len(pairs) == 3
    assert pairs.models.tolist() == ["a", "a", "b"]
    assert pairs.datasets.tolist() == ["x", "y", "x"]
    assert pairs.scores.tolist() == [0.1, 0.2, 0.3]
    assert list(pairs.features) == ["pair__lr"]
    assert reader.feature_names_in_.tolist() == ["model", "dataset", "pair__lr"]
    assert reader.n_features_in_ == 3


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table], ids=["polars", "pyarrow"])
def test_other_libraries_are_read_alike(make):
    frame = records(pair__lr=[1.0, 2.0, 3.0])
    expected, pairs = read(frame), read(make(frame.to_dict("list")))
    assert pairs.models.tolist() == expected.models.tolist()
    assert pairs.scores.tolist() == expected.scores.tolist()
    np.testing.assert_array_equal(pairs.features, expected.features)


def test_y_wins_over_the_target_column_and_may_replace_it():
    assert read(records(score=["?", None, "?"]), [1, 2, 3]).scores.tolist() == [1, 2, 3]
    assert read(records().drop(columns="score"), [1, 2, 3]).scores.tolist() == [1, 2, 3]


def test_scores_as_text_are_read_as_numbers():
    assert read(records(score=["0.5", 1, "1e-1"])).scores.tolist() == [0.5, 1.0, 0.1]


@pytest.mark.parametrize("lost", ["model", "dataset"])
def test_a_missing_id_column_is_named(lost):
    with pytest.raises(ValueError, match=f"X has no column '{lost}' with the {lost} ids; its columns are .*'score'"):
        read(records().drop(columns=lost))


def test_a_frame_of_words_without_ids_is_no_array():
    with pytest.raises(ValueError, match=r"X has no column 'model'.*set model= to its name"):
        read(pd.DataFrame({"net": ["a"], "data": ["b"]}), [1])


def test_a_target_that_is_nowhere_is_named():
    with pytest.raises(ValueError, match="X has no target column 'score' and y is None"):
        read(records().drop(columns="score"))
    with pytest.raises(ValueError, match="Reader requires y to be passed, but the target y is None"):
        read(np.zeros((3, 2)))


@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "None"), (np.inf, "inf"), ("high", "'high'"), ([1], r"\[1\]")])
def test_a_score_that_is_no_finite_number_is_named(bad, shown):
    frame = records(score=pd.Series([0.1, bad, 0.2], dtype=object))
    with pytest.raises(ValueError, match=f"holds 1 value.* the first is {shown} for model 'a' on dataset 'y'"):
        read(frame)


def test_an_empty_frame():
    with pytest.raises(ValueError, match="X is an empty frame, at least 1 record is required"):
        read(records().iloc[:0])


def test_raw_strings_ask_for_an_encoder():
    with pytest.raises(
        ValueError,
        match=r"Column 'family' does not hold numbers \(its first value is 'vgg'\), but Reader takes numbers only. "
        r"Put a MetadataEncoder before it: make_pipeline\(MetadataEncoder\(\), Reader\(\)\)",
    ):
        read(records(family="vgg"))
    assert read(records(family="vgg"), numeric=False).features["family"].tolist() == ["vgg"] * 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_ask_for_an_encoder(bad):
    with pytest.raises(ValueError, match=r"Column 'size' holds NaN or infinite values.*MetadataEncoder before it"):
        read(records(size=[1.0, bad, 2.0]))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("column", ["model", "dataset"])
def test_missing_ids_are_told(column, missing):
    frame = records(**{column: pd.Series(["a", missing, missing], dtype=object)})
    with pytest.raises(ValueError, match=f"Column '{column}' has 2 missing {column} id.* the first in row 1"):
        read(frame)


@pytest.mark.parametrize(
    "ids",
    [[1, 2, 3], [1.5, 2.5, 1.5], ["ä", "模型", "🤖"], [1, "1", 2.5], [True, False, True], [("a", 1), ("a", 2), "b"]],
)
def test_ids_of_any_type(ids):
    frame = pd.DataFrame({"model": pd.Series(ids, dtype=object if len({*map(type, ids)}) > 1 else None)})
    assert read(frame.assign(dataset="x", score=1.0)).models.tolist() == ids


@pytest.mark.parametrize("names", [("id", "id", "score"), ("id", "other", "id")])
def test_one_column_cannot_be_two_things(names):
    with pytest.raises(ValueError, match="expected three different columns"):
        read_pairs(Reader(*names), records(), reset=True)


def test_columns_after_fit():
    reader = Reader()
    frame = records(a__x=[1, 2, 3], b__x=[4, 5, 6])
    read_pairs(reader, frame, reset=True, scores=True)
    again = read_pairs(reader, frame[["score", "b__x", "dataset", "a__x", "model"]], reset=False)
    assert again.features["b__x"].tolist() == [4, 5, 6]
    with pytest.raises(ValueError, match="Feature names seen at fit time, yet now missing"):
        read_pairs(reader, frame.drop(columns="a__x"), reset=False)
    assert list(read_pairs(reader, frame.drop(columns="a__x"), reset=False, missing=True).features) == ["b__x"]
    with pytest.raises(ValueError, match=r"(?s)Feature names unseen at fit time.*new"):
        read_pairs(reader, frame.assign(new=1), reset=False, missing=True)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        by_place = read_pairs(reader, frame.drop(columns="score").to_numpy(), reset=False)
    assert by_place.models.tolist() == ["a", "a", "b"]
    assert by_place.features["b__x"].tolist() == [4, 5, 6]


def test_holes_in_an_array_of_records_pass_where_they_may():
    reader = Reader()
    frame = records(model__x=[1.0, 2.0, 3.0]).drop(columns="score")
    read_pairs(reader, frame, reset=True)
    holed = frame.assign(model__x=[1.0, np.nan, 3.0]).to_numpy()
    with pytest.warns(UserWarning, match="valid feature names"):
        pairs = read_pairs(reader, holed, reset=False, numeric=False, missing=True)
    np.testing.assert_array_equal(pairs.features["model__x"], [1.0, np.nan, 3.0])


def test_holes_in_a_nameless_array_pass_where_features_need_not_be_numbers():
    reader, X = Reader(), np.array([[0.0, 0.0, 0.5], [1.0, 0.0, 0.25]])
    read_pairs(reader, X, [1, 2], reset=True, scores=True)
    X[1, 2] = np.nan
    pairs = read_pairs(reader, X, reset=False, numeric=False, missing=True)
    np.testing.assert_array_equal(pairs.features["pair__x2"], [0.5, np.nan])
    for flags in ({}, {"missing": True}, {"numeric": False}):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            read_pairs(reader, X, reset=False, **flags)


def test_records_need_a_fit_on_records():
    with pytest.raises(NotFittedError):
        read_pairs(Reader(), records(), reset=False)
    reader = Reader()
    read_pairs(reader, np.zeros((2, 2)), [1, 2], reset=True, scores=True)
    with pytest.raises(ValueError, match="fitted on an array without column names"):
        read_pairs(reader, records(), reset=False)


@pytest.mark.parametrize("wrap", [np.asarray, pd.DataFrame, lambda X: pd.DataFrame(X, columns=list("uvw"))])
def test_nameless_numbers_are_read_by_position(wrap):
    X = np.array([[1, 7, 0.5], [2, 7, 0.25]])
    pairs = read(wrap(X), [1, 2])
    assert not pairs.named
    assert pairs.models.tolist() == [1, 2]
    assert pairs.datasets.tolist() == [7, 7]
    assert list(pairs.features) == ["pair__x2"]
    assert pairs.features["pair__x2"].tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([[1, 1, 1]], "one-dimensional"),
        ([1, 1], "2 values for 3 records"),
        ([1, -1, 1], "not be negative"),
        ([0, 0, 0], "at least one non-zero"),
        ([1, np.nan, 1], "NaN"),
    ],
)
def test_bad_weights(weights, match):
    with pytest.raises(ValueError, match=match):
        read(records(), None, weights)


# ---- ids ---------------------------------------------------------------------------------------------------------

IDS = st.one_of(
    st.integers(-5, 5), st.sampled_from([1.0, 2.5, -3.0, True]), st.text(max_size=2), st.tuples(st.integers(0, 2))
)


@settings(deadline=None, max_examples=60)
@given(st.lists(IDS, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_codes_do_not_depend_on_the_order_of_rows(ids, random):
    shuffled = list(ids)
    random.shuffle(shuffled)

    def columns(values):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array

    known, codes = id_codes(columns(ids))
    again, shuffled_codes = id_codes(columns(shuffled))
    assert list(known) == list(again)
    assert [known[code] for code in codes] == ids
    assert [again[code] for code in shuffled_codes] == shuffled
    assert len({*known}) == len(known)
    assert lookup_ids(known, columns(ids)).tolist() == codes.tolist()


def test_codes_follow_the_order_of_the_ids():
    ids, codes = id_codes(np.array([30, 4, 30, 100]))
    assert ids.tolist() == [4, 30, 100]
    assert codes.tolist() == [1, 0, 1, 2]
    assert id_codes(np.array(["b", 10, "a", 9.5], dtype=object))[0].tolist() == [9.5, 10, "a", "b"]


@pytest.mark.parametrize(
    ("known", "values", "places"),
    [
        (np.array([1, 2]), np.array([2.0, 1.0, 3.0]), [1, 0, -1]),
        (np.array([1, 2]), np.array([2, "1", "a"], dtype=object), [1, -1, -1]),
        (np.array([1, "a"], dtype=object), np.array([1, 2]), [0, -1]),
        (np.array(["a", "b"], dtype=object), np.array(["b", "c"]), [1, -1]),
        (np.array(["a", "b"]), np.array(["b", "a"]), [1, 0]),
        (np.array(["a"], dtype=object), np.array([0.0]), [-1]),
    ],
)
def test_lookup_across_types(known, values, places):
    assert lookup_ids(known, values).tolist() == places


# ---- roles -------------------------------------------------------------------------------------------------------


def test_roles_by_prefix_then_by_dependence():
    frame = pd.DataFrame({
        "family": ["r", "r", "v", "v"],
        "classes": [10, 5, 10, 5],
        "both": [1, 1, 1, 1],
        "logme": [1, 2, 3, 4],
        "holes": [np.nan, "r", "v", np.nan],
        "labels": [["p"], ["q", "p"], ["p"], ["q", "p"]],
        "bags": [{"p", "q"}, {"p"}, {"q", "p"}, {"p"}],
        "pair__family": ["r", "r", "v", "v"],
        "dataset__noise": [1, 2, 3, 4],
    })  # fmt: skip
    roles = infer_roles(frame, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert roles == {
        "family": "model",
        "classes": "dataset",
        "both": "model",
        "logme": "pair",
        "holes": "model",
        "labels": "dataset",
        "bags": "dataset",
        "pair__family": "pair",
        "dataset__noise": "dataset",
    }


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 3)), max_size=12))
def test_constant_within_as_the_definition_says(rows):
    values, groups = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    expected = all(len({v for v, g in rows if g == group and v >= 0}) <= 1 for group in range(4))
    assert constant_within(values, groups) is expected


def test_value_codes_number_what_is_equal():
    column = pd.Series([np.array(["a"], dtype=object), ["a"], None, {"k": 1}, ("a", "b"), {"b", "a"}], dtype=object)
    assert value_codes(column).tolist() == [0, 0, -1, 1, 2, 2]


# ---- make_records ------------------------------------------------------------------------------------------------

LONG = pd.DataFrame({"model": ["a", "b", "a"], "dataset": ["x", "x", "y"], "score": [0.1, 0.2, 0.3]})
WIDE = pd.DataFrame({"x": [0.1, 0.2], "y": [0.3, None]}, index=["a", "b"])
MODELS = pd.DataFrame({"model": ["b", "spare", "a"], "size": [2, 9, 1], "model__year": [2020, 0, 2015]})
DATASETS = pd.DataFrame({"dataset": ["y", "x"], "classes": [5, 10]})
PAIRS = pd.DataFrame({"dataset": ["x", "y", "x", "y"], "model": ["a", "a", "b", "b"], "logme": [1.0, 2.0, 3.0, 4.0]})


def rows(frame):
    return sorted(map(tuple, frame.to_numpy().tolist()))


def test_tables_are_joined_by_id():
    result = make_records(LONG, MODELS, DATASETS, PAIRS)
    assert list(result) == [
        "model", "dataset", "score", "model__size", "model__year", "dataset__classes", "pair__logme"
    ]  # fmt: skip
    assert result.to_numpy().tolist() == [
        ["a", "x", 0.1, 1, 2015, 10, 1.0],
        ["b", "x", 0.2, 2, 2020, 10, 3.0],
        ["a", "y", 0.3, 1, 2015, 5, 2.0],
    ]
    assert result["model__size"].dtype == np.int64
    assert result.index.equals(pd.RangeIndex(3))


@pytest.mark.parametrize(
    "wide",
    [
        WIDE,
        WIDE.rename_axis(index="model", columns="dataset"),
        WIDE.rename_axis(index="anything"),
        WIDE.reset_index(names="model")[["x", "model", "y"]],
        WIDE.reset_index(names="Unnamed: 0"),
        pl.DataFrame({"net": ["a", "b"], "x": [0.1, 0.2], "y": [0.3, None]}),
        pl.DataFrame({"x": [0.1, 0.2], "y": [0.3, None], "model": ["a", "b"]}),
        pa.table({"net": ["a", "b"], "x": [0.1, 0.2], "y": [0.3, None]}),
        WIDE.astype("Float64"),
        WIDE.astype(object).where(WIDE.notna(), None),
    ],
)
def test_wide_scores_are_the_same_as_long_ones(wide):
    assert rows(make_records(wide, MODELS, DATASETS, PAIRS)) == rows(make_records(LONG, MODELS, DATASETS, PAIRS))


def test_wide_scores_of_numbered_models():
    frame = pd.DataFrame({1: [0.5, 0.6], 2: [0.7, np.nan]})
    assert rows(make_records(frame)) == [(0.0, 1.0, 0.5), (0.0, 2.0, 0.7), (1.0, 1.0, 0.6)]
    assert rows(make_records(pl.DataFrame({"m": [3, 4], "x": [0.5, 0.6]}))) == [(3, "x", 0.5), (4, "x", 0.6)]


def test_wide_scores_of_models_with_numbers_for_ids_that_were_in_a_file():
    frame = pd.DataFrame({"pets": [0.5, 0.6], "cars": [0.3, np.nan]}, index=[10, 20])
    expected = [(10, "cars", 0.3), (10, "pets", 0.5), (20, "pets", 0.6)]
    assert rows(make_records(frame)) == expected
    assert rows(make_records(pd.read_csv(io.StringIO(frame.to_csv())))) == expected


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table], ids=["polars", "pyarrow"])
def test_make_records_from_other_libraries(make):
    tables = [make(table.to_dict("list")) for table in (LONG, MODELS, DATASETS, PAIRS)]
    assert rows(make_records(*tables)) == rows(make_records(LONG, MODELS, DATASETS, PAIRS))


def test_ids_in_the_index():
    by_index = make_records(
        LONG.set_index(["model", "dataset"]),
        MODELS.set_index("model").rename_axis(None),
        DATASETS.set_index("dataset"),
        PAIRS.set_index(["dataset", "model"]),
    )
    assert rows(by_index) == rows(make_records(LONG, MODELS, DATASETS, PAIRS))


def test_further_columns_of_long_scores_describe_the_pair():
    result = make_records(LONG.assign(lr=0.1, pair__steps=5, model__family="v"))
    assert list(result) == ["model", "dataset", "score", "model__family", "pair__lr", "pair__steps"]


def test_names_of_the_users_own():
    result = make_records(
        LONG.set_axis(["net", "data", "acc"], axis=1),
        MODELS.rename(columns={"model": "net"}),
        model="net",
        dataset="data",
        target="acc",
    )
    assert list(result) == ["net", "data", "acc", "model__size", "model__year"]


def test_inputs_are_left_alone():
    tables = [LONG, MODELS.set_index("model"), DATASETS, PAIRS, WIDE]
    before = [table.copy(deep=True) for table in tables]
    make_records(*tables[:4])
    make_records(WIDE)
    for table, copy in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(table, copy)


def test_ids_of_different_types_meet():
    scores = pd.DataFrame({"model": pd.Categorical(["a", "b"]), "dataset": [1, 2], "score": [0.1, 0.2]})
    sizes = pd.DataFrame({"dataset": pd.array([2, 1], dtype="Int64"), "n": [20, 10]})
    assert make_records(scores, datasets=sizes)["dataset__n"].tolist() == [10, 20]


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.floats(0, 1), min_size=1))
def test_wide_and_long_agree(cells):
    long = pd.DataFrame([(m, d, s) for (m, d), s in cells.items()], columns=["model", "dataset", "score"])
    wide = long.pivot(index="model", columns="dataset", values="score")
    assert rows(make_records(wide, MODELS.replace("spare", "c"))) == rows(
        make_records(long, MODELS.replace("spare", "c"))
    )


@pytest.mark.parametrize(
    ("tables", "match"),
    [
        ([pd.concat([LONG, LONG])], "scores has more than one row for 'a' on 'x', 'b' on 'x', 'a' on 'y'; expect"),
        ([pd.concat([WIDE, WIDE[:1]])], "scores has more than one row for 'a'"),
        ([LONG, pd.concat([MODELS, MODELS[:1]])], "models has more than one row for 'b'"),
        ([LONG, None, pd.concat([DATASETS, DATASETS[:1]])], "datasets has more than one row for 'y'"),
        ([LONG, None, None, pd.concat([PAIRS, PAIRS[:1]])], "pairs has more than one row for 'a' on 'x'"),
        ([LONG, MODELS[:2]], "models has no row for 'a'; every id of scores needs one"),
        ([LONG, None, DATASETS[:0]], "datasets has no row for 'x', 'y'"),
        ([LONG, None, None, PAIRS[:2]], "pairs has no row for 'b' on 'x'"),
        ([LONG.assign(model=[f"m{i}" for i in range(3)]), MODELS[:0]], "models has no row for 'm0', 'm1', 'm2'"),
        ([LONG.assign(score=["0.1", "bad", "?"])], "holds 2 value.*'bad' for model 'b' on dataset 'x'"),
        ([LONG.assign(score=[0.1, np.nan, 0.2])], "the first is nan for model 'b' on dataset 'x'"),
        ([LONG.assign(score=[0.1, 0.2, -np.inf])], "the first is -inf for model 'a' on dataset 'y'"),
        ([WIDE.replace(0.2, np.inf)], "the first is inf for model 'b' on dataset 'x'"),
        ([WIDE.astype(object).where(WIDE != 0.3, "n/a")], "the first is 'n/a' for model 'a' on dataset 'y'"),
        ([LONG.assign(model=["a", None, "b"])], "Column 'model' has 1 missing model id"),
        ([LONG, MODELS.assign(model=["a", None, "b"])], "Column 'model' has 1 missing model id"),
        ([LONG.drop(columns="dataset")], "scores has no column 'dataset' with the dataset ids; its columns are"),
        ([LONG.drop(columns="model")], "scores has no column 'model' with the model ids"),
        ([LONG.drop(columns="score")], "scores has no column 'score' with the scores"),
        ([LONG, DATASETS], "models has no column 'model' with its ids; its columns are .'dataset', 'classes'"),
        ([LONG, None, None, PAIRS.drop(columns="model")], "pairs has no column 'model' with its ids"),
        ([LONG[:0]], "scores holds no score"),
        ([WIDE * np.nan], "scores holds no score"),
        ([pd.DataFrame()], "scores holds no score"),
        ([LONG.assign(model__size=1), MODELS], "The column 'model__size' comes from more than one place"),
        ([LONG, MODELS.assign(year=1)], "The column 'model__year' comes from more than one place"),
    ],
)  # fmt: skip
def test_make_records_names_what_is_wrong(tables, match):
    with pytest.raises(ValueError, match=match):
        make_records(*tables)


def test_a_long_list_of_ids_is_cut():
    scores = pd.DataFrame({"model": [f"m{i}" for i in range(9)], "dataset": "x", "score": 1.0})
    with pytest.raises(ValueError, match="no row for 'm0', 'm1', 'm2', 'm3', 'm4' and 4 more; every"):
        make_records(scores, MODELS)


def test_names_must_differ():
    with pytest.raises(ValueError, match="expected three different columns"):
        make_records(LONG, model="dataset")


def test_tables_must_be_frames():
    with pytest.raises(TypeError, match="models must be a dataframe, got dict"):
        make_records(LONG, {"a": 1})


@pytest.mark.parametrize("dates", [[pd.Timestamp(0)], [pd.Timestamp(0), None], [dt.date(2020, 1, 1)]])
def test_dates_in_the_cells_of_a_wide_table_are_no_scores(dates):
    table = pd.DataFrame({"model": [*"ab"][: len(dates)], "cars": dates})
    with pytest.raises(ValueError, match=r"Column 'score' holds 1 value\(s\) that are not finite numbers.* on dataset"):
        make_records(table)


class TestSizes:
    """Their squares overflow, and then so does everything."""

    @pytest.mark.parametrize("value", [1.7e308, -1.7e308, 1.01e150])
    def test_of_a_column(self, value):
        frame = pd.DataFrame({"model": ["a", "b"], "dataset": ["x", "x"], "score": [0.1, 0.2], "pair__c": [0, value]})
        expected = f"Column 'pair__c' holds {value:g}, but expected numbers of at most 1e+150 in size."
        with pytest.raises(ValueError, match=re.escape(expected)):
            read_pairs(BiasRegressor(), frame, reset=True, scores=True)

    def test_of_an_array(self):
        expected = "Column 'pair__x2' holds -1e+200, but expected numbers of at most 1e+150 in size."
        with pytest.raises(ValueError, match=re.escape(expected)):
            BiasRegressor().fit(np.array([[0, 0, 1.0], [1, 0, -1e200]]), [0.1, 0.2])

    @pytest.mark.parametrize("form", ["column", "y", "array"])
    def test_of_the_scores(self, form):
        expected = "Column 'score' holds 1.7e+308, but expected numbers of at most 1e+150 in size."
        frame = pd.DataFrame({"model": ["a", "b"], "dataset": ["x", "x"], "score": [0.1, 1.7e308]})
        X = frame if form != "array" else np.array([[0.0, 0.0], [1.0, 0.0]])
        with pytest.raises(ValueError, match=re.escape(expected)):
            BiasRegressor().fit(X, None if form == "column" else frame["score"])

    def test_at_the_limit(self):
        frame = pd.DataFrame({"model": ["a", "b"], "dataset": ["x", "x"], "score": [0.1, 0.2], "pair__c": [0, 1e150]})
        assert len(read_pairs(BiasRegressor(), frame, reset=True, scores=True)) == 2


def test_large_integers_beside_floats_are_not_mixed_up():
    scores = pd.DataFrame({"model": [2**63 - 1, 2**53], "dataset": ["x", "x"], "score": [0.5, 0.25]})
    held = pd.DataFrame({"model": [float(2**63), float(2**53)], "size": [1.0, 2.0]})
    with pytest.raises(ValueError, match="models has no row for 9223372036854775807; every id of scores needs one"):
        make_records(scores, models=held)
    made = make_records(scores[1:], models=held)
    assert made["model__size"].tolist() == [2.0]


@pytest.mark.parametrize("names", [("dataset", "model"), ("dataset", None), (None, "model")])
def test_a_wide_table_that_lies_on_its_side_is_turned(names):
    long = pd.DataFrame({"model": ["a", "b", "a"], "dataset": ["x", "x", "y"], "score": [0.1, 0.2, 0.3]})
    wide = long.pivot(index="model", columns="dataset", values="score")
    expected = make_records(wide)
    assert expected["model"].tolist() == ["a", "a", "b"]
    pd.testing.assert_frame_equal(make_records(wide.T.rename_axis(index=names[0], columns=names[1])), expected)


def test_weights_that_overflow_are_refused():
    records = pd.DataFrame({"model": list("abab"), "dataset": list("xxyy"), "score": [0.5, 0.7, 0.6, 0.9]})
    with pytest.raises(ValueError, match=r"sample_weight holds 1e\+308, but expected numbers of at most 1e\+150"):
        BiasRegressor().fit(records, sample_weight=np.full(4, 1e308))


def test_missing_ids_in_an_array_are_named():
    with pytest.raises(ValueError, match="Column 1 of X has a missing dataset id"):
        MetadataEncoder().fit(np.array([[0.0, np.nan, 1.0], [1.0, 0.0, 2.0]]))


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda ids: BiasRegressor().fit(records(model=ids)), "Column 'model' has \\['b'\\] as a model id in row 1"),
        (lambda ids: make_records(records(model=ids)), "Column 'model' has \\['b'\\] as a model id in row 1"),
        (
            lambda ids: kendall([1, 2, 3, 4], [1, 2, 3, 4], groups=[*ids, "a"]),
            "groups has \\['b'\\] as a group id in row 1",
        ),
        (
            lambda ids: recommend(BiasRegressor().fit(records()), ids, k=1),
            "datasets has \\['b'\\] as a dataset id in row 1",
        ),
        (
            lambda ids: next(LeaveModelsOut(2).split(records(model=ids))),
            "Column 'model' has \\['b'\\] as a model id in row 1",
        ),
    ],
)
def test_ids_that_cannot_be_looked_up_are_refused_with_their_row(read, message):
    with pytest.raises(TypeError, match=f"{message}, which is unhashable; expected a string, a number, a tuple or"):
        read(["a", ["b"], "c"])
    assert read(["a", ("b",), "c"]) is not None


def test_numbers_as_objects_are_numbers():
    plain = records(model__size=[1.0, 1.0, 2.5], pair__x=[1, 2, 3])
    pairs = read(plain.astype(object))
    assert_frame_equal(pairs.features, plain[["model__size", "pair__x"]])
    with pytest.raises(ValueError, match="Column 'model__size' does not hold numbers"):
        read(plain.assign(model__size=["big", 1.0, 2.0]).astype(object))


@pytest.mark.parametrize("kind", [np.complex64, complex, object])
def test_complex_scores_are_refused(kind):
    with pytest.raises(ValueError, match=r"3 value\(s\) that are not finite numbers, the first is .* for model 'a' on"):
        make_records(records(score=np.array([0.5 + 2j, 0.5, 0.2 - 1j]).astype(kind)))
