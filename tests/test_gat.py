"""The estimator's contract: what a prediction depends on, what is kept, what is refused and in which words."""

import copy
import pickle
import re
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score

from skgat import MetadataEncoder, TransferabilityGAT, presets, recommend
from skgat.datasets import make_transfer_records
from skgat.exceptions import DuplicatePairWarning, UnknownEntityWarning
from skgat.gat import prediction
from skgat.gat.grove import Grove

TINY = {"n_layers": 2, "max_iter": 20, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0}


@pytest.fixture(scope="module")
def encoded():
    records = make_transfer_records(9, 8, fill=0.7, random_state=1).records
    return MetadataEncoder().fit_transform(records)


@pytest.fixture(scope="module")
def seen(encoded):
    """Without the last model and the last dataset."""
    return encoded[(encoded["model"] != "model_8") & (encoded["dataset"] != "dataset_7")]


@pytest.fixture(scope="module")
def gat(seen):
    return TransferabilityGAT(**TINY).fit(seen)


def bits(array):
    return np.ascontiguousarray(array).tobytes()


class TestPredictionsDependOnTheRowAlone:
    @settings(deadline=None, max_examples=30)
    @given(data=st.data())
    def test_a_subset_in_any_order_predicts_what_the_whole_predicts(self, gat, encoded, data):
        whole = gat.predict(encoded, return_std=True)
        rows = data.draw(st.lists(st.integers(0, len(encoded) - 1), min_size=1, max_size=12))
        for part, complete in zip(gat.predict(encoded.iloc[rows], return_std=True), whole, strict=True):
            assert_allclose(part, complete[rows], rtol=1e-12, atol=1e-12)

    def test_target_index_and_order_of_the_columns_are_not_read(self, gat, encoded):
        expected = bits(gat.predict(encoded))
        rng = np.random.default_rng(0)
        others = [
            encoded.drop(columns="score"),
            encoded.assign(score=np.nan),
            encoded.assign(score="unknown"),
            encoded.set_axis(rng.permutation(len(encoded)), axis=0),
            encoded.set_axis(["same"] * len(encoded), axis=0),
            encoded[rng.permutation(encoded.columns)],
        ]
        assert [bits(gat.predict(frame)) for frame in others] == [expected] * len(others)

    def test_what_the_call_says_of_a_known_id_is_not_read(self, gat, seen):
        said = seen.copy()
        nodes = [column for column in seen if column.startswith(("model__", "dataset__"))]
        said[nodes] = said[nodes] + 1.0
        assert bits(gat.predict(said)) == bits(gat.predict(seen))
        assert bits(gat.predict(seen.drop(columns=nodes))) == bits(gat.predict(seen))

    def test_input_is_left_alone_and_may_be_read_only(self, seen):
        before = seen.copy(deep=True)
        frame = seen.copy()
        for column in frame.select_dtypes("number"):
            values = frame[column].to_numpy().copy()
            values.flags.writeable = False
            frame[column] = pd.Series(values, index=frame.index, copy=False)
        estimator = TransferabilityGAT(**TINY).fit(frame)
        estimator.predict(frame)
        pd.testing.assert_frame_equal(frame, before)

    @pytest.mark.parametrize("convert", [pl.from_pandas, lambda f: pa.Table.from_pandas(f, preserve_index=False)])
    def test_polars_and_pyarrow_give_what_pandas_gives(self, gat, seen, encoded, convert):
        other = TransferabilityGAT(**TINY).fit(convert(seen.reset_index(drop=True)))
        expected = gat.predict(encoded)
        assert bits(other.predict(encoded)) == bits(expected)
        assert bits(gat.predict(convert(encoded))) == bits(expected)

    def test_order_of_the_records_does_not_matter(self, gat, seen, encoded):
        shuffled = TransferabilityGAT(**TINY).fit(seen.sample(frac=1, random_state=3))
        assert bits(shuffled.predict(encoded)) == bits(gat.predict(encoded))

    @pytest.mark.parametrize("kind", ["int", "category", "object", "mixed"])
    def test_ids_of_any_type(self, gat, seen, kind):
        """Names do not matter as long as their order is the same."""
        frame = seen.copy()
        for side in ("model", "dataset"):
            names = {name: number for number, name in enumerate(sorted(frame[side].unique()))}
            if kind == "int":
                frame[side] = frame[side].map(names)
            elif kind == "mixed":
                frame[side] = pd.Series([names[i] if names[i] < 3 else i for i in frame[side]], frame.index, object)
            else:
                frame[side] = frame[side].astype(kind)
        other = TransferabilityGAT(**TINY).fit(frame)
        assert bits(other.predict(frame)) == bits(gat.predict(seen))

    def test_unknown_ids_with_the_same_metadata_are_the_same(self, gat, encoded):
        new = encoded[encoded["dataset"] == "dataset_7"]
        assert bits(gat.predict(new)) == bits(gat.predict(new.assign(dataset="another")))
        assert np.ptp(gat.predict(new)) > 0

    def test_names_of_the_columns_can_be_chosen(self, gat, seen):
        names = {"model": "modèle", "dataset": "task", "score": "accuracy"}
        renamed = seen.rename(columns=names)
        other = TransferabilityGAT(model="modèle", dataset="task", target="accuracy", **TINY).fit(renamed)
        assert bits(other.predict(renamed)) == bits(gat.predict(seen))
        assert other.embeddings("model").index.name == "modèle"

    def test_y_stands_in_for_the_target_column(self, gat, seen):
        bare, y = seen.drop(columns="score"), seen["score"]
        for frame in (bare, seen.assign(score=0.0), seen.assign(score=np.nan)):
            assert bits(TransferabilityGAT(**TINY).fit(frame, y).predict(seen)) == bits(gat.predict(seen))

    def test_score_is_r2(self, gat, encoded):
        expected = r2_score(encoded["score"], gat.predict(encoded))
        assert gat.score(encoded) == gat.score(encoded, encoded["score"]) == expected
        assert gat.score(encoded, -encoded["score"]) < 0

    def test_a_nameless_array_is_read_by_position(self, seen):
        codes = {side: pd.factorize(seen[side], sort=True)[0] for side in ("model", "dataset")}
        measure = seen["pair__measure_0"].to_numpy()
        array = np.column_stack([codes["model"], codes["dataset"], measure])
        named = pd.DataFrame({**codes, "pair__x2": measure})
        one = TransferabilityGAT(**TINY).fit(array, seen["score"])
        other = TransferabilityGAT(**TINY).fit(named, seen["score"])
        assert bits(one.predict(array)) == bits(other.predict(named))
        assert one.n_features_in_ == 3
        assert not hasattr(one, "feature_names_in_")
        array[0, 2] = np.nan
        for call in (one.predict, one.predict_all, one.ranking_std):
            with pytest.raises(ValueError, match="Input X contains NaN"):
                call(array)


