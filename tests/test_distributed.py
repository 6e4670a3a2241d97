"""Training by two processes over gloo: each holds half of the edges, and both end with what one process learns."""

import json
import os
import socket
import subprocess
import sys
import textwrap

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgat import MetadataEncoder, TransferabilityGAT
from skgat.datasets import make_transfer_records
from skgat.gat.distributed import shard_edges
from skgat.gat.edges import SparseEdges, choose_layout

#: What two processes add up in another order differs by float32's rounding, which eight steps let grow.
TOLERANCE = 1e-5

CASES = {
    "default": {"n_estimators": 2},
    "mlp": {"decoder": "mlp", "n_estimators": 1, "early_stopping": True, "n_iter_no_change": 50},
    "plain": {"edge_features": False, "additive": False, "edge_dropout": 0.0, "rank_weight": 0.0, "n_estimators": 1},
}
COMMON = {"max_iter": 8, "hidden_dim": 8, "n_heads": 2, "kernel_weight": 0.0, "random_state": 3, "device": "cpu"}

SCRIPT = """
import datetime, json, sys
import joblib, torch
import torch.distributed as dist
from skgat import TransferabilityGAT
from skgat.gat import distributed

sizes, init = [], distributed.ShardedEdges.__init__

def spy(self, graph, *rest):
    init(self, graph, *rest)
    sizes.append([self.shape[0], graph.n_edges])

distributed.ShardedEdges.__init__ = spy
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=120))
rank = dist.get_rank()
frame, cases = joblib.load("input")
fitted = {}
for name, arguments in cases.items():
    with distributed.shard_edges():
        fitted[name] = TransferabilityGAT(**arguments).fit(frame)
joblib.dump(fitted, f"fitted{rank}")
try:
    with distributed.shard_edges():
        TransferabilityGAT(**arguments | {"random_state": rank}).fit(frame)
except ValueError as error:
    print(json.dumps({"sizes": sizes, "error": str(error)}))
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def frame():
    """Few enough of many pairs that the edges are kept as lists; with a feature of each kind."""
    records = make_transfer_records(200, 110, fill=0.04, random_state=1).records
    few = [column for column in records if "__" not in column or column.endswith("_0")]
    records = records[few].assign(pair__x=np.random.default_rng(0).normal(size=len(records)))
    return MetadataEncoder().fit_transform(records)


@pytest.fixture(scope="module")
def found(frame, tmp_path_factory):
    """What each of two processes fitted, and what it said."""
    folder = tmp_path_factory.mktemp("distributed")
    joblib.dump((frame, {name: COMMON | case for name, case in CASES.items()}), folder / "input")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }  # fmt: skip
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=folder, env=common | {"RANK": str(rank)}, **pipes) for rank in range(2)]
    told = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told[0][1] + told[1][1]
    return [(joblib.load(folder / f"fitted{rank}"), json.loads(told[rank][0].splitlines()[-1])) for rank in range(2)]


def test_each_process_holds_half_of_the_edges(found, frame):
    for _, told in found:
        assert len(told["sizes"]) == len(CASES)
        for own, whole in told["sizes"]:
            assert whole == len(frame)
            assert abs(own - whole / 2) <= 1
    assert found[0][1]["sizes"][0][0] + found[1][1]["sizes"][0][0] == len(frame)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns(found, frame, case):
    alone = TransferabilityGAT(**COMMON | CASES[case]).fit(frame)
    assert isinstance(choose_layout(alone.graph_, "cpu"), SparseEdges)
    rows = frame.assign(dataset=np.where(np.arange(len(frame)) % 5, frame["dataset"], "unknown"))
    expected = alone.predict(rows, return_std=True)
    spread = expected[0].std()
    for fitted, _ in found:
        assert_allclose(fitted[case].loss_curve_, alone.loss_curve_, rtol=TOLERANCE)
        for ours, theirs in zip(fitted[case].predict(rows, return_std=True), expected, strict=True):
            assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * spread)
    if case == "mlp":
        assert_allclose(found[0][0][case].validation_scores_, alone.validation_scores_, rtol=TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_both_processes_end_alike(found, case, frame):
    first, second = (fitted[case].predict(frame) for fitted, _ in found)
    assert first.tobytes() == second.tobytes()


def test_other_seeds_are_refused(found):
    for _, told in found:
        assert told["error"].startswith("The processes of shard_edges fit different things, but expected the same")


def test_without_a_group():
    assert not torch.distributed.is_initialized()
    with pytest.raises(RuntimeError, match="shard_edges needs a process group, but there is none"), shard_edges():
        pass
