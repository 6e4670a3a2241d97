"""Threads and forks: the same numbers as one after the other, and nothing global is left changed."""

import os
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import skgat
from skgat import MetadataEncoder, TransferabilityGAT, persistence, presets, recommend
from skgat.baselines import BiasRegressor, MatrixCompletion, NearestDatasets, TransferSpaceRegressor
from skgat.datasets import make_transfer_records
from skgat.embedding import GraphEmbedder
from skgat.exceptions import UnknownEntityWarning

ROOT = Path(skgat.__file__).parent.parent
SMALL = {"hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "max_iter": 15, "random_state": 0, "device": "cpu"}
N_THREADS = 16
MAKERS = {
    "TransferabilityGAT": lambda: TransferabilityGAT(**SMALL),
    "scg4trf": lambda: presets.scg4trf(**SMALL),
    "MatrixCompletion": lambda: MatrixCompletion(random_state=0),
    "NearestDatasets": NearestDatasets,
    "TransferSpaceRegressor": lambda: TransferSpaceRegressor(random_state=0),
    "GraphEmbedder": lambda: make_pipeline(GraphEmbedder("sage", n_components=4, max_iter=3, random_state=0), Ridge()),
}


@pytest.fixture(scope="module")
def zoo():
    return make_transfer_records(8, 9, fill=0.8, random_state=0)


@pytest.fixture(scope="module")
def seen(zoo):
    return zoo.records[zoo.records["dataset"] != "dataset_8"]


@pytest.fixture(scope="module")
def fitted(seen):
    return make_pipeline(MetadataEncoder(), TransferabilityGAT(**SMALL)).fit(seen)


def at_once(*tasks):
    """Run tasks in threads that start together and take turns as often as they can; gives their results."""
    before = sys.getswitchinterval()
    # Not before all threads are there: coverage does not start soundly in a thread that others interrupt so often.
    barrier = threading.Barrier(len(tasks), action=lambda: sys.setswitchinterval(1e-6), timeout=60)

    def run(task):
        barrier.wait()
        return task()

    try:
        with ThreadPoolExecutor(len(tasks)) as pool:
            return [future.result() for future in [pool.submit(run, task) for task in tasks]]
    finally:
        sys.setswitchinterval(before)


def rows_of(zoo, number):
    return zoo.records.sample(20, random_state=number)


def test_predictions_from_many_threads(zoo, fitted):
    expected = [np.concatenate(fitted.predict(rows_of(zoo, i), return_std=True)) for i in range(N_THREADS)]
    tasks = [
        lambda i=i: [np.concatenate(fitted.predict(rows_of(zoo, i), return_std=True)) for _ in range(3)]
        for i in range(N_THREADS)
    ]
    for one, results in zip(expected, at_once(*tasks), strict=True):
        assert all(result.tobytes() == one.tobytes() for result in results)


def test_rankings_from_many_threads(zoo, fitted):
    """With records of the new dataset taken in, which must change no other thread's recommender."""
    new = zoo.records[zoo.records["dataset"] == "dataset_8"]
    before = pickle.dumps(fitted)

    def rank(i):
        few = new.iloc[i % 3 : i % 3 + 2]
        return recommend(fitted, "dataset_8" if i % 2 else "dataset_1", k=5, context=few if i % 2 else None)

    expected = [rank(i) for i in range(8)]
    for found, one in zip(at_once(*[lambda i=i: rank(i) for i in range(8)]), expected, strict=True):
        assert_frame_equal(found, one, check_exact=True)
    assert pickle.dumps(fitted) == before


@pytest.mark.parametrize("name", MAKERS)
def test_fits_in_threads_are_fits_one_after_the_other(zoo, seen, name):
    encoded = MetadataEncoder().fit_transform(seen)
    parts = [encoded[encoded["dataset"] != f"dataset_{i}"] for i in range(4)]

    def fit(part):
        return MAKERS[name]().fit(part, part["score"]).predict(part).tobytes()

    expected = [fit(part) for part in parts]
    threads = torch.get_num_threads()
    assert at_once(*[lambda part=part: fit(part) for part in parts]) == expected
    assert torch.get_num_threads() == threads


def test_encoders_in_threads(zoo, seen):
    expected = MetadataEncoder().fit(seen).transform(zoo.records)
    for found in at_once(*[lambda: MetadataEncoder().fit(seen).transform(zoo.records)] * 4):
        assert_frame_equal(found, expected, check_exact=True)


def test_pickling_while_predicting(zoo, fitted, tmp_path):
    rows = zoo.records
    expected = fitted.predict(rows).tobytes()

    def predict():
        return all(fitted.predict(rows).tobytes() == expected for _ in range(6))

    def copy():
        return all(pickle.loads(pickle.dumps(fitted)).predict(rows).tobytes() == expected for _ in range(3))

    def save():
        path = tmp_path / str(threading.get_ident())
        persistence.save(fitted, path)
        return persistence.load(path).predict(rows).tobytes() == expected

    def save_to_one():
        persistence.save(fitted, tmp_path / "one")
        return persistence.load(tmp_path / "one").predict(rows).tobytes() == expected

    assert all(at_once(predict, predict, copy, copy, save, save, save_to_one, save_to_one))
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def _global_state():
    return {
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy().tobytes(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "errors": np.geterr(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }


@pytest.fixture(scope="module")
def as_ever(seen):
    """What is predicted where nobody has changed a thing."""
    encoded = MetadataEncoder().fit_transform(seen)
    return {name: make().fit(encoded, encoded["score"]).predict(encoded).tobytes() for name, make in MAKERS.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_global_changes(zoo, seen, as_ever, monkeypatch, dtype):
    few = seen[["model", "dataset", "score"]]
    monkeypatch.setattr(warnings, "filters", [*warnings.filters])
    threads = torch.get_num_threads()
    torch.set_default_dtype(dtype)
    torch.set_num_threads(2)
    try:
        before = _global_state()
        encoded = MetadataEncoder().fit_transform(seen)
        for name, make in MAKERS.items():
            found = make().fit(encoded, encoded["score"]).predict(encoded)
            assert found.tobytes() == as_ever[name], f"{name} heeds the default dtype"
        gat = TransferabilityGAT(**SMALL).fit(few)
        gat.partial_fit(few)
        gat.attention()
        with pytest.warns(UnknownEntityWarning):
            gat.predict(few.assign(model="new"))
        assert _global_state() == before
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "mode",
    [torch.no_grad, torch.inference_mode, partial(torch.autocast, "cpu"), partial(torch.device, "meta")],
    ids=["no_grad", "inference_mode", "autocast", "default_device"],
)
def test_the_mode_of_the_caller_changes_nothing(seen, as_ever, mode):
    encoded = MetadataEncoder().fit_transform(seen)
    few = seen[["model", "dataset", "score"]]
    gat = TransferabilityGAT(**SMALL).fit(few)
    weights = gat.attention()
    grown = gat.partial_fit(few).predict(few)
    with mode():
        for name, make in MAKERS.items():
            found = make().fit(encoded, encoded["score"]).predict(encoded)
            assert found.tobytes() == as_ever[name], name
        again = TransferabilityGAT(**SMALL).fit(few)
        assert_frame_equal(again.attention(), weights)
        assert again.partial_fit(few).predict(few).tobytes() == grown.tobytes()


@pytest.mark.parametrize("name", ["TransferabilityGAT", "GraphEmbedder"])
def test_an_interrupt_while_gradients_come_back_leaves_them_on(seen, as_ever, monkeypatch, name):
    """It may come at any moment, also when torch is about to put back what it records."""
    put_back = torch.no_grad.__exit__

    def interrupted(*args):
        monkeypatch.setattr(torch.no_grad, "__exit__", put_back)
        raise KeyboardInterrupt

    encoded = MetadataEncoder().fit_transform(seen)
    monkeypatch.setattr(torch.no_grad, "__exit__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        MAKERS[name]().fit(encoded, encoded["score"])
    assert torch.is_grad_enabled()
    assert MAKERS[name]().fit(encoded, encoded["score"]).predict(encoded).tobytes() == as_ever[name]


class BrokenError(Exception):
    """What goes wrong in the middle of a fit."""


def test_nothing_global_changes_when_a_fit_fails(seen, monkeypatch):
    from skgat.gat.trainer import Trainer

    def fail(self):
        raise BrokenError

    before = _global_state()
    monkeypatch.setattr(Trainer, "validate", fail)
    with pytest.raises(BrokenError):
        TransferabilityGAT(early_stopping=True, **SMALL).fit(seen[["model", "dataset", "score"]])
    with pytest.raises(ValueError, match="rank_weight"):
        TransferabilityGAT(rank_weight=-1.0).fit(seen)
    assert _global_state() == before


_FORK = """
    import multiprocessing, os, signal
    import numpy as np, torch
    from skgat import MetadataEncoder, TransferabilityGAT
    from skgat.datasets import make_transfer_records
    from sklearn.pipeline import make_pipeline

    torch.set_num_threads(2)
    records = make_transfer_records(8, 9, fill=0.8, random_state=0).records
    seen = records[records["dataset"] != "dataset_8"]
    make = lambda: make_pipeline(
        MetadataEncoder(),
        TransferabilityGAT(hidden_dim=8, n_heads=2, n_estimators=2, max_iter=5, random_state=0, device="cpu"),
    )
    fitted = make().fit(seen)
    expected = fitted.predict(records)

    def again():
        signal.alarm(60)  # a child that hangs dies
        assert np.array_equal(fitted.predict(records), expected)
        assert np.array_equal(make().fit(seen).predict(records), expected)

    child = os.fork()
    if not child:
        try:
            again()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0

    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        found = pool.map(fitted.predict, [records] * 4)
    assert all(np.array_equal(one, expected) for one in found)

    assert torch.get_num_threads() == 2
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_after_a_fit_works():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", textwrap.dedent(_FORK)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


def test_the_lock_of_the_thread_count_is_fresh_in_a_child():
    """Held by another thread at the time of a fork, it would never be given back in the child."""
    from skgat.gat import runtime

    inside, leave = threading.Event(), threading.Event()

    def hold():
        with runtime._lock:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os._exit(0 if runtime._lock.acquire(timeout=2) else 1)
    status = os.waitpid(child, 0)[1]
    leave.set()
    thread.join()
    assert status == 0


def test_bias_in_threads_with_a_shared_frame(seen):
    """Frames are read only, also by several threads at once."""
    before = seen.copy(deep=True)
    expected = BiasRegressor().fit(seen).predict(seen).tobytes()
    assert at_once(*[lambda: BiasRegressor().fit(seen).predict(seen).tobytes()] * 8) == [expected] * 8
    assert_frame_equal(seen, before)
