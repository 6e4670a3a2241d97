"""Recorded steps: what is played is what the step does, and where it cannot be recorded nothing is lost.

There need not be a GPU: a tape writes down every operation of a step with the memory that it reads and writes, refuses
what a CUDA graph refuses, and plays them again on the same memory.
"""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skgat import MetadataEncoder, TransferabilityGAT, presets
from skgat.datasets import make_transfer_records
from skgat.gat import fitting, recording, trainer
from skgat.gat.edges import DenseEdges, SparseEdges

TINY = {"max_iter": 12, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0}
#: What reads something back from a device, or brings something to it.
REFUSED = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "bincount",
    "lift_fresh",
    "equal",
    "is_nonzero",
}


class Tape(TorchDispatchMode):
    """Operations in their order; after ``undo`` nothing has happened but that they are written down."""

    def __init__(self):
        super().__init__()
        self.calls, self.kept, self.alive = [], {}, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, function.overloadpacket.__name__
        masks = [t for t in tree_leaves(args[1:]) if isinstance(t, torch.Tensor) and t.dtype is torch.bool]
        if name in REFUSED or (name in ("index", "index_put_") and masks):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}\nand more")
        for argument, value in zip(function._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tree_leaves(value):
                    storage = tensor.untyped_storage()
                    self.kept.setdefault(storage.data_ptr(), (storage, storage.clone()))
        result = function(*args, **kwargs)
        # Memory of what was made is not given away, as in the pool of a CUDA graph.
        self.calls.append((function, args, kwargs, result))
        return result

    def undo(self):
        for storage, before in self.kept.values():
            storage.copy_(before)

    @torch.no_grad()
    def play(self):
        for function, args, kwargs, result in self.calls:
            for old, new in zip(tree_leaves(result), tree_leaves(function(*args, **kwargs)), strict=True):
                if (
                    isinstance(old, torch.Tensor)
                    and old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr()
                ):
                    old.copy_(new)


class OnTape:
    """A recorder for the CPU; ``seen`` counts what it was asked for."""

    def __init__(self, seen):
        self.seen = seen

    def warm_up(self, step):
        self.seen.append("warm up")
        return step()

    def record(self, step, generator):
        self.seen.append("record")
        state = generator.get_state()
        with Tape() as tape:
            result = step()
        tape.undo()
        generator.set_state(state)

        def play():
            self.seen.append("play")
            tape.play()
            return result

        return play


class AsItIs(OnTape):
    """Plays the step itself."""

    def record(self, step, generator):
        return step


@pytest.fixture(scope="module")
def records():
    records = make_transfer_records(12, 15, random_state=0).records
    records["pair__measure"] = np.random.default_rng(0).normal(size=len(records))
    return MetadataEncoder().fit_transform(records.sample(frac=0.7, random_state=0))


@pytest.fixture
def fit(records, monkeypatch):
    def fit(recorder, make=TransferabilityGAT, rows=records, **params):
        if recorder is not None:
            monkeypatch.setattr(trainer, "make_recorder", lambda *_: recorder)
        fitted = make(**TINY | params).fit(rows)
        monkeypatch.undo()
        return fitted

    return fit


VARIANTS = {
    "default": {},
    "everything": {"decoder": "mlp", "dropout": 0.2, "n_neighbors": 3, "n_layers": 2, "feature_dropout": 0.3},
    "less": {
        "decoder": "linear",
        "edge_features": False,
        "combine": "last",
        "rank_weight": 0.0,
        "loss": "squared_error",
    },
    "nothing hidden": {"additive": False, "edge_features": False, "edge_dropout": 0.0, "node_dropout": 0.0},
    "no schedule": {"schedule": False, "kernel_weight": 0.0},
    "one member": {"n_estimators": 1},
    "held out": {"early_stopping": True, "n_iter_no_change": 100},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_played_is_what_the_step_does(name, fit, records):
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        played = fit(OnTape(seen), **VARIANTS[name])
    # Once to see whether it is the same, then nine steps of twelve.
    assert seen == ["warm up"] * 3 + ["record"] + ["play"] * 10
    taken = fit(AsItIs([]), **VARIANTS[name])
    assert_array_equal(played.loss_curve_, taken.loss_curve_)
    for found, expected in zip(played.predict(records, True), taken.predict(records, True), strict=True):
        assert_array_equal(found, expected)
    plain = fit(None, **VARIANTS[name])
    assert_allclose(played.loss_curve_, plain.loss_curve_, rtol=1e-4)
    assert np.ptp(played.loss_curve_[3:]) > 0


def test_a_fit_that_goes_on_from_a_checkpoint(fit, records, tmp_path):
    whole = fit(OnTape([]), checkpoint_dir=tmp_path / "whole")

    class Interrupted(OnTape):
        def warm_up(self, step):
            if self.seen.count("warm up") == 2:
                raise KeyboardInterrupt
            return super().warm_up(step)

    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted([]), checkpoint_dir=tmp_path / "cut")
    seen = []
    assert_allclose(
        fit(OnTape(seen), checkpoint_dir=tmp_path / "cut").predict(records), whole.predict(records), rtol=1e-6
    )
    assert seen.count("record") == 1


class Refusing(OnTape):
    def record(self, step, generator):
        raise RuntimeError("CUDA error: operation failed\nmore of it")


class Forgetful(OnTape):
    """Plays a step of which the draws were recorded too."""

    def record(self, step, generator):
        def play():
            generator.manual_seed(7)
            return step()

        return play


@pytest.mark.parametrize(
    ("recorder", "reason"),
    [(Refusing, "CUDA error: operation failed"), (Forgetful, "a recorded step does something else")],
)
def test_where_it_cannot_be_recorded_the_steps_are_taken_as_they_are(recorder, reason, fit, records):
    message = f"Training goes on without recorded steps, which gives the same and takes longer ({reason})."
    with pytest.warns(RuntimeWarning) as caught:
        found = fit(recorder([]))
    assert [str(warning.message) for warning in caught] == [message]
    expected = fit(AsItIs([]))
    assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-5)
    assert_allclose(found.predict(records), expected.predict(records), rtol=1e-4)


