"""Seconds that each ranking metric takes on a million rows, best of a few runs, on one core.

OMP_NUM_THREADS=1 python benchmarks/metrics_speed.py
"""

import argparse
import os
import platform
import time

import numpy as np
import pandas as pd
import scipy
import sklearn

from skgat import metrics
from skgat.metrics import RANKING_SCORERS

SHAPES = {
    "1,000,000 rows, 10,000 groups": (1_000_000, 10_000),
    "1,000,000 rows, 1 group": (1_000_000, 1),
    "900,000 rows, 300,000 groups of 3": (900_000, 300_000),
}


def rows(n_rows, n_groups, kind):
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.arange(n_rows) % n_groups)
    if kind == "str":
        groups = np.array([f"dataset-{i}" for i in range(n_groups)], dtype=object)[groups]
    truth = rng.normal(size=n_rows)
    pred = truth + rng.normal(size=n_rows)
    if kind == "ties":
        truth, pred = np.round(truth, 1), np.round(pred, 1)
    return truth, pred, groups


def seconds(function, truth, pred, groups, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(truth, pred, groups=groups)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2)
    repeats = parser.parse_args().repeats
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"pandas {pd.__version__}, scikit-learn {sklearn.__version__}; {platform.machine()}, {os.cpu_count()} CPUs, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}; seed 0, best of {repeats}"
    )
    for shape, size in SHAPES.items():
        print(f"\n{shape:36}" + "".join(f"{kind:>8}" for kind in ("int", "str", "ties")))
        data = [rows(*size, kind) for kind in ("int", "str", "ties")]
        for name in RANKING_SCORERS:
            times = [seconds(getattr(metrics, name), *columns, repeats) for columns in data]
            print(f"{name:36}" + "".join(f"{t:8.2f}" for t in times))


if __name__ == "__main__":
    main()
