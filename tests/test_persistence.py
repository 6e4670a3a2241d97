"""Saving and loading: to the bit, without running code, and with one clear error for whatever is not ours."""

import datetime
import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from decimal import Decimal
from importlib import import_module
from zoneinfo import ZoneInfo

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

import skgat
from skgat import MetadataEncoder, TransferabilityGAT, persistence, recommend
from skgat._packing import Packed, pack, unpack
from skgat._trees import check_trees
from skgat.baselines import BiasRegressor, MatrixCompletion, NearestDatasets
from skgat.exceptions import PersistenceError
from skgat.persistence import load, save

SMALL_GAT = {"hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "max_iter": 8, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def records():
    """Metadata of every kind, with gaps, on mixed ids."""
    rng = np.random.default_rng(0)
    models = pd.DataFrame(
        {
            "model": ["vit", "resnet", "vgg", "größer", 7],
            "model__parameters": [86e6, 25e6, np.nan, 11e6, 5e6],
            "model__family": ["vit", "resnet", "vgg", None, "vit"],
        }
    )
    datasets = pd.DataFrame(
        {
            "dataset": [f"d{i}" for i in range(6)],
            "dataset__labels": [["cat", "dog"], ["cat"], ["car"], ["cat", "car"], ["dog"], ["cat"]],
            "dataset__about": [f"photographs of the animals number {i} in the wild" for i in range(6)],
            "dataset__balanced": [True, False, True, True, False, True],
        }
    )
    frame = models.merge(datasets, how="cross")
    return frame.assign(pair__logme=rng.normal(size=30), score=rng.uniform(size=30))


def _pipeline(regressor):
    output = "records" if hasattr(regressor, "dataset") else "features"
    return make_pipeline(MetadataEncoder(output=output), regressor)


REGRESSORS = [
    BiasRegressor(),
    MatrixCompletion(random_state=0),
    NearestDatasets(),
    TransferabilityGAT(**SMALL_GAT),
    RandomForestRegressor(5, random_state=0),
    GradientBoostingRegressor(n_estimators=5, random_state=0),
    Ridge(),
]


@pytest.fixture(scope="module")
def fitted(records):
    return {type(r).__name__: _pipeline(r).fit(records, records["score"]) for r in REGRESSORS}


def _new_rows(records):
    unknown = records[:4].assign(dataset="new", model=["vit", "resnet", "new", 7], model__family="new")
    return pd.concat([records, unknown], ignore_index=True)


@pytest.mark.conformance
@pytest.mark.parametrize("name", [type(r).__name__ for r in REGRESSORS])
def test_loaded_predicts_to_the_bit(fitted, records, name, tmp_path):
    save(fitted[name], tmp_path / "it.skgat")
    loaded = load(tmp_path / "it.skgat")
    rows = _new_rows(records)
    assert_array_equal(loaded.predict(rows), fitted[name].predict(rows))
    assert_frame_equal(recommend(loaded, "d0", k=5), recommend(fitted[name], "d0", k=5))
    assert_frame_equal(loaded[0].models_, fitted[name][0].models_)
    assert_frame_equal(loaded[0].datasets_, fitted[name][0].datasets_)
    assert loaded.get_params(deep=True).keys() == fitted[name].get_params(deep=True).keys()


def test_loaded_can_be_saved_and_taught_again(fitted, records, tmp_path):
    save(fitted["TransferabilityGAT"], tmp_path / "one.skgat")
    loaded = load(tmp_path / "one.skgat")
    save(loaded, tmp_path / "two.skgat")
    again = load(tmp_path / "two.skgat")
    assert_array_equal(again.predict(records), fitted["TransferabilityGAT"].predict(records))
    few = records[::12].assign(dataset="new")
    expected = recommend(fitted["TransferabilityGAT"], "new", k=5, context=few)
    assert_frame_equal(recommend(again, "new", k=5, context=few), expected)


@pytest.mark.conformance
@pytest.mark.parametrize("how", ["skgat", "joblib"])
def test_load_in_a_fresh_process(fitted, records, how, tmp_path):
    pipeline = fitted["TransferabilityGAT"]
    path = tmp_path / "it"
    save(pipeline, path) if how == "skgat" else joblib.dump(pipeline, path)
    rows = _new_rows(records).drop(columns="score")
    rows.to_pickle(tmp_path / "rows")
    np.save(tmp_path / "expected", pipeline.predict(rows))
    module = "skgat.persistence" if how == "skgat" else "joblib"
    code = (
        f"import sys, numpy, pandas, {module} as io\n"
        "pipeline, rows = io.load('it'), pandas.read_pickle('rows')\n"
        "known = rows[:-4]\n"
        "expected = numpy.load('expected.npy')\n"
        "assert numpy.allclose(pipeline.predict(known), expected[:-4], rtol=0, atol=1e-12)\n"
        "numpy.testing.assert_allclose(pipeline.predict(rows), expected, rtol=0, atol=1e-6)\n"
        "assert not {'torch', 'torch_geometric', 'dask'} & set(sys.modules), 'prediction needs no torch'\n"
        # What was hidden while skops was imported is there again.
        "import sklearn.externals.array_api_compat.torch\n"
    )
    root = os.path.dirname(os.path.dirname(skgat.__file__))
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert result.returncode == 0, result.stderr


def test_unfitted_round_trip(tmp_path):
    save(MetadataEncoder(roles={"a": "drop"}, min_frequency=0.5), tmp_path / "it")
    assert load(tmp_path / "it").get_params() == MetadataEncoder(roles={"a": "drop"}, min_frequency=0.5).get_params()


def test_every_public_estimator_can_be_saved(tmp_path):
    records = pd.DataFrame({"model": ["a", "b", "a", "b"], "dataset": ["x", "x", "y", "y"], "score": [1.0, 2, 3, 5]})
    classes = [getattr(skgat, name) for name in skgat.__all__ if isinstance(getattr(skgat, name), type)]
    assert TransferabilityGAT in classes
    for class_ in classes:
        estimator = class_(**(SMALL_GAT if class_ is TransferabilityGAT else {})).fit(records)
        save(estimator, tmp_path / "it")
        check_is_fitted(load(tmp_path / "it"))


def test_trusted_types_exist():
    for name in persistence._TRUSTED:
        module, _, attribute = name.rpartition(".")
        assert isinstance(getattr(import_module(module), attribute), type), name


def test_callbacks_stay_behind(records, tmp_path):
    bias = BiasRegressor().fit(records)
    bias._skl_callbacks = [print]
    save(bias, tmp_path / "it")
    assert bias._skl_callbacks == [print]
    assert "_skl_callbacks" not in vars(load(tmp_path / "it"))


def test_a_foreign_type_is_refused_and_runs_nothing(fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forged = _forge(make_pipeline(FunctionTransformer(os.mkdir, kw_args={"mode": 0o700}), fitted["BiasRegressor"]))
    (tmp_path / "forged").write_bytes(forged)
    with pytest.raises(PersistenceError, match=r"'forged' holds posix\.mkdir, which is not on skgat's list of types"):
        load("forged")
    assert os.listdir(tmp_path) == ["forged"]


def _forge(obj, **header):
    """What save would write, without its checks."""
    return _with_header_of(persistence._with_header(skops.io.dumps(pack(obj))), **header)


def _with_header_of(data, compression=zipfile.ZIP_STORED, **header):
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", compression) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "skgat.json":
                content = json.dumps({**json.loads(content), **header})
            target.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "header", [{"skgat": "99.0.0"}, {"skgat": "0.99"}, {"skgat": "1.0.0rc1"}, {"format": 2}], ids=lambda h: str(h)
)
def test_a_file_of_a_newer_version_is_refused(records, tmp_path, header):
    path = tmp_path / "it"
    path.write_bytes(_forge(BiasRegressor().fit(records), **header))
    version = header.get("skgat", skgat.__version__)
    with pytest.raises(
        PersistenceError, match=rf"saved by skgat {re.escape(version)} .* newer than this .* update skgat"
    ):
        load(path)


def test_a_file_of_an_older_version_loads(records, tmp_path):
    path = tmp_path / "it"
    bias = BiasRegressor().fit(records)
    path.write_bytes(_forge(bias, skgat="0.0.9"))
    assert_array_equal(load(path).predict(records), bias.predict(records))


def test_whatever_is_not_a_saved_recommender(tmp_path, records):
    bias = BiasRegressor().fit(records)
    joblib.dump(bias, tmp_path / "joblib")
    (tmp_path / "pickle").write_bytes(pickle.dumps(bias))
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("model,dataset,score\n")
    skops.io.dump(bias, tmp_path / "skops")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("skgat.json", "[]")
    for name in ("joblib", "pickle", "empty", "text"):
        with pytest.raises(PersistenceError, match=f"{name}' is not a file that skgat saved, or it is damaged"):
            load(tmp_path / name)
    for name in ("skops", "zip"):
        with pytest.raises(PersistenceError, match=f"{name}' is an archive, but not one that skgat saved"):
            load(tmp_path / name)
    with pytest.raises(PersistenceError, match="is a folder, but expected a file"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        load(tmp_path / "missing")


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "it"
    save(fitted["BiasRegressor"], path)
    return path.read_bytes()


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_cut_off_files(saved, tmp_path_factory, share):
    path = tmp_path_factory.mktemp("cut") / "it"
    path.write_bytes(saved[: int(share * len(saved))])
    with pytest.raises(PersistenceError, match="damaged or cut off"):
        load(path)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_flipped_bits_never_give_anything_but_the_same_or_an_error(saved, fitted, records, tmp_path_factory, at, flip):
    path = tmp_path_factory.mktemp("flipped") / "it"
    broken = bytearray(saved)
    broken[int(at * len(saved))] ^= flip
    path.write_bytes(broken)
    try:
        loaded = load(path)
    except PersistenceError:
        return
    assert_array_equal(loaded.predict(records), fitted["BiasRegressor"].predict(records))


def test_compressed_entries_are_refused(saved, tmp_path):
    (tmp_path / "bomb").write_bytes(_with_header_of(saved, zipfile.ZIP_DEFLATED))
    with pytest.raises(PersistenceError, match="its entries are compressed or overlap"):
        load(tmp_path / "bomb")


@pytest.mark.parametrize("field", ["left_child", "right_child", "feature"])
@pytest.mark.parametrize("value", [-5, 0, 10**6])
def test_trees_that_point_astray_are_refused(fitted, tmp_path, field, value):
    pipeline = load_of(fitted["RandomForestRegressor"], tmp_path)
    tree = pipeline[-1].estimators_[2].tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = value
    if field == "feature" and value == 0:
        state["nodes"]["left_child"][0] = 0
    tree.__setstate__(state)
    (tmp_path / "forged").write_bytes(_forge(pipeline))
    with pytest.raises(PersistenceError, match="a decision tree points to nodes or features that do not exist"):
        load(tmp_path / "forged")


def load_of(recommender, folder):
    save(recommender, folder / "copy")
    return load(folder / "copy")


def test_trees_of_different_widths_are_refused(fitted, tmp_path):
    pipeline = load_of(fitted["RandomForestRegressor"], tmp_path)
    width = pipeline[-1].n_features_in_
    wide = RandomForestRegressor(1, random_state=0).fit(np.eye(width + 3), np.arange(width + 3))
    pipeline[-1].estimators_[1] = wide.estimators_[0]
    check_trees(wide)
    with pytest.raises(ValueError, match="disagree on the number of features"):
        check_trees(pipeline)


def test_what_load_would_refuse_is_not_saved(records, tmp_path):
    with pytest.raises(PersistenceError, match=r"Pipeline cannot be saved: it holds \S+\._helper, which"):
        save(make_pipeline(FunctionTransformer(_helper), BiasRegressor()).fit(records), tmp_path / "it")
    frame = records.set_index(["model", "dataset"])
    with pytest.raises(PersistenceError, match="FunctionTransformer cannot be saved: a frame with a MultiIndex"):
        save(FunctionTransformer(kw_args={"table": frame}), tmp_path / "it")
    assert os.listdir(tmp_path) == []


def _helper(X):
    return X


def test_a_failed_save_leaves_the_old_file(records, tmp_path, monkeypatch):
    path = tmp_path / "it"
    bias = BiasRegressor().fit(records)
    save(bias, path)
    before = path.read_bytes()
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(descriptor, error=error):
            raise error

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(type(error)):
            save(BiasRegressor(shrinkage=9).fit(records), path)
        assert os.listdir(tmp_path) == ["it"]
        assert path.read_bytes() == before


def test_save_follows_a_link_and_replaces_its_target(records, tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(BiasRegressor().fit(records), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "real").n_features_in_ == load(tmp_path / "link").n_features_in_


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        SCALARS | st.tuples(SCALARS, SCALARS) | st.sets(st.integers(), max_size=1),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.text(max_size=3) | st.integers() | st.booleans() | st.tuples(st.text(max_size=2)), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_packing_is_undone_exactly(value):
    back = unpack(skops.io.loads(skops.io.dumps(pack(value)), trusted=["skgat._packing.Packed"]))
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": [True, False]}, index=["x", "y"]),
        pd.DataFrame({"a": np.array(["u", None], dtype=object)}, index=pd.Index([3, 1], name="id")),
        pd.DataFrame({"a": np.array([["u"], (1, 2)], dtype=object), 5: pd.to_datetime(["2020-01-01", None])}),
        pd.DataFrame({"a": np.array([pd.Timestamp("2020-01-01"), float("nan")], dtype=object)}, index=[1, 1]),
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.Categorical(["u", "v"])}),
        pd.DataFrame(index=pd.Index(["x", 1, None], dtype=object, name="id")),
        pd.DataFrame(columns=["a", "b"]),
    ],
)
def test_frames_are_put_together_exactly(frame):
    back = unpack(pack(frame))
    assert_frame_equal(back, frame, check_exact=True)
    assert_index_equal(back.columns, frame.columns, exact=True)
    for column in frame:
        assert_series_equal(unpack(pack(frame[column])), frame[column])


