"""Seconds to rank a million models for a dataset that nobody has results on, beside a bare product of the same size.

    OMP_NUM_THREADS=1 python benchmarks/transfer_space.py [--models 1000000] [--datasets 20] [--results 2] [--seed 0]

A synthetic history (each model has a few results on datasets with metadata) is fitted once. Then, best of several runs
and taking turns: `predict_all` on one row of metadata of the new dataset, all of it (reading the row, placing the
dataset, the product); and ``A @ x`` for a prepared matrix and vector of the same sizes.
"""

import argparse
import os
import platform
import time

import numpy as np
import pandas as pd
import scipy
import sklearn

import skgat
from skgat.baselines import TransferSpaceRegressor


def history(n_models, n_datasets, n_results, rng):
    """Records of a planted space of rank 4, with metadata that tell where the datasets stand."""
    u, v = rng.normal(size=(n_models, 4)), rng.normal(size=(n_datasets, 4))
    model = np.repeat(np.arange(n_models), n_results)
    first = rng.integers(0, n_datasets, n_models)
    dataset = (first[:, None] + np.arange(n_results) * (n_datasets // n_results)).ravel() % n_datasets
    scores = 0.7 + 0.03 * (u[model] * v[dataset]).sum(axis=1) + 0.01 * rng.normal(size=len(model))
    records = pd.DataFrame({"model": model, "dataset": dataset, "score": scores})
    return records.assign(**{f"dataset__d{i}": v[dataset, i] for i in range(4)})


def best(functions, repeats):
    """The least seconds of each function, called in turns."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: min(found) for name, found in times.items()}


def main():
    """Fit, then rank."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=1_000_000)
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--results", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    records = history(args.models, args.datasets, args.results, rng)
    print(
        f"skgat {skgat.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}, scipy "
        f"{scipy.__version__}, python {platform.python_version()}, {os.cpu_count()} CPUs, OMP_NUM_THREADS="
        f"{os.environ.get('OMP_NUM_THREADS', 'not set')}, seed {args.seed}"
    )
    started = time.perf_counter()
    space = TransferSpaceRegressor(random_state=args.seed).fit(records)
    seconds = time.perf_counter() - started
    print(f"fit: {args.models:,} models, {len(records):,} results: {seconds:.1f} s, {space.n_iter_} rounds")
    new = pd.DataFrame({"model": [0], "dataset": ["new"]} | {f"dataset__d{i}": rng.normal(size=1) for i in range(4)})
    A, x = rng.normal(size=space.model_vectors_.shape), rng.normal(size=space.model_vectors_.shape[1])
    seconds = best({"ranking": lambda: space.predict_all(new), "bare product": lambda: A @ x}, args.repeats)
    for name, value in seconds.items():
        print(f"{name:14}{1e3 * value:9.2f} ms")
    print(f"{'ratio':14}{seconds['ranking'] / seconds['bare product']:9.2f}")


if __name__ == "__main__":
    main()
