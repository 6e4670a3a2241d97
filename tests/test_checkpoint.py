"""Fits that are cut off go on to the same bits, and nothing else is taken for their checkpoint."""

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

import skgat
from skgat import MetadataEncoder, TransferabilityGAT, persistence, presets
from skgat._files import is_held
from skgat.datasets import make_transfer_records
from skgat.gat import checkpoint

ROOT = Path(skgat.__file__).parent.parent
TINY = {"max_iter": 12, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0, "device": "cpu"}
VARIANTS = {
    "default": (TransferabilityGAT, {}),
    "early_stopping": (TransferabilityGAT, {"early_stopping": True, "n_iter_no_change": 9, "tol": 1e-6}),
    "constant_step": (TransferabilityGAT, {"schedule": False, "n_neighbors": 2, "decoder": "mlp"}),
    "paper": (presets.scg4trf, {}),
}


@pytest.fixture(scope="module")
def encoded():
    return MetadataEncoder().fit_transform(make_transfer_records(8, 7, fill=0.8, random_state=1).records)


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """A checkpoint after every epoch."""
    monkeypatch.setattr(checkpoint, "_REST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "_REST_SHARE", 0.0)


def make(name="default", **params):
    maker, more = VARIANTS[name]
    return maker(**TINY | more | params)


def bits(gat, frame):
    learned = [*gat.network_.weights.values(), gat.loss_curve_, getattr(gat, "validation_scores_", [])]
    return [np.asarray(part).tobytes() for part in (*gat.predict(frame, return_std=True), *learned)]


class CutOff(BaseException):
    """What no code of a fit catches."""


def cut_off(gat, frame, monkeypatch, after):
    """Fit until so many checkpoints were written."""
    written, keep = [], checkpoint.Checkpoint.keep

    def counting(self, trainer):
        keep(self, trainer)
        written.append(len(trainer.losses))
        if len(written) == after:
            raise CutOff

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "keep", counting)
        with pytest.raises(CutOff):
            gat.fit(frame)
    return written