OF_TIME_AND_THE_LIKE = {
    "date": [datetime.date(2020, 2, 29), datetime.date(1, 1, 1), datetime.date(9999, 12, 31)],
    "datetime": [datetime.datetime(2020, 1, 1, 12, 30, 15, 250), datetime.datetime(1066, 10, 14), None],
    "zones": [
        datetime.datetime(2020, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC),
        datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(-datetime.timedelta(hours=9, minutes=30))),
    ],
    "timestamp": [pd.Timestamp(1, unit="ns"), pd.Timestamp("2020-01-01 12:00"), None],
    "time": [datetime.time(12, 30), datetime.time(0, 0, 0, 1), datetime.time(23, tzinfo=datetime.UTC)],
    "span": [datetime.timedelta(days=9999), datetime.timedelta(days=-3, microseconds=1), datetime.timedelta(0)],
    "timedelta": [pd.Timedelta(1, unit="ns"), pd.Timedelta(days=-3), pd.Timedelta(days=9999)],
    "decimal": [Decimal("0.10"), Decimal("-1E+5"), Decimal("12345678901234567890.123456789")],
    "set": [frozenset({"cat", "dog"}), frozenset({"cat"}), frozenset()],
}


@pytest.mark.parametrize("name", OF_TIME_AND_THE_LIKE)
def test_values_that_are_neither_numbers_nor_text_are_kept(name, tmp_path):
    values = OF_TIME_AND_THE_LIKE[name]
    models = pd.DataFrame({"model": ["a", "b", "c"], "model__x": pd.Series(values, dtype=object)})
    records = models.merge(pd.DataFrame({"dataset": ["p", "q"]}), how="cross").assign(score=np.arange(6.0) ** 2)
    pipeline = make_pipeline(MetadataEncoder(output="features"), Ridge()).fit(records, records["score"])
    save(pipeline, tmp_path / "it")
    loaded = load(tmp_path / "it")
    assert_array_equal(loaded.predict(records), pipeline.predict(records))
    bare = records.drop(columns="model__x")
    assert_array_equal(loaded.predict(bare), pipeline.predict(bare))
    back = loaded[0].models_["model__x"].tolist()
    assert back == pipeline[0].models_["model__x"].tolist() == values
    assert [type(value) for value in back] == [type(value) for value in values]


