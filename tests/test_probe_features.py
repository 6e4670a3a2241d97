"""Datasets by the features of a probe model: what is described, who is alike, what is refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, make_records, metrics
from skgat.baselines import BiasRegressor, TransferSpaceRegressor
from skgat.datasets import load_digits_zoo
from skgat.embedding import ProbeEncoder, domain_similarity, label_similarity
from skgat.embedding import _features as features_module
from skgat.model_selection import LeaveDatasetsOut
from skgat.persistence import load, save


def clouds(n_datasets=6, n=60, width=5, seed=0):
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(n_datasets):
        labels = rng.integers(0, 3, n)
        centers = rng.normal(size=(3, width)) * 2 + rng.normal(size=width) * 3
        found[f"d{number}"] = (centers[labels] + rng.normal(size=(n, width)), labels)
    return found


@pytest.fixture(scope="module")
def data():
    return clouds()


@pytest.fixture(scope="module")
def table(data):
    return ProbeEncoder(n_components=3, n_spectrum=2).fit_transform(data)


def test_means_are_principal_components(data, table):
    means = np.array([features.mean(axis=0) for features, _ in data.values()])
    expected = PCA(3, svd_solver="full").fit_transform(means)
    found = table.filter(like="mean").to_numpy()
    assert_allclose(np.abs(found), np.abs(expected), rtol=1e-8)


def test_the_spectrum_is_that_of_the_covariance(data, table):
    for name, (features, labels) in data.items():
        sizes = np.linalg.eigvalsh(np.cov(features.T, bias=True))[::-1]
        shares = sizes / sizes.sum()
        row = table.loc[name]
        assert_allclose(row[["probe_spectrum0", "probe_spectrum1"]], np.log(shares[:2]))
        assert row["probe_rank"] == pytest.approx(-(shares * np.log(shares)).sum())
        assert row["probe_spread"] == pytest.approx(np.log(features.var(axis=0).sum()))
        assert row["probe_samples"] == pytest.approx(np.log(len(features)))
        assert row["probe_classes"] == pytest.approx(np.log(3))
        between = sum(
            (labels == c).mean() * ((features[labels == c].mean(axis=0) - features.mean(axis=0)) ** 2).sum()
            for c in range(3)
        )
        within = features.var(axis=0).sum() - between
        assert row["probe_separation"] == pytest.approx(np.log1p((between - 2 / 57 * within) / within))


def test_separation_sees_labels_that_mean_something(data):
    rng = np.random.default_rng(0)
    shuffled = {f"{name}'": (features, rng.permutation(labels)) for name, (features, labels) in data.items()}
    table = ProbeEncoder().fit_transform(data | shuffled)
    separation = table["probe_separation"].to_numpy()
    assert (separation[:6] > 3 * separation[6:]).all()
    assert separation[6:].mean() < 0.05


def test_balance():
    features = np.random.default_rng(0).normal(size=(40, 3))
    even, odd = np.arange(40) % 4, np.where(np.arange(40) < 37, 0, np.arange(40))
    table = ProbeEncoder().fit_transform({"even": (features, even), "odd": (features, odd)})
    assert table.loc["even", "probe_balance"] == pytest.approx(1.0)
    assert table.loc["odd", "probe_balance"] < 0.5


def test_few_rows_of_many_features():
    rng = np.random.default_rng(0)
    wide = {name: rng.normal(size=(8, 30)) for name in "abc"}
    table = ProbeEncoder(n_spectrum=7).fit_transform(wide)
    sizes = np.linalg.eigvalsh(np.cov(wide["a"].T, bias=True))[::-1][:7]
    assert_allclose(table.loc["a"].filter(like="spectrum"), np.log(sizes / sizes.sum()), rtol=1e-8)


def test_blocks_change_nothing(monkeypatch, data, table):
    monkeypatch.setattr(features_module, "_BLOCK", 35)
    again = ProbeEncoder(n_components=3, n_spectrum=2).fit_transform(data)
    assert_allclose(again, table, rtol=1e-9, atol=1e-9)


def test_files_tensors_and_label_types(tmp_path, data, table):
    forms = {}
    for name, (features, labels) in data.items():
        np.save(tmp_path / f"{name}.npy", features)
        forms[name] = (str(tmp_path / f"{name}.npy"), np.array(["x", "y", "z"])[labels].astype(object))
    forms["d0"] = (tmp_path / "d0.npy", torch.as_tensor(data["d0"][1]))
    forms["d1"] = (torch.as_tensor(data["d1"][0]), data["d1"][1] * 10 - 3)
    again = ProbeEncoder(n_components=3, n_spectrum=2).fit_transform(pd.Series(forms))
    assert_allclose(again, table, rtol=1e-9, atol=1e-12)


def test_order_of_rows_and_datasets(data, table):
    rng = np.random.default_rng(1)
    mixed = {}
    for name in reversed(list(data)):
        order = rng.permutation(60)
        mixed[name] = (data[name][0][order], data[name][1][order])
    encoder = ProbeEncoder(n_components=3, n_spectrum=2).fit(data)
    assert_allclose(encoder.transform(mixed).loc[table.index], table, rtol=1e-9, atol=1e-9)
    assert_array_equal(encoder.transform({"d3": data["d3"]}), table.loc[["d3"]])


def test_labels_are_described_if_all_have_them(data):
    without = {name: features for name, (features, _) in data.items()}
    some = without | {"d0": data["d0"]}
    for given in (without, some):
        encoder = ProbeEncoder().fit(given)
        assert not encoder.has_labels_
        assert "probe_classes" not in encoder.get_feature_names_out()
    with pytest.raises(ValueError, match=r"Got no labels for dataset 'd0', but expected \(features, labels\)"):
        ProbeEncoder().fit(data).transform(without)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda frame: frame.astype("Float64"),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        lambda frame: frame.astype(object).assign(**{"0": frame["0"].to_numpy()}),
        lambda frame: frame.astype({"0": bool}),
    ],
    ids=["nullable", "pyarrow", "objects", "booleans"],
)
def test_frames_of_any_numbers(wrap):
    frames = {
        name: pd.DataFrame(x).rename(columns=str).assign(**{"0": x[:, 0] > 0}) for name, (x, _) in clouds().items()
    }
    wrapped = {name: wrap(frame.astype(float)) for name, frame in frames.items()}
    plain = {name: frame.to_numpy(dtype=float) for name, frame in frames.items()}
    assert_allclose(ProbeEncoder().fit_transform(wrapped), ProbeEncoder().fit_transform(plain))
    with pytest.raises(ValueError, match=r"for dataset 'd0', but expected numbers"):
        ProbeEncoder().fit(wrapped | {"d0": wrapped["d0"].astype(object).assign(**{"1": "a"})})


def test_features_that_do_not_vary():
    table = ProbeEncoder().fit_transform({"a": np.ones((5, 3)), "b": np.zeros((5, 3))})
    assert np.isfinite(table).all(axis=None)


def test_saved_pickled_and_cloned(tmp_path, data):
    encoder = ProbeEncoder().fit(data)
    save(encoder, tmp_path / "probe.skgat")
    for other in (load(tmp_path / "probe.skgat"), pickle.loads(pickle.dumps(encoder)), clone(encoder).fit(data)):
        assert_array_equal(other.transform(data), encoder.transform(data))


def test_set_output(data):
    polars = pytest.importorskip("polars")
    encoder = ProbeEncoder().set_output(transform="polars").fit(data)
    assert isinstance(encoder.transform(data), polars.DataFrame)


def test_a_probe_tells_which_models_suit_an_unknown_dataset():
    zoo = load_digits_zoo()
    scores = zoo.records[["model", "dataset", "score"]]
    probe = "resnet.upright"
    datasets = {name: (zoo.features[probe, name], zoo.labels[name]) for name in scores["dataset"].unique()}
    found = {"bias": [], "probe": []}
    for known, hidden in LeaveDatasetsOut(n_splits=4).split(scores):
        train, test = scores.iloc[known], scores.iloc[hidden]
        encoder = ProbeEncoder().fit({name: datasets[name] for name in train["dataset"].unique()})
        records = make_records(train, datasets=encoder.transform({n: datasets[n] for n in train["dataset"].unique()}))
        space = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0)).fit(records)
        asked = make_records(test, datasets=encoder.transform({n: datasets[n] for n in test["dataset"].unique()}))
        for name, predicted in (("probe", space.predict(asked)), ("bias", BiasRegressor().fit(train).predict(test))):
            found[name].append(metrics.weighted_kendall(test["score"], predicted, groups=test["dataset"]))
    assert np.mean(found["probe"]) > np.mean(found["bias"]) + 0.05


@pytest.mark.parametrize("metric", ["cosine", "correlation", "euclidean"])
def test_similarity_of_means_agrees_with_scipy(data, metric):
    means = np.array([features.mean(axis=0) for features, _ in data.values()])
    distances = cdist(means, means, metric)
    expected = 1 / (1 + distances) if metric == "euclidean" else 1 - distances
    found = domain_similarity(data, metric)
    assert found.index.tolist() == found.columns.tolist() == list(data)
    assert_allclose(found, expected, atol=1e-7)
    assert_array_equal(np.diag(found), 1.0)


@pytest.mark.parametrize("metric", ["cosine", "correlation", "euclidean"])
def test_similarity_of_class_means(data, metric):
    tables = [np.array([x[y == c].mean(axis=0) for c in range(3)]) for x, y in data.values()]
    expected = np.empty((6, 6))
    for i, a in enumerate(tables):
        for j, b in enumerate(tables):
            near = cdist(a, b, metric)
            near = 1 / (1 + near) if metric == "euclidean" else 1 - near
            expected[i, j] = (near.max(axis=1).mean() + near.max(axis=0).mean()) / 2
    found = domain_similarity(data, metric, by="class_means")
    assert_allclose(found, expected, atol=1e-7)
    assert_array_equal(found, found.T)


def test_similar_domains_are_found():
    zoo = load_digits_zoo()
    names = zoo.datasets["dataset"].tolist()
    model = zoo.models["model"][0]
    similar = domain_similarity({name: zoo.features[model, name] for name in names}, "correlation").to_numpy()
    same = np.equal.outer(zoo.datasets["transformation"].to_numpy(), zoo.datasets["transformation"].to_numpy())
    others = ~np.eye(len(names), dtype=bool)
    assert similar[same & others].mean() > similar[~same].mean() + 0.2


def test_label_similarity_is_the_jaccard_index():
    labels = {"a": ["x", "y"], "b": np.array(["y", "z", "z"]), "c": pd.Series(["q"]), "d": ("x", "y")}
    expected = [[1, 1 / 3, 0, 1], [1 / 3, 1, 0, 1 / 3], [0, 0, 1, 0], [1, 1 / 3, 0, 1]]
    found = label_similarity(labels)
    assert_allclose(found, expected)
    assert found.index.tolist() == list("abcd")
    assert_array_equal(label_similarity(pd.Series(labels)), found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": np.ones((3, 2)), "b": np.ones((3, 4))}, "Got 4 features for dataset 'b' and 2 for dataset 'a', but"),
        ({"a": np.ones(3)}, r"Got features of shape \(3,\) and dtype float64 for dataset 'a', but expected numbers"),
        ({"a": np.array([["x"], ["y"]])}, "dtype <U1 for dataset 'a', but expected numbers, one row a sample"),
        ({"a": np.ones((1, 3))}, r"Got 1 row\(s\) of features for dataset 'a', but expected at least 2"),
        ({"a": np.array([[1.0], [np.nan]])}, "Got features with NaN or infinite values for dataset 'a', expected"),
        ({"a": (np.ones((3, 2)), [1, 2])}, r"Got labels of shape \(2,\) for the 3 rows of dataset 'a', but expected"),
        ({"a": (np.ones((3, 2)), [1, None, 2])}, r"Got 1 missing label\(s\) for dataset 'a', but expected none"),
        (
            {"a": (np.ones((3, 2)), [1, 2, 2], 3)},
            r"Got a tuple of 3 for dataset 'a', but expected \(features, labels\)",
        ),
        ({}, "got no datasets, but expected at least 1"),
    ],
)
def test_bad_features(given, message):
    for function in (ProbeEncoder().fit, domain_similarity):
        with pytest.raises(ValueError, match=message):
            function(given)


def test_ids_that_a_series_repeats_are_refused(data):
    features = [features for features, _ in data.values()][:3]
    again = pd.Series(features, index=["a", "b", "a"])
    for function in (ProbeEncoder().fit, ProbeEncoder().fit_transform, ProbeEncoder().fit(data).transform):
        with pytest.raises(ValueError, match="Got datasets with the id 'a' more than once, but expected one entry"):
            function(again)
    with pytest.raises(ValueError, match="Got datasets with the id 'a' more than once"):
        domain_similarity(again)
    with pytest.raises(ValueError, match="Got labels with the id 7 more than once, but expected one entry a dataset"):
        label_similarity(pd.Series([["x"], ["y"], ["z"]], index=[3, 7, 7]))


def test_more_bad_input(data, tmp_path):
    with pytest.raises(TypeError, match="Got datasets of type list, but expected a dict from dataset ids"):
        ProbeEncoder().fit([np.ones((3, 2))])
    (tmp_path / "x.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"x\.npy' for dataset 'a', but expected an \.npy file of numbers"):
        ProbeEncoder().fit({"a": tmp_path / "x.npy"})
    with pytest.raises(ValueError, match="Got 2 features for dataset 'a', but expected the 5 of the probe model"):
        ProbeEncoder().fit(data).transform({"a": (np.ones((3, 2)), [0, 1, 1])})
    with pytest.raises(ValueError, match="Got metric='manhattan', but expected one of"):
        domain_similarity(data, "manhattan")
    with pytest.raises(ValueError, match="Got by='median', but expected one of"):
        domain_similarity(data, by="median")
    with pytest.raises(ValueError, match="Got no labels for dataset 'a', but expected"):
        domain_similarity({"a": np.ones((3, 2))}, by="class_means")
    with pytest.raises(TypeError, match="Got 'cat, dog' as the labels of dataset 'a', but expected a list"):
        label_similarity({"a": "cat, dog"})
    with pytest.raises(ValueError, match="Got no labels for dataset 'a', but expected at least 1"):
        label_similarity({"a": []})
    with pytest.raises(TypeError, match="Got labels of type list, but expected a dict"):
        label_similarity(["cat"])


def test_copies_far_from_the_origin_are_alike():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 16)) + 1e5
    labels = np.arange(50) % 3
    given = {"a": (features, labels), "copy": (features.copy(), labels)}
    assert domain_similarity(given, "euclidean", by="class_means").to_numpy()[0, 1] == 1.0
    moved = domain_similarity({"a": features, "moved": features + 1e-3}, "euclidean").to_numpy()[0, 1]
    assert moved == pytest.approx(1 / (1 + 4e-3), rel=1e-6)


def test_half_precision_tensors_and_pairs_as_lists():
    features = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    labels = np.arange(20) % 2
    found = domain_similarity({"a": features.bfloat16(), "b": features.bfloat16().float()})
    assert found.to_numpy()[0, 1] == pytest.approx(1.0)
    pairs = [{"a": kind([features.numpy(), labels]), "b": (features.numpy() + 1, labels)} for kind in (list, tuple)]
    assert_array_equal(*(domain_similarity(given, by="class_means") for given in pairs))