class TestUnknown:
    def test_no_metadata_at_all_is_one_warning(self, gat, encoded):
        new = pd.DataFrame({"model": ["new", "new", "model_0"], "dataset": ["a", "dataset_0", "b"]})
        message = "1 unknown model(s), such as 'new', and 2 unknown dataset(s), such as 'a', come without any metadata"
        with pytest.warns(UnknownEntityWarning, match=re.escape(message)) as caught:
            scores = gat.predict(new)
        assert len(caught) == 1
        assert np.isfinite(scores).all()

    def test_a_measure_of_the_pair_is_something(self, seen):
        known = ["model", "dataset", "pair__measure_0"]
        gat = TransferabilityGAT(**TINY).fit(seen[[*known, "score"]])
        new = seen.loc[:3, known].assign(model="new")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.ptp(gat.predict(new)) > 0
        with pytest.warns(UnknownEntityWarning, match="come without any metadata"):
            gat.predict(new[["model", "dataset"]])

    def test_ids_alone_are_enough(self, seen):
        ids = seen[["model", "dataset", "score"]]
        gat = TransferabilityGAT(**TINY).fit(ids)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            known = gat.predict(ids)
        assert np.corrcoef(known, ids["score"])[0, 1] > 0.5
        with pytest.warns(UnknownEntityWarning, match="such as 7,"):
            unknown = gat.predict(pd.DataFrame({"model": ["model_0", "model_1"], "dataset": [7, 7]}))
        assert np.ptp(unknown) > 0

    @pytest.mark.parametrize("side", ["model", "dataset"])
    def test_half_of_the_metadata_is_an_error(self, gat, encoded, side):
        column = f"{side}__numeric_0"
        message = f"X has no column '{column}', which is needed to place the unknown {side} 'new'."
        with pytest.raises(ValueError, match=re.escape(message)):
            gat.predict(encoded.drop(columns=column).assign(**{side: "new"}))

    def test_half_of_the_metadata_will_do_for_the_known(self, gat, seen):
        assert bits(gat.predict(seen.drop(columns="model__numeric_0"))) == bits(gat.predict(seen))

    def test_a_pair_feature_that_is_not_given_is_taken_as_the_mean(self, gat, seen):
        mean = seen.assign(pair__measure_0=seen["pair__measure_0"].mean())
        assert_allclose(gat.predict(seen.drop(columns="pair__measure_0")), gat.predict(mean), rtol=1e-9)

    @pytest.mark.parametrize("make", [presets.scg4trf, presets.g4trf])
    def test_the_presets_predict_known_and_unknown(self, make, seen, encoded):
        gat = make(max_iter=10, random_state=0).fit(seen)
        scores, std = gat.predict(encoded, return_std=True)
        assert np.isfinite(scores).all()
        assert (std >= 0).all()
        assert scores.min() > 0.0
        assert scores.max() < 1.0


