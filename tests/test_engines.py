"""Many machines by an existing engine: joblib's backends, on real clusters of processes on the loopback interface."""

import logging
import os
import re
import signal
import threading
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

import skgat
from skgat import MetadataEncoder, TransferabilityGAT
from skgat.datasets import make_transfer_records
from skgat.metrics import RANKING_SCORERS
from skgat.model_selection import LeaveDatasetsOut
from skgat.transferability import score_zoo

LAYERS = "transferabilitygat__n_layers"
RATE = "transferabilitygat__learning_rate"


@pytest.fixture(scope="module")
def records():
    # More than 125 rows to train on: joblib hands arrays of more than 1000 bytes to dask apart from the tasks.
    return make_transfer_records(20, 12, fill=0.9, random_state=1).records


def connect(address):
    """Run what docs/scale.md says to run before a search: what one worker alone holds would be lost with it."""
    page = (Path(skgat.__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
    block = next(code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "Client" in code)
    scope = {}
    exec(block.replace("tcp://scheduler:8786", address), scope)
    return scope["client"]


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes with a core each."""
    distributed = pytest.importorskip("distributed", reason="dask's distributed is not installed")
    with (
        # That a worker is lost is what the test is about; dask tells it at length.
        distributed.utils.silence_logging_cmgr(logging.CRITICAL, "distributed"),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        connect(cluster.scheduler_address),
    ):
        for nanny in cluster.workers.values():
            # The other worker has to do what the one that is killed leaves; there is none instead.
            nanny.auto_restart = False
        yield cluster


def pipeline():
    gat = TransferabilityGAT(max_iter=5, hidden_dim=8, n_estimators=2, kernel_weight=0.0, random_state=0)
    return make_pipeline(MetadataEncoder(), gat)


def search():
    grid = {LAYERS: [1, 2], RATE: [1e-3, 1e-2]}
    return GridSearchCV(
        pipeline(), grid, cv=LeaveDatasetsOut(3), scoring=RANKING_SCORERS["weighted_kendall"], error_score="raise"
    )


def make_zoo():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    return {f"m{i}": 0.3 * i * rng.normal(size=(3, 5))[y] + rng.normal(size=(90, 5)) for i in range(4)}, y


@pytest.fixture(scope="module")
def serial(records):
    return search().fit(records)


def assert_same_search(found, serial):
    assert found.best_params_ == serial.best_params_
    names = [name for name in serial.cv_results_ if "test_score" in name]
    assert len(names) == 6
    for name in names:
        np.testing.assert_array_equal(found.cv_results_[name], serial.cv_results_[name], err_msg=name)


class TestDask:
    @pytest.mark.usefixtures("cluster")
    def test_score_zoo(self):
        zoo, y = make_zoo()
        expected = score_zoo(zoo, y, ["logme", "lda"])
        with joblib.parallel_config("dask"):
            pd.testing.assert_frame_equal(score_zoo(zoo, y, ["logme", "lda"]), expected)

    @pytest.mark.usefixtures("cluster")
    def test_cross_validation(self, records):
        arguments = {"cv": LeaveDatasetsOut(3), "scoring": RANKING_SCORERS["spearman"], "error_score": "raise"}
        expected = cross_validate(pipeline(), records, **arguments)
        with joblib.parallel_config("dask"):
            found = cross_validate(pipeline(), records, **arguments)
        np.testing.assert_array_equal(found["test_score"], expected["test_score"])

    def test_a_search_survives_a_killed_worker(self, cluster, records, serial):
        assassin = Assassin(cluster)
        with assassin, joblib.parallel_config("dask"):
            found = search().fit(records)
        assert assassin.open > 0, "the worker was killed when all was done"
        assert assassin.done > 0, "the worker was killed before anything was done"
        assert not alive(assassin.pid)
        assert_same_search(found, serial)


class Assassin(threading.Thread):
    """Kills a worker that is at work as soon as the first results are there."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.scheduler = cluster.scheduler
        self.address, nanny = next((w.worker_address, w) for w in cluster.workers.values())
        self.pid = nanny.pid
        self.open = self.done = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.join(timeout=30)

    def run(self):
        """Wait for the moment, then kill."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            states = [task.state for task in list(self.scheduler.tasks.values()) if "fit_and_score" in str(task.key)]
            done = states.count("memory")
            if done and self.scheduler.workers[self.address].processing:
                os.kill(self.pid, signal.SIGKILL)
                self.open, self.done = len(states) - done, done
                return
            time.sleep(0.005)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def ray_cluster():
    """Two cores on this machine."""
    ray = pytest.importorskip("ray", reason="ray is not installed: 240 MB, too much for a test of each change")
    from ray.util.joblib import register_ray

    with warnings.catch_warnings():
        # Of files and sockets that ray leaves open, and of its own coming changes.
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", object_store_memory=2 * 10**8)
        register_ray()
        yield
        ray.shutdown()


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.filterwarnings("ignore")
class TestRay:
    def test_score_zoo(self):
        zoo, y = make_zoo()
        expected = score_zoo(zoo, y, ["logme", "lda"])
        with joblib.parallel_config("ray", n_jobs=2):
            pd.testing.assert_frame_equal(score_zoo(zoo, y, ["logme", "lda"]), expected)

    def test_search(self, records, serial):
        with joblib.parallel_config("ray", n_jobs=2):
            assert_same_search(search().fit(records), serial)
