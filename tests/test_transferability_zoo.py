"""score_zoo: one frame of many models, shared work, resumable, with failures that stay where they are."""

import json
import os
import re
import subprocess
import sys
import textwrap
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest

from skgat import transferability as tr
from skgat.transferability import _moments, score_zoo

SPECTRAL = ["logme", "h_score", "regularized_h_score", "sfda", "transrate", "lfc", "lda", "gbc"]


def make_zoo(n=150, n_models=4, d=10, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 3)
    zoo = {f"m{i}": 0.4 * i * rng.normal(size=(3, d))[y] + rng.normal(size=(n, d)) for i in range(n_models)}
    return zoo, y


def counted(calls, name, X):
    calls.append(name)
    return X


@pytest.mark.parametrize("shape", [(150, 10), (40, 60), (150, 60)])
@pytest.mark.filterwarnings("ignore:h_score of")
def test_every_measure_is_what_it_is_by_itself(shape):
    zoo, y = make_zoo(shape[0], d=shape[1])
    measures = [name for name in tr.__all__ if name not in ("score_zoo", "select_ensemble", "leep", "nce", "ncti")]
    scores = score_zoo(zoo, y, measures)
    assert list(scores.columns) == ["model", *measures]
    assert list(scores["model"]) == list(zoo)
    for row, X in enumerate(zoo.values()):
        for measure in measures:
            # PACTran could take features that look like probabilities for such.
            alone = getattr(tr, measure)(X, y)
            assert scores[measure].iloc[row] == pytest.approx(alone, rel=1e-6), measure


def test_spectral_measures_read_and_factorise_once(monkeypatch):
    zoo, y = make_zoo(n_models=1)
    calls = []
    eigh = _moments.eigh
    monkeypatch.setattr(_moments, "eigh", lambda *args: calls.append("eigh") or eigh(*args))
    reads = []
    source = {"m": lambda: reads.append("read") or zoo["m0"]}
    score_zoo(source, y, [*SPECTRAL, "ncti", "nleep"])
    assert len(reads) == 1
    # Principal axes for gbc, ncti and nleep; LogME has the one of the raw features.
    assert len(calls) == 1


def test_order_of_measures_and_names():
    zoo, y = make_zoo()
    scores = score_zoo(zoo, y, ("lfc", "logme"), dataset="flowers")
    assert list(scores.columns) == ["model", "dataset", "lfc", "logme"]
    assert set(scores["dataset"]) == {"flowers"}
    assert not scores.isna().any().any()
    pd.testing.assert_frame_equal(score_zoo(zoo, y, "logme"), score_zoo(zoo, y))


def test_params_reach_their_measure():
    zoo, y = make_zoo(n_models=1)
    scores = score_zoo(zoo, y, ["parc", "gbc"], params={"parc": {"n_dims": 3}, "gbc": {"covariance": "diag"}})
    assert scores["parc"].iloc[0] == pytest.approx(tr.parc(zoo["m0"], y, n_dims=3))
    assert scores["gbc"].iloc[0] == pytest.approx(tr.gbc(zoo["m0"], y, covariance="diag"))


def test_real_targets(tmp_path):
    zoo, _ = make_zoo()
    targets = zoo["m1"][:, :2] + np.random.default_rng(0).normal(size=(150, 2))
    for _ in range(2):
        scores = score_zoo(zoo, targets, ["lfc", "logme"], regression=True, cache_dir=tmp_path)
        for measure in ("lfc", "logme"):
            expected = [getattr(tr, measure)(X, targets, regression=True) for X in zoo.values()]
            np.testing.assert_allclose(scores[measure], expected, rtol=1e-9)
    assert scores.set_index("model")["logme"].idxmax() == "m1"
    with pytest.raises(ValueError, match=r"Got measure='sfda', but expected one of \['lfc', 'logme'\]"):
        score_zoo(zoo, targets, ["sfda"], regression=True)
    with pytest.warns(RuntimeWarning, match="Got 150 targets for 149 rows"):
        score_zoo({"m": zoo["m0"][1:]}, targets, regression=True)


def test_other_files_are_refused(tmp_path):
    zoo, y = make_zoo(n_models=1)
    np.savez(tmp_path / "x.npz", zoo["m0"])
    np.save(tmp_path / "o.npy", zoo["m0"].astype(object))
    for name in ("x.npz", "o.npy"):
        with pytest.warns(RuntimeWarning, match=rf"{name}', but expected an \.npy file of numbers"):
            score_zoo({"m": tmp_path / name}, y)