class TestPredictAll:
    """All known models on a dataset: what `predict` says of the same pairs."""

    @staticmethod
    def pairs_of(gat, rows):
        """Every known model on the dataset of each row."""
        n_models = len(gat.models_)
        frame = rows.drop(columns=["pair__measure_0"]).loc[rows.index.repeat(n_models)]
        return frame.assign(model=np.tile(gat.models_, len(rows)))

    @pytest.mark.parametrize(
        "changed",
        [
            {},
            {"decoder": "mlp"},
            {"decoder": "linear"},
            {"kernel_weight": 0.0},
            {"target_transform": "none"},
            {"target_transform": "logit"},
            {"forest_weight": 0.0},
        ],
        ids=str,
    )
    def test_says_what_predict_says(self, changed, seen, encoded, monkeypatch):
        gat = TransferabilityGAT(**TINY | changed).fit(seen)
        new = encoded[~encoded["dataset"].isin(seen["dataset"])]
        rows = pd.concat([frame.drop_duplicates("dataset").head(3) for frame in (seen, new)])
        expected = gat.predict(self.pairs_of(gat, rows), return_std=True)
        for size in (8_192, 5):
            monkeypatch.setattr(prediction, "_COLUMN", size)
            found = gat.predict_all(rows, return_std=True)
            for values, wanted in zip(found, expected, strict=True):
                assert_allclose(values, wanted.reshape(len(rows), len(gat.models_)), rtol=1e-5)
        assert bits(gat.predict_all(rows)) == bits(found[0])
        assert bits(gat.predict_all(rows.iloc[[1]])[0]) == bits(found[0][1])

    @pytest.mark.parametrize("make", [presets.scg4trf, presets.g4trf])
    def test_the_presets_too(self, make, seen):
        gat = make(max_iter=10, random_state=0).fit(seen)
        rows = seen.drop_duplicates("dataset").head(2)
        found = gat.predict_all(rows)
        assert_allclose(found, gat.predict(self.pairs_of(gat, rows)).reshape(found.shape), rtol=1e-5)

    def test_trees_for_known_pairs_have_their_share(self, gat, seen):
        told, rows = copy.copy(gat), seen.drop_duplicates("dataset").head(2)
        graph = gat.graph_
        said = np.random.default_rng(0).normal(size=(graph.n_models, graph.n_datasets)).astype(np.float32)
        told.grove_ = Grove(said, np.ones(graph.n_datasets), 0.5)
        found = told.predict_all(rows)
        assert_allclose(found, told.predict(self.pairs_of(told, rows)).reshape(found.shape), rtol=1e-5)
        assert np.abs(found - gat.predict_all(rows)).max() > 0.01

    def test_models_and_measures_of_the_rows_are_not_read(self, gat, seen):
        rows = seen.drop_duplicates("dataset").head(2)
        other = rows.assign(model="nobody", pair__measure_0=[1e3, -1e3])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert bits(gat.predict_all(other)) == bits(gat.predict_all(rows))
            only = rows[[name for name in rows if name.startswith("dataset")]]
            assert bits(gat.predict_all(only)) == bits(gat.predict_all(rows))

    def test_a_bare_unknown_dataset_is_warned_of(self, gat):
        with pytest.warns(UnknownEntityWarning, match="'nowhere'"):
            gat.predict_all(pd.DataFrame({"model": ["model_0"], "dataset": ["nowhere"]}))

    def test_needs_a_fit(self, seen):
        with pytest.raises(NotFittedError):
            TransferabilityGAT().predict_all(seen)