def test_spans_of_pandas_keep_their_unit():
    for unit in ("s", "ms", "us", "ns"):
        span = pd.Timedelta(np.timedelta64(10**12, unit))
        back = unpack(pack([span]))[0]
        assert back == span
        assert back.unit == span.unit == unit
    longest = datetime.timedelta.max
    assert unpack(pack([longest])) == [longest]


def test_sets_are_written_in_one_order():
    labels = [f"label {i}" for i in range(50)]
    one, two = (pack([frozenset(order)])[0].content for order in (labels, labels[::-1]))
    assert one == two == sorted(labels)


@pytest.mark.parametrize("make", [pl.from_dict, pa.table], ids=["polars", "pyarrow"])
def test_times_of_other_libraries_are_kept(make, tmp_path):
    day = datetime.date(2020, 1, 1)
    times = [datetime.datetime(2020, 1, 1 + i, 12) for i in range(4)]
    records = make(
        {
            "model": ["a", "a", "b", "b"],
            "dataset": ["p", "q", "p", "q"],
            "score": [0.1, 0.2, 0.4, 0.8],
            "pair__day": [day + datetime.timedelta(days=i) for i in range(4)],
            "pair__moment": times,
            "model__there": [moment.replace(tzinfo=ZoneInfo("UTC")) for moment in times[:1] * 2 + times[1:2] * 2],
            "dataset__took": [datetime.timedelta(hours=1), datetime.timedelta(hours=2)] * 2,
            "model__cost": [Decimal("1.5")] * 2 + [Decimal("2.5")] * 2,
        }
    )
    pipeline = make_pipeline(MetadataEncoder(), TransferabilityGAT(**SMALL_GAT)).fit(records)
    save(pipeline, tmp_path / "it")
    loaded = load(tmp_path / "it")
    assert_array_equal(loaded.predict(records), pipeline.predict(records))
    assert_frame_equal(recommend(loaded, "p", k=2), recommend(pipeline, "p", k=2))


def test_packing_changes_nothing_in_place(records):
    encoder = MetadataEncoder().fit(records)
    table = encoder.models_
    copy = pack(encoder)
    assert encoder.models_ is table
    assert isinstance(copy.models_, Packed)
    assert copy is not encoder


def test_shared_and_circular_parts():
    bias = BiasRegressor()
    bias.mean_ = shared = {"a": [1]}
    bias.me_ = [bias, shared, shared]
    back = unpack(pack(bias))
    assert back.me_[0] is back
    assert back.me_[1] is back.me_[2]
    assert back.mean_ == {"a": [1]}