def test_ncti_is_scaled_over_the_zoo():
    zoo, y = make_zoo()
    scores = score_zoo(zoo, y, ["ncti"])
    parts = pd.DataFrame([tr.ncti(X, y, return_parts=True) for X in zoo.values()])
    expected = ((parts - parts.min()) / (parts.max() - parts.min())).sum(axis=1)
    np.testing.assert_allclose(scores["ncti"], expected, rtol=1e-9)
    np.testing.assert_allclose(scores[["ncti_seli", "ncti_ncc", "ncti_vc"]], parts, rtol=1e-9)
    assert score_zoo({"only": zoo["m1"]}, y, ["ncti"])["ncti"].iloc[0] == 0


def test_sources_of_every_kind(tmp_path):
    torch = pytest.importorskip("torch")
    zoo, y = make_zoo(n_models=1)
    X = zoo["m0"].astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    P = np.random.default_rng(0).dirichlet(np.ones(5), size=len(y))
    np.save(tmp_path / "p.npy", P)
    same = {
        "array": X,
        "path": tmp_path / "x.npy",
        "string": str(tmp_path / "x.npy"),
        "map": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "tensor": torch.tensor(X),
        "call": lambda: X,
        "call of a path": lambda: tmp_path / "x.npy",
        "mapping": {"features": tmp_path / "x.npy"},
        "call of a mapping": lambda: {"features": lambda: X},
    }
    scores = score_zoo(same, y, ["logme", "sfda", "parc", "knn"])
    for measure in ("logme", "sfda", "parc", "knn"):
        np.testing.assert_allclose(scores[measure], getattr(tr, measure)(X, y), rtol=1e-6)
    both = {"features": X, "probabilities": tmp_path / "p.npy", "source_labels": P.argmax(axis=1)}
    scores = score_zoo({"a": both, "b": {"probabilities": P}}, y, ["leep", "nce", "pactran"])
    for measure in ("leep", "nce", "pactran"):
        np.testing.assert_allclose(scores[measure], getattr(tr, measure)(P, y), rtol=1e-9)
    labels_only = score_zoo({"a": {"source_labels": P.argmax(axis=1)}}, y, ["nce"])
    assert labels_only["nce"].iloc[0] == tr.nce(P, y)


def test_files_are_read_in_blocks_to_the_same_scores(tmp_path, monkeypatch):
    """As if neither the centred features nor all rows fitted in memory."""
    zoo, y = make_zoo(n=600)
    np.save(tmp_path / "x.npy", zoo["m1"])
    expected = score_zoo({"m": zoo["m1"]}, y, [*SPECTRAL, "ncti", "knn", "linear_probe", "parc"])
    monkeypatch.setattr(_moments, "_KEEP_BYTES", 0)
    monkeypatch.setattr("skgat.transferability._inputs._BLOCK_BYTES", 1)
    found = score_zoo({"m": tmp_path / "x.npy"}, y, [*SPECTRAL, "ncti", "knn", "linear_probe", "parc"])
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


def test_one_failing_model_is_told_and_the_others_are_scored(tmp_path):
    zoo, y = make_zoo()
    zoo["m1"] = np.full_like(zoo["m1"], np.nan)
    zoo["m2"] = tmp_path / "nowhere.npy"
    zoo["weird"] = {"embeddings": zoo["m0"]}
    with pytest.warns(RuntimeWarning, match=re.escape("3 of 5 model(s) could not be scored by all measures")):
        scores = score_zoo(zoo, y, ["logme", "lfc"], cache_dir=tmp_path / "cache")
    assert scores.set_index("model")["logme"].isna().to_dict() == {
        "m0": False, "m1": True, "m2": True, "m3": False, "weird": True,
    }  # fmt: skip
    errors = scores.attrs["errors"]
    assert set(errors) == {"m1", "m2", "weird"}
    assert errors["m1"]["lfc"] == "ValueError: Got features with NaN or infinite values, expected finite numbers."
    assert errors["m2"]["logme"].startswith("FileNotFoundError")
    assert "keys ['embeddings'], but expected some of" in errors["weird"]["logme"]


def test_one_failing_measure_does_not_cost_the_others():
    zoo, y = make_zoo(n_models=2)
    with pytest.warns(RuntimeWarning, match=r"'m0': ValueError: Got a source with \['features'\], but expected"):
        scores = score_zoo(zoo, y, ["logme", "leep", "ncti"])
    assert scores["leep"].isna().all()
    assert scores[["logme", "ncti"]].notna().all(axis=None)
    assert list(scores.attrs["errors"]["m0"]) == ["leep"]


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
def test_backends_of_joblib(backend):
    zoo, y = make_zoo(n_models=3)
    expected = score_zoo(zoo, y, ["logme", "nleep"])
    with joblib.parallel_config(backend=backend):
        pd.testing.assert_frame_equal(score_zoo(zoo, y, ["logme", "nleep"], n_jobs=2), expected)