class TestStd:
    @pytest.mark.parametrize("n_estimators", [1, 3])
    def test_is_positive_whatever_the_ensemble(self, seen, encoded, n_estimators):
        gat = TransferabilityGAT(**TINY | {"n_estimators": n_estimators}).fit(seen)
        scores, std = gat.predict(encoded, return_std=True)
        assert (std > 0).all()
        assert bits(scores) == bits(gat.predict(encoded))

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_is_the_spread_of_the_members_and_their_error(self, seen, share):
        """Known pairs: what the networks and the regression say one by one, standardised as the scores are."""
        gat = TransferabilityGAT(kernel_weight=share, forest_weight=0.0, target_transform="none", **TINY).fit(seen)
        network = gat.network_
        codes = {side: np.searchsorted(getattr(gat, f"{side}s_"), seen[side]) for side in ("model", "dataset")}
        members = network.predict(
            network.terms["model"][:, codes["model"]].astype(float),
            network.terms["dataset"][:, codes["dataset"]].astype(float),
            network.scale("pair", seen[["pair__measure_0"]].to_numpy()),
        )
        scores, std = gat.predict(seen, return_std=True)
        exact = 0.0
        if share:
            terms = [gat.kernel_.terms[side][codes[side]] for side in ("model", "dataset")]
            exact = gat.kernel_.predict(*terms, network.scale("pair", seen[["pair__measure_0"]].to_numpy()))
        spread = seen["score"].std(ddof=0)
        mixed = (1 - share) * members.mean(axis=0) + share * exact
        assert_allclose(scores, seen["score"].mean() + spread * mixed, rtol=1e-9)
        records = [seen.groupby(side)["score"].transform("size").to_numpy() for side in ("model", "dataset")]
        growth = np.sqrt(np.prod([1 + 2 / (1 + n) for n in records], axis=0))
        expected = spread * np.hypot((1 - share) * members.std(axis=0), gat.noise_["pair"] * growth)
        assert_allclose(std, expected, rtol=1e-9)


