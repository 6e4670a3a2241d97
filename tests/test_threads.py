"""Fits share the cores: what torch may use in a fit, beside other fits, and afterwards."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest
import torch

from skgat import TransferabilityGAT
from skgat.datasets import make_transfer_records
from skgat.gat import runtime, trainer
from skgat.gat.edges import SparseEdges

TINY = {"max_iter": 3, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "kernel_weight": 0.0, "random_state": 0}


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def records():
    return make_transfer_records(8, 6, fill=0.9, random_state=1).records[["model", "dataset", "score"]]


@pytest.fixture
def large(monkeypatch):
    """Every graph counts as large."""
    monkeypatch.setattr("skgat.gat.fitting.choose_layout", SparseEdges)


class Watch:
    """Notes how many threads torch has in each epoch, and lets fits wait for each other there."""

    def __init__(self, monkeypatch, n_fits=1):
        self.seen, self.barrier = {}, threading.Barrier(n_fits, timeout=60)
        epoch = trainer.Trainer.epoch

        def watched(it):
            self.barrier.wait()
            loss = epoch(it)
            self.seen.setdefault(threading.get_ident(), []).append(torch.get_num_threads())
            return loss

        monkeypatch.setattr(trainer.Trainer, "epoch", watched)


@pytest.mark.usefixtures("four_threads")
def test_a_small_fit_takes_one_thread_and_puts_four_back(records, monkeypatch):
    watch = Watch(monkeypatch)
    TransferabilityGAT(**TINY).fit(records)
    assert list(watch.seen.values()) == [[1, 1, 1]]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads", "large")
def test_a_large_fit_takes_all_threads(records, monkeypatch):
    watch = Watch(monkeypatch)
    TransferabilityGAT(**TINY).fit(records)
    assert list(watch.seen.values()) == [[4, 4, 4]]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads", "large")
def test_large_fits_in_threads_share_the_threads(records, monkeypatch):
    watch = Watch(monkeypatch, n_fits=2)
    with joblib.parallel_config("threading"):
        joblib.Parallel(n_jobs=2)(joblib.delayed(TransferabilityGAT(**TINY).fit)(records) for _ in range(2))
    assert list(watch.seen.values()) == [[2, 2, 2], [2, 2, 2]]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_each_thread_gets_its_own_number_back():
    """Also a thread that leaves before the others, and one that came new to torch while another was inside."""
    inside, left = threading.Event(), threading.Event()

    def second():
        with runtime.one_thread():
            within = torch.get_num_threads()
            inside.set()
            left.wait(60)
        return within, torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        with runtime.one_thread():
            other = pool.submit(second)
            assert inside.wait(60)
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 4
        left.set()
        assert other.result(60) == (1, 4)


@pytest.mark.usefixtures("four_threads")
def test_blocks_within_blocks():
    with runtime.fair_share():
        assert torch.get_num_threads() == 4
        with runtime.one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 4
    runtime.settle_threads()
    assert torch.get_num_threads() == 4


def test_a_process_of_a_pool_keeps_to_its_share(records):
    """What joblib leaves to each of its processes is what a fit takes there."""
    share = min(2, os.cpu_count())  # conftest asks for 1

    def fit(records, arguments):
        import torch

        from skgat import TransferabilityGAT
        from skgat.gat import fitting, trainer
        from skgat.gat.edges import SparseEdges

        seen, epoch = [], trainer.Trainer.epoch

        def watched(it):
            loss = epoch(it)
            seen.append(torch.get_num_threads())
            return loss

        fitting.choose_layout, trainer.Trainer.epoch = SparseEdges, watched
        before = torch.get_num_threads()
        TransferabilityGAT(**arguments).fit(records)
        return before, max(seen), torch.get_num_threads()

    with joblib.parallel_config("loky", inner_max_num_threads=share):
        found = joblib.Parallel(n_jobs=2)([joblib.delayed(fit)(records, TINY)])
    assert found == [(share, share, share)]