def test_a_step_that_reads_something_back_is_not_recorded(fit, monkeypatch):
    advance = trainer.Trainer.advance

    def curious(self, rate):
        losses = advance(self, rate)
        float(losses.sum())
        return losses

    monkeypatch.setattr(trainer.Trainer, "advance", curious)
    with pytest.warns(RuntimeWarning, match="not permitted when stream is capturing: _local_scalar_dense\\)"):
        fit(OnTape([]))


def test_only_tables_on_a_gpu_are_recorded(monkeypatch):
    monkeypatch.setattr(recording, "Recorder", lambda device: f"of {device}")
    # A build of torch for CPUs has no such thing.
    monkeypatch.setattr(torch.cuda.CUDAGraph, "register_generator_state", None, raising=False)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    tables, lists = object.__new__(DenseEdges), object.__new__(SparseEdges)
    ours, papers = {"conv": "bipartite"}, {"conv": "gatconv"}
    assert recording.make_recorder(gpu, tables, ours) == "of cuda"
    assert recording.make_recorder(cpu, tables, ours) is None
    assert recording.make_recorder(gpu, lists, ours) is None
    assert recording.make_recorder(gpu, tables, papers) is None


def test_the_network_of_the_paper_reads_something_back(fit, records):
    rows = records.drop(columns=[column for column in records if column.startswith("pair__")])
    with pytest.warns(RuntimeWarning, match="not permitted when stream is capturing"):
        fit(OnTape([]), presets.scg4trf, rows, hidden_dim=8)


def test_what_is_kept_of_a_fit_holds_no_recording(fit, monkeypatch):
    trainers, make = [], fitting.Trainer

    def spy(*args, **kwargs):
        trainers.append(make(*args, **kwargs))
        return trainers[-1]

    monkeypatch.setattr(fitting, "Trainer", spy)
    monkeypatch.setattr(trainer, "make_recorder", lambda *_: OnTape([]))
    TransferabilityGAT(**TINY).fit(make_transfer_records(6, 6, random_state=0).records[["model", "dataset", "score"]])
    assert trainers[0]._steps is None
