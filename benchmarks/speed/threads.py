"""Threads that fits take, one by one and two at a time, under the backends of joblib.

python benchmarks/speed/threads.py

Leave OMP_NUM_THREADS unset, as it would hide what is measured. ``torch`` and ``BLAS`` are the threads that either may
use within each fit; ``at work`` is how many threads of a worker were in fact busy (for more than a tenth of the fit);
``cores`` is processor seconds by seconds on the clock over all fits (of threads, about). Linux only.
"""

import argparse
import contextlib
import os
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from machine import describe

_SETTINGS = {
    "small": {"max_iter": 50, "n_estimators": 4},
    "large": {"max_iter": 4, "n_estimators": 1, "kernel_weight": 0.0},
}


def make_frame(size, seed=0):
    """400 records (a table of cells in training), or 10,000 (lists of edges)."""
    n_models, n_datasets, n_records = (40, 20, 400) if size == "small" else (1500, 400, 10_000)
    rng = np.random.default_rng(seed)
    cells = rng.choice(n_models * n_datasets, size=n_records, replace=False)
    scores = rng.normal(size=n_records)
    return pd.DataFrame({"model": cells // n_datasets, "dataset": cells % n_datasets, "score": scores}).astype(
        {"model": str, "dataset": str}
    )


def busy_seconds():
    """Processor seconds of each thread of this process."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for path in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            found[path.name] = (int(fields[11]) + int(fields[12])) / tick
    return found


def watch():
    """Note the threads of torch in every epoch from now on, by calling thread."""
    import torch

    from skgat.gat.trainer import Trainer

    # On the class: each task comes to a process of a pool with copies of this module's globals.
    if not hasattr(Trainer, "allowed"):
        Trainer.allowed, unwatched = {}, Trainer.epoch

        def epoch(it):
            loss = unwatched(it)
            Trainer.allowed.setdefault(threading.get_ident(), []).append(torch.get_num_threads())
            return loss

        Trainer.epoch = epoch
    return Trainer.allowed


def one_fit(frame, settings):
    """Fit once: seconds, threads that torch and BLAS may use within, threads at work, and processor seconds."""
    from threadpoolctl import threadpool_info

    from skgat import TransferabilityGAT

    allowed = watch()
    before, start = busy_seconds(), time.perf_counter()
    TransferabilityGAT(random_state=0, **settings).fit(frame)
    seconds = time.perf_counter() - start
    used = [value - before.get(name, 0.0) for name, value in busy_seconds().items()]
    blas = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    # The first fit of several takes all threads until the next one comes.
    return seconds, allowed[threading.get_ident()][-1], blas, sum(part > 0.1 * seconds for part in used), sum(used)


@contextlib.contextmanager
def backend(name):
    """The backend of joblib of that name, with two workers."""
    if name == "dask":
        import distributed

        arguments = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
        with (
            distributed.LocalCluster(**arguments) as cluster,
            distributed.Client(cluster),
            joblib.parallel_config("dask"),
        ):
            yield
    else:
        with joblib.parallel_config(name):
            yield


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=4)
    n_fits = parser.parse_args().fits
    print(f"{describe()}; {n_fits} fits\n")
    print(f"{'':26}{'jobs':>5}{'s a fit':>9}{'torch':>7}{'BLAS':>6}{'at work':>9}{'cores':>7}")
    for name, n_jobs in (("loky", 1), ("threading", 2), ("loky", 2), ("dask", 2)):
        with backend(name):
            for size, settings in _SETTINGS.items():
                run = joblib.Parallel(n_jobs=n_jobs)
                frame = make_frame(size)
                run(joblib.delayed(one_fit)(frame, settings | {"max_iter": 1}) for _ in range(2 * n_jobs))
                start = time.perf_counter()
                found = run(joblib.delayed(one_fit)(frame, settings) for _ in range(n_fits))
                seconds = time.perf_counter() - start
                _, torch_threads, blas, at_work, _ = (max(column) for column in zip(*found, strict=True))
                # Fits in threads see each other's work, and count it twice.
                cores = sum(fit[4] for fit in found) / seconds / (n_jobs if name == "threading" else 1)
                label = f"{name if n_jobs > 1 else 'one by one'}, {size} graph"
                print(f"{label:26}{n_jobs:5}{seconds / n_fits:9.2f}{torch_threads:7}{blas:6}{at_work:9}{cores:7.1f}")


if __name__ == "__main__":
    main()