def test_a_run_that_was_cut_off_goes_on(tmp_path):
    zoo, y = make_zoo()
    calls = []

    def interrupted():
        raise KeyboardInterrupt

    sources = {name: (lambda name=name: counted(calls, name, zoo[name])) for name in zoo}
    with pytest.raises(KeyboardInterrupt):
        score_zoo(sources | {"m2": interrupted}, y, cache_dir=tmp_path)
    assert calls == ["m0", "m1"]
    scores = score_zoo(sources, y, cache_dir=tmp_path)
    assert calls == ["m0", "m1", "m2", "m3"]
    pd.testing.assert_frame_equal(scores, score_zoo(zoo, y))
    # A further measure needs the features again, a known one does not.
    score_zoo(sources, y, ["logme", "lfc", "ncti"], cache_dir=tmp_path)
    assert len(calls) == 8
    again = score_zoo(sources, y, ["ncti", "lfc"], cache_dir=tmp_path)
    assert len(calls) == 8
    pd.testing.assert_frame_equal(again, score_zoo(zoo, y, ["ncti", "lfc"]))
    assert not [name for name in os.listdir(tmp_path) if not name.endswith(".json")]


def test_the_cache_knows_contents_labels_and_arguments(tmp_path, monkeypatch):
    zoo, y = make_zoo(n_models=1)
    X = zoo["m0"]
    np.save(tmp_path / "x.npy", X)
    calls = []
    score_model = tr.zoo.score_model
    monkeypatch.setattr(tr.zoo, "score_model", lambda *args: calls.append(1) or score_model(*args))

    def taken(source, labels=y, **kwargs):
        del calls[:]
        score_zoo({"m": source}, labels, ["parc"], cache_dir=tmp_path / "c", **kwargs)
        return bool(calls)

    assert taken(X)
    assert not taken(X.copy())
    assert not taken(X, labels=np.array(list("abc"))[y])
    assert taken(X + 1e-9)
    assert taken(X, labels=np.roll(y, 1))
    assert taken(X, params={"parc": {"n_dims": 3}})
    assert not taken(X, params={"parc": {"n_dims": 3}})
    assert taken(tmp_path / "x.npy")
    assert not taken(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", X[:, :5])
    assert taken(tmp_path / "x.npy")
    # Of the same size, and with its time of change set back.
    before = os.stat(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", X[:, 5:])
    os.utime(tmp_path / "x.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert taken(tmp_path / "x.npy")
    assert not taken(tmp_path / "x.npy")


class Loader:
    """A callable without a name."""

    def __init__(self, path):
        self.path = path

    def __call__(self):
        return np.load(self.path)


def read(loader):
    return loader()


def test_the_cache_knows_what_callables_are_given(tmp_path):
    zoo, y = make_zoo(n_models=2)
    one, two = tmp_path / "one.npy", tmp_path / "two.npy"
    for path, X in zip((one, two), zoo.values(), strict=True):
        np.save(path, X)
    expected = list(score_zoo(zoo, y)["logme"])
    makers = {
        "path": lambda path: partial(np.load, path),
        "text": lambda path: partial(np.load, str(path), mmap_mode=None),
        "keyword": lambda path: partial(np.load, file=path),
        "array": lambda path: partial(np.multiply, np.load(path), np.float64(1)),
        "partial of a partial": lambda path: partial(read, partial(np.load, path)),
        "in a mapping": lambda path: {"features": partial(np.load, path)},
        "no name": Loader,
        "partial of no name": lambda path: partial(read, Loader(path)),
    }
    for kind, make in makers.items():
        cache = tmp_path / kind
        for _ in range(2):
            found = [score_zoo({"m": make(path)}, y, cache_dir=cache)["logme"].iloc[0] for path in (one, two)]
            assert found == expected, kind
        # What cannot be told apart is not kept.
        assert len(list(cache.iterdir())) == (0 if "no name" in kind else 2), kind


def test_a_torn_cache_file_is_taken_as_unknown(tmp_path):
    zoo, y = make_zoo(n_models=1)
    expected = score_zoo(zoo, y, cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    assert list(json.loads(file.read_text()).values()) == [expected["logme"].iloc[0]]
    file.write_text('{"logme|{}": 0.')
    pd.testing.assert_frame_equal(score_zoo(zoo, y, cache_dir=tmp_path), expected)


@pytest.mark.parametrize(
    ("measure", "spoilt"),
    [
        ("logme", {"x": 1}),
        ("logme", float("nan")),
        ("logme", float("-inf")),
        ("logme", 10**400),
        ("logme", True),
        ("logme", "0.5"),
        ("ncti", {"ncc": 0.5, "vc": 0.5}),
        ("ncti", {"seli": 0.5, "ncc": 0.5, "vc": 0.5, "more": 0.5}),
        ("ncti", {"seli": 0.5, "ncc": None, "vc": 0.5}),
        ("ncti", {"seli": 0.5, "ncc": float("inf"), "vc": 0.5}),
        ("ncti", 0.5),
    ],
)
def test_what_is_no_score_in_a_cache_file_is_taken_as_unknown(tmp_path, measure, spoilt):
    zoo, y = make_zoo(n_models=1)
    expected = score_zoo(zoo, y, [measure], cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    good = json.loads(file.read_text())
    file.write_text(json.dumps(dict.fromkeys(good, spoilt)))
    pd.testing.assert_frame_equal(score_zoo(zoo, y, [measure], cache_dir=tmp_path), expected)
    assert json.loads(file.read_text()) == good


def test_a_cache_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    zoo, y = make_zoo(n_models=1)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("skgat.transferability._cache.replace_file", full)
    with pytest.warns(RuntimeWarning, match="could not be scored by all measures"):
        scores = score_zoo(zoo, y, cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())
    # What was computed is handed back; that it will be computed again is told.
    assert scores["logme"].iloc[0] == tr.logme(zoo["m0"], y)
    assert scores.attrs["errors"] == {"m0": {"cache": "OSError: no space left"}}


def test_progress_goes_to_stderr(capsys):
    zoo, y = make_zoo(n_models=2)
    score_zoo(zoo, y)
    assert capsys.readouterr().err == ""
    score_zoo(zoo, y, verbose=1)
    err = capsys.readouterr().err
    assert re.fullmatch(r"\[1/2\] m0: done in \d+\.\d s\n\[2/2\] m1: done in \d+\.\d s\n", err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"zoo": np.eye(3)}, "Got a zoo of type ndarray, but expected a mapping of at least one model id"),
        ({"zoo": {}}, "Got a zoo of type dict, but expected a mapping of at least one model id"),
        ({"measures": ["logme", "log_me"]}, "Got measure='log_me', but expected one of"),
        ({"measures": []}, r"Got measures=\(\), but expected at least one, each once"),
        ({"measures": ["lfc", "lfc"]}, "but expected at least one, each once"),
        ({"params": {"parc": {}}}, "Got params for 'parc', but expected only measures"),
        ({"labels": np.zeros(150)}, r"Got labels with 1 class\(es\)"),
    ],
)
def test_what_cannot_be_asked(arguments, message):
    zoo, y = make_zoo()
    with pytest.raises(ValueError, match=message):
        score_zoo(**({"zoo": zoo, "labels": y} | arguments))


def test_inputs_are_left_alone():
    zoo, y = make_zoo(n_models=2)
    before = {name: X.copy() for name, X in zoo.items()}
    for X in zoo.values():
        X.setflags(write=False)
    score_zoo(zoo, y, [*SPECTRAL, "ncti", "nleep", "parc", "knn", "linear_probe", "pactran"])
    for name, X in zoo.items():
        np.testing.assert_array_equal(X, before[name])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_large_files_take_little_memory(tmp_path):
    """400 MB of features are scored in less than 250 MB."""
    code = """
        import resource, sys
        import numpy as np
        from skgat.transferability import score_zoo, _moments
        _moments._KEEP_BYTES = 0
        rng = np.random.default_rng(0)
        n, d = 400_000, 256
        file = np.lib.format.open_memmap(sys.argv[1], mode="w+", dtype=np.float32, shape=(n, d))
        for start in range(0, n, 20_000):
            file[start:start + 20_000] = rng.random((20_000, d), dtype=np.float32)
        del file
        y = rng.integers(3, size=n)
        score_zoo({"m": rng.random((300, 4))}, y[:300], ["logme", "h_score"])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        score_zoo({"m": sys.argv[1]}, y, ["logme", "h_score", "regularized_h_score", "lfc"])
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    path = tmp_path / "x.npy"
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    out = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(out.stdout) < 250