class TestEmbeddingsAndAttention:
    @pytest.mark.parametrize("kind", ["model", "dataset"])
    def test_one_row_an_id(self, gat, kind):
        frame = gat.embeddings(kind)
        assert frame.index.tolist() == getattr(gat, f"{kind}s_").tolist()
        n_levels = gat.n_layers + 1
        assert frame.shape[1] == gat.n_estimators * n_levels * gat.hidden_dim
        assert np.isfinite(frame.to_numpy()).all()
        assert (frame.std() > 0).any()

    def test_equal_nodes_have_equal_embeddings(self, seen):
        """A state depends on features and records, not on the name."""
        one = seen["model"] == "model_0"
        twin = pd.concat([seen, seen[one].assign(model="model_0_twin")], ignore_index=True)
        frame = TransferabilityGAT(**TINY).fit(twin).embeddings("model")
        assert_allclose(frame.loc["model_0"], frame.loc["model_0_twin"], rtol=1e-4, atol=1e-6)
        assert np.abs(frame.loc["model_0"] - frame.loc["model_1"]).max() > 1e-3

    def test_another_kind(self, gat):
        with pytest.raises(ValueError, match='Got kind=\'pair\', but expected "model" or "dataset"'):
            gat.embeddings("pair")

    def test_attention_of_a_target_sums_to_one(self, gat):
        frame = gat.attention()
        assert frame.columns.tolist() == ["source", "target", "layer", "head", "weight"]
        assert len(frame) == 2 * gat.graph_.n_edges * gat.n_layers * gat.n_heads * gat.n_estimators
        assert (frame["weight"] >= 0).all()
        assert_allclose(frame.groupby(["target", "layer", "head"])["weight"].sum(), 1.0, rtol=1e-5)
        assert sorted(frame["layer"].unique()) == [0, 1]
        assert sorted(frame["head"].unique()) == [0, 1, 2, 3]

    def test_attention_runs_along_records_both_ways(self, gat, seen):
        frame = gat.attention()
        pairs = set(zip(seen["model"], seen["dataset"], strict=True))
        found = set(zip(frame["source"], frame["target"], strict=True))
        assert found == pairs | {(dataset, model) for model, dataset in pairs}

    def test_attention_of_the_paper_runs_to_datasets_and_leaves_something_to_themselves(self, seen):
        frame = presets.scg4trf(max_iter=3, random_state=0).fit(seen).attention()
        assert set(frame["target"]) == set(seen["dataset"])
        sums = frame.groupby(["target", "layer", "head"])["weight"].sum()
        assert ((sums > 0) & (sums < 1)).all()

    @pytest.mark.parametrize("call", [lambda g: g.embeddings("model"), lambda g: g.attention(), lambda g: g.models_])
    def test_not_fitted(self, call):
        with pytest.raises(NotFittedError):
            call(TransferabilityGAT())