def epochs_run(gat, frame, monkeypatch):
    """How many epochs a fit ran."""
    from skgat.gat.trainer import Trainer

    count, epoch = [], Trainer.epoch

    def counting(self):
        count.append(1)
        return epoch(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epoch", counting)
        gat.fit(frame)
    return len(count)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("after", [1, 7])
def test_goes_on_to_the_same_bits(encoded, tmp_path, monkeypatch, name, after):
    whole = make(name).fit(encoded)
    assert cut_off(make(name, checkpoint_dir=tmp_path), encoded, monkeypatch, after) == list(range(1, after + 1))
    assert [path.suffix for path in tmp_path.iterdir()] == [".checkpoint"]
    again = make(name, checkpoint_dir=str(tmp_path))
    assert epochs_run(again, encoded, monkeypatch) == whole.n_iter_ - after
    assert bits(again, encoded) == bits(whole, encoded)
    assert list(tmp_path.iterdir()) == []


def test_the_best_state_before_the_cut_is_not_forgotten(encoded, tmp_path, monkeypatch):
    # Steps so large that the first epoch stays the best.
    params = {"early_stopping": True, "learning_rate": 5.0, "schedule": False, "n_iter_no_change": 6}
    whole = make(**params).fit(encoded)
    assert int(np.argmax(whole.validation_scores_)) < 3
    cut_off(make(**params, checkpoint_dir=tmp_path), encoded, monkeypatch, 4)
    assert bits(make(**params, checkpoint_dir=tmp_path).fit(encoded), encoded) == bits(whole, encoded)


def test_warm_starts_go_on_from_the_same_weights(encoded, tmp_path, monkeypatch):
    first = make(warm_start=True).fit(encoded)
    whole = pickle.loads(pickle.dumps(first)).fit(encoded)
    cut_off(pickle.loads(pickle.dumps(first)).set_params(checkpoint_dir=tmp_path), encoded, monkeypatch, 5)
    again = pickle.loads(pickle.dumps(first)).set_params(checkpoint_dir=tmp_path)
    assert epochs_run(again, encoded, monkeypatch) == 7
    assert bits(again, encoded) == bits(whole, encoded)


_LONG = """
import sys, pandas
from skgat import TransferabilityGAT
from skgat.gat import checkpoint
checkpoint._REST_SECONDS = checkpoint._REST_SHARE = 0
TransferabilityGAT(max_iter=200, hidden_dim=8, n_heads=2, n_estimators=1, random_state=0, device="cpu",
                   checkpoint_dir=sys.argv[2]).fit(pandas.read_pickle(sys.argv[1]))
"""


@pytest.mark.untraced
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_killed_and_resumed(encoded, tmp_path, monkeypatch):
    encoded.to_pickle(tmp_path / "records")
    folder = tmp_path / "a" / "b"
    command = [sys.executable, "-c", _LONG, str(tmp_path / "records"), str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while not list(folder.glob("*.checkpoint")):
        assert process.poll() is None, "it ended before it began"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    held = next(folder.glob("*.checkpoint"))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not is_held(held), "a dead fit holds its checkpoint no more"
    params = {"max_iter": 200, "n_estimators": 1}
    whole = make(**params).fit(encoded)
    again = make(**params, checkpoint_dir=folder)
    assert 0 < epochs_run(again, encoded, monkeypatch) < 200
    assert bits(again, encoded) == bits(whole, encoded)
    assert list(folder.iterdir()) == [], "neither the checkpoint nor a temporary file stays"


OTHER = {
    "score": lambda frame: frame.assign(score=frame["score"] + 1e-9 * np.arange(len(frame))),
    "row": lambda frame: frame.iloc[1:],
    "id": lambda frame: frame.replace({"model": {"model_0": "model_00"}}),
    "feature": lambda frame: frame.rename(columns={frame.columns[2]: frame.columns[2] + "x"}),
}


@pytest.mark.parametrize("change", OTHER)
def test_a_checkpoint_of_other_data_is_not_used(encoded, tmp_path, monkeypatch, change):
    other = OTHER[change](encoded)
    cut_off(make(checkpoint_dir=tmp_path), encoded, monkeypatch, 3)
    before = sorted(os.listdir(tmp_path))
    with pytest.warns(RuntimeWarning, match=r"holds 1 checkpoint\(s\) of fits on other data.* starts from the begin"):
        fitted = make(checkpoint_dir=tmp_path).fit(other)
    assert bits(fitted, other) == bits(make().fit(other), other)
    assert sorted(os.listdir(tmp_path)) == before, "it is still there for the fit that it belongs to"


@pytest.mark.parametrize(
    "params", [{"random_state": 1}, {"max_iter": 13}, {"learning_rate": 1e-2}, {"early_stopping": True}]
)
def test_a_checkpoint_with_other_arguments_is_not_used(encoded, tmp_path, monkeypatch, params):
    cut_off(make(checkpoint_dir=tmp_path), encoded, monkeypatch, 3)
    with pytest.warns(RuntimeWarning, match="with other arguments"):
        fitted = make(checkpoint_dir=tmp_path, **params).fit(encoded)
    assert bits(fitted, encoded) == bits(make(**params).fit(encoded), encoded)


def test_a_checkpoint_with_another_table_of_similarities_is_not_used(encoded, tmp_path, monkeypatch):
    names = sorted(encoded["dataset"].unique())
    table = pd.DataFrame(np.arange(49.0).reshape(7, 7), index=names, columns=names)
    params = {"n_neighbors": 2, "checkpoint_dir": tmp_path}
    cut_off(make(similarity=table, **params), encoded, monkeypatch, 3)
    with pytest.warns(RuntimeWarning, match="with other arguments"):
        assert epochs_run(make(similarity=-table, **params), encoded, monkeypatch) == 12
    assert epochs_run(make(similarity=table.copy(), **params), encoded, monkeypatch) == 9


def test_other_versions_begin_anew(encoded, tmp_path, monkeypatch):
    cut_off(make(checkpoint_dir=tmp_path), encoded, monkeypatch, 3)
    monkeypatch.setattr(skgat, "__version__", "9.9")
    with pytest.warns(RuntimeWarning, match="under other versions"):
        assert epochs_run(make(checkpoint_dir=tmp_path), encoded, monkeypatch) == 12


def test_what_is_printed_may_change(encoded, tmp_path, monkeypatch, capsys):
    cut_off(make(checkpoint_dir=tmp_path), encoded, monkeypatch, 3)
    again = make(checkpoint_dir=tmp_path, verbose=5)
    assert epochs_run(again, encoded, monkeypatch) == 9
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["5", "10"]


def test_the_checkpoint_of_a_living_fit_is_no_reason_to_warn(encoded, tmp_path):
    living = checkpoint.Checkpoint(tmp_path, "of-another")
    with living:
        living._file.write(b"state")
        assert is_held(living.path)
        make(checkpoint_dir=tmp_path).fit(encoded)
        assert living.path.read_bytes() == b"state"


def _damaged(path, how):
    data = path.read_bytes()
    arrays = checkpoint._read(data)
    if how == "cut":
        return data[: len(data) // 2]
    if how == "pickle":
        return pickle.dumps(arrays)
    if how == "objects":
        arrays["losses"] = np.array([{}], dtype=object)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()
    name = next(name for name in arrays if name.startswith(how))
    arrays[name] = np.zeros(3, dtype=arrays[name].dtype)
    return checkpoint._written(arrays)


@pytest.mark.parametrize("how", ["cut", "pickle", "objects", "network", "optimizer", "generator"])
def test_a_damaged_checkpoint_is_not_used(encoded, tmp_path, monkeypatch, how):
    cut_off(make(checkpoint_dir=tmp_path), encoded, monkeypatch, 3)
    path = next(tmp_path.iterdir())
    path.write_bytes(_damaged(path, how))
    with pytest.warns(RuntimeWarning, match=r"\.checkpoint' is damaged .* training starts from the beginning"):
        fitted = make(checkpoint_dir=tmp_path).fit(encoded)
    assert bits(fitted, encoded) == bits(make().fit(encoded), encoded)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_costs_the_checkpoint_and_not_the_fit(encoded, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.KeptFile, "write", full)
    with pytest.warns(RuntimeWarning, match=r"could not be written \(No space left on device\)") as caught:
        fitted = make(checkpoint_dir=tmp_path).fit(encoded)
    assert len(caught) == 1
    assert bits(fitted, encoded) == bits(make().fit(encoded), encoded)


def test_a_folder_that_cannot_be_made(encoded, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Got checkpoint_dir='.*file/x', but this folder cannot be made"):
        make(checkpoint_dir=tmp_path / "file" / "x").fit(encoded)


def test_without_a_seed_there_is_nothing_to_go_on_from(encoded, tmp_path):
    with pytest.raises(ValueError, match=r"with random_state=None, but expected an integer"):
        make(checkpoint_dir=tmp_path, random_state=None).fit(encoded)


def test_without_a_folder_nothing_is_loaded():
    code = (
        "import sys, pandas\nfrom skgat import TransferabilityGAT\n"
        "TransferabilityGAT(max_iter=2, n_estimators=1).fit(pandas.DataFrame("
        "{'model': ['a', 'b'], 'dataset': ['x', 'x'], 'score': [1.0, 2.0]}))\n"
        "assert 'skgat.gat.checkpoint' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_the_usual_rest_is_kept(encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_REST_SECONDS", 1000.0)
    monkeypatch.setattr(checkpoint.KeptFile, "write", lambda self, data: pytest.fail("too early"))
    assert make(checkpoint_dir=tmp_path).fit(encoded).n_iter_ == 12


def test_a_path_is_an_argument_like_any_other(encoded, tmp_path):
    gat = make(checkpoint_dir=tmp_path).fit(encoded)
    assert clone(gat).checkpoint_dir == tmp_path
    persistence.save(gat, tmp_path / "it")
    loaded = persistence.load(tmp_path / "it")
    assert loaded.checkpoint_dir == tmp_path
    assert_array_equal(loaded.predict(encoded), gat.predict(encoded))


def test_a_training_that_diverged_leaves_no_checkpoint_to_go_on_from(encoded, tmp_path, monkeypatch):
    """Neither when it is cut off after its weights are none, and goes on."""
    gat = make(learning_rate=1e30, checkpoint_dir=tmp_path)
    for _ in range(2):
        cut_off(clone(gat), encoded, monkeypatch, 8)
        (kept,) = tmp_path.iterdir()
        with np.load(kept) as state:
            assert not all(np.isfinite(state[name]).all() for name in state.files if name.startswith("network/"))
        with pytest.raises(ValueError, match=r"Got learning_rate=1e\+30, with which training diverged: after 12"):
            clone(gat).fit(encoded)
        assert not list(tmp_path.iterdir())