class TestWhatIsKept:
    LOAD = """
import sys
import joblib
gat, known, unknown = joblib.load(sys.argv[1])
one = gat.predict(known, return_std=True)
heavy = [name for name in ("torch", "torch_geometric", "matplotlib") if name in sys.modules]
assert not heavy, heavy
other = gat.predict(unknown, return_std=True)
joblib.dump((one, other), sys.argv[2])
"""

    def test_a_fresh_process_predicts_the_same_bits_without_torch(self, gat, seen, encoded, tmp_path):
        unknown = encoded.assign(model=encoded["model"] + "?", dataset=encoded["dataset"] + "?")
        joblib.dump((gat, seen, unknown), tmp_path / "gat.joblib")
        command = [sys.executable, "-W", "error", "-c", self.LOAD, tmp_path / "gat.joblib", tmp_path / "out.joblib"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        for found, frame in zip(joblib.load(tmp_path / "out.joblib"), (seen, unknown), strict=True):
            for one, other in zip(found, gat.predict(frame, return_std=True), strict=True):
                assert bits(one) == bits(other)

    @pytest.mark.parametrize("make", [TransferabilityGAT, presets.scg4trf])
    def test_nothing_of_torch_is_kept(self, make, seen):
        fitted = make(max_iter=3, random_state=0).fit(seen)
        fitted.partial_fit(seen[:3].assign(dataset="new"))
        kinds = {type(value) for value in walk(vars(fitted))}
        assert np.ndarray in kinds
        assert not [kind for kind in kinds if kind.__module__.startswith(("torch", "sklearn"))]

    def test_a_pickle_is_little_more_than_its_arrays(self, gat):
        arrays = sum(value.nbytes for value in walk(vars(gat)) if isinstance(value, np.ndarray))
        assert len(pickle.dumps(gat)) < 1.1 * arrays + 20_000

    def test_a_copy_shares_no_fate(self, gat, seen, encoded):
        before = bits(gat.predict(encoded))
        twin = copy.deepcopy(gat)
        twin.partial_fit(seen[:5].assign(dataset="dataset_7", score=0.0))
        assert bits(gat.predict(encoded)) == before
        assert bits(twin.predict(encoded)) != before
        assert "dataset_7" not in gat.datasets_


def walk(value, seen=None):
    """Every object that can be reached from a value through containers and attributes."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    yield value
    if isinstance(value, dict):
        children = [*value, *value.values()]
    elif isinstance(value, list | tuple | set):
        children = list(value)
    else:
        children = list(getattr(value, "__dict__", {}).values())
    for child in children:
        yield from walk(child, seen)


def small(**columns):
    frame = pd.DataFrame(
        {"model": ["a", "b", "a", "b"], "dataset": ["x", "x", "y", "y"], "score": [0.1, 0.4, 0.3, 0.2]}
    )
    return frame.assign(**columns)


class TestBadInput:
    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (small().drop(columns="model"), "X has no column 'model' with the model ids; its columns are ['dataset', "),
            (
                small().drop(columns="dataset"),
                "X has no column 'dataset' with the dataset ids; its columns are ['model",
            ),
            (small().drop(columns="score"), "X has no target column 'score' and y is None; pass the scores as y, or"),
            (small(score=[0.1, np.nan, 0.2, 0.3]), "Column 'score' holds 1 value(s) that are not finite numbers, the "),
            (small(score=[0.1, 0.2, np.inf, 0.3]), "the first is inf for model 'a' on dataset 'y'; every score must"),
            (small(score=[0.1, "high", 0.2, 0.3]), "the first is 'high' for model 'b' on dataset 'x'; every score mu"),
            (small().iloc[:0], "Found array with 0 sample(s): X is an empty frame, at least 1 record is required."),
            (small().iloc[:1], "Found n_samples=1 record, but at least 2 records are required to learn from."),
            (small(model=["a", None, "a", "b"]), "Column 'model' has 1 missing model id(s), the first in row 1; every"),
            (
                small(family=["v", "r", "v", "r"]),
                "Column 'family' does not hold numbers (its first value is 'v'), but ",
            ),
            (small(family=["v", "r", "v", "r"]), "Put a MetadataEncoder before it: make_pipeline(MetadataEncoder(), "),
            (small(size=[1.0, np.nan, 1.0, 2.0]), "Column 'size' holds NaN or infinite values, but TransferabilityGAT"),
        ],
    )
    def test_of_fit(self, frame, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            TransferabilityGAT(**TINY).fit(frame)

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"conv": "gatconv"}, "Got decoder='bilinear', but conv=\"gatconv\" expects decoder='linear'."),
            ({"conv": "gatconv", "decoder": "linear"}, 'Got edge_features=True, but conv="gatconv" expects edge_fea'),
            ({"device": "abacus"}, 'Got device=\'abacus\', but expected "auto", "cpu", "cuda" or another torch devic'),
            ({"decoder": "cubic"}, "The 'decoder' parameter of TransferabilityGAT must be a str among"),
            (
                {"edge_dropout": 1.0},
                "The 'edge_dropout' parameter of TransferabilityGAT must be a float in the range [0",
            ),
            ({"max_iter": 0}, "The 'max_iter' parameter of TransferabilityGAT must be an int in the range [1, inf)"),
            (
                {"target": "model"},
                "Got model='model', dataset='dataset' and target='model', but expected three differe",
            ),
        ],
    )
    def test_of_arguments(self, params, message):
        estimator = TransferabilityGAT(**TINY | params)
        with pytest.raises(ValueError, match=re.escape(message)):
            estimator.fit(small())
        assert not [name for name in vars(estimator) if name.endswith("_")]

    @pytest.mark.parametrize(
        ("name", "value"),
        [("edge_features", True), ("edge_features", False), ("schedule", False), ("n_heads", 2), ("decoder", "mlp")],
    )
    def test_arguments_may_be_scalars_of_numpy(self, name, value):
        fitted = [TransferabilityGAT(**TINY | {name: of}).fit(small()) for of in (value, np.array([value])[0])]
        assert bits(fitted[0].predict(small())) == bits(fitted[1].predict(small()))

    def test_cuda_without_a_device(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        message = 'Got device=\'cuda\', but torch finds no CUDA device on this machine. Use device="auto" or "cpu".'
        with pytest.raises(ValueError, match=re.escape(message)):
            TransferabilityGAT(device="cuda", **TINY).fit(small())
        assert TransferabilityGAT(device="auto", **TINY).fit(small()).device_ == "cpu"

    def test_duplicates(self):
        twice = pd.concat([small(), small(score=0.9)], ignore_index=True)
        with pytest.warns(DuplicatePairWarning, match=r"4 \(model, dataset\) pair\(s\) occur more than once"):
            gat = TransferabilityGAT(**TINY).fit(twice)
        assert_allclose(np.sort(gat.graph_.scores), np.sort((small()["score"] + 0.9) / 2))
        with pytest.raises(ValueError, match='Keep one score a pair, or set duplicates="mean"'):
            TransferabilityGAT(duplicates="raise", **TINY).fit(twice)

    @pytest.mark.parametrize(
        ("column", "message"),
        [
            ("model", "X has a single model, 'only': there is nothing to rank."),
            ("dataset", "X has a single dataset, 'only': how datasets differ cannot be learned."),
        ],
    )
    def test_a_single_model_or_dataset(self, column, message):
        other = "dataset" if column == "model" else "model"
        frame = pd.DataFrame({column: "only", other: ["p", "q", "r"], "score": [0.1, 0.2, 0.4]})
        with pytest.warns(UserWarning, match=re.escape(message)):
            gat = TransferabilityGAT(n_neighbors=3, **TINY).fit(frame)
        assert np.isfinite(gat.predict(frame)).all()

    def test_columns_that_fit_did_not_see(self, gat, seen):
        with pytest.raises(ValueError, match="Feature names unseen at fit time:\n- colour"):
            gat.predict(seen.assign(colour=1.0))

    def test_nan_for_an_unknown_dataset(self, gat, encoded):
        with pytest.raises(ValueError, match="Column 'dataset__numeric_0' holds NaN or infinite values"):
            gat.predict(encoded.assign(dataset="new", dataset__numeric_0=np.nan))


class TestStress:
    @pytest.mark.parametrize("kind", ["none", "zscore", "rank", "balanced"])
    @pytest.mark.parametrize(
        "scores",
        [[0.5] * 4, [0.0] * 4, [1e-12, 3e-12, 2e-12, 5e-12], [1e12, 3e12, 2e12, 5e12], [1.0, 1.0, 1.0, 1.0 + 1e-15]],
    )
    def test_scores_of_any_size(self, scores, kind):
        frame = small(score=scores)
        gat = TransferabilityGAT(target_transform=kind, **TINY).fit(frame)
        for found in gat.predict(frame, return_std=True):
            assert np.isfinite(found).all()
        constant = np.ptp(scores) <= 1e-14 * max(scores)
        assert_allclose(gat.predict(frame), scores, rtol=1e-12, atol=0 if constant else 2 * np.ptp(scores))

    @pytest.mark.parametrize("early_stopping", [False, True])
    @pytest.mark.parametrize(
        "frame",
        [
            small().iloc[:2],
            small().iloc[[0, 3]],
            pd.DataFrame({"model": range(5), "dataset": [0, 0, 1, 1, 1], "score": np.arange(5) / 5}),
        ],
        ids=["two records", "two islands", "a record a model"],
    )
    def test_few_records(self, frame, early_stopping):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X has a single", UserWarning)
            gat = TransferabilityGAT(early_stopping=early_stopping, n_neighbors=2, **TINY).fit(frame)
        for found in gat.predict(frame, return_std=True):
            assert np.isfinite(found).all()
        assert np.isfinite(gat.loss_curve_).all()

    def test_constant_and_huge_features(self, seen):
        odd = seen.assign(model__constant=7.0, dataset__huge=seen["dataset__numeric_0"] * 1e15, pair__zero=0.0)
        gat = TransferabilityGAT(**TINY).fit(odd)
        assert np.isfinite(gat.predict(odd.assign(dataset="new"))).all()


def test_exploring_warns_of_an_unknown_id_once():
    records = make_transfer_records(6, 8, random_state=0).records[["model", "dataset", "score"]]
    fitted = TransferabilityGAT(**TINY).fit(records)
    with pytest.warns(UnknownEntityWarning) as caught:
        recommend(fitted, "never seen", k=2, strategy="ucb")
    assert len(caught) == 1
