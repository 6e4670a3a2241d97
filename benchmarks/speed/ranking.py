"""Seconds to rank a large zoo for a dataset that nobody has results on, beside a bare product that reads as much.

    OMP_NUM_THREADS=1 python benchmarks/speed/ranking.py [--models 1000000] [--datasets 20] [--results 2] [--seed 0]

A synthetic history (each model has a few results on datasets with metadata) is fitted once by each recommender, by
networks for two epochs: how long they trained makes no difference to what a ranking costs. Then, least of several runs
that take turns: `predict_all` on one row of metadata of the new dataset, all of it (reading the row, placing the
dataset, the product); `recommend` with k=5, also of the models that were not tried, for the new dataset and for a known
one; and products ``A @ x`` with prepared tables of the same shapes and types as those of the models. With a million
models the networks take seven minutes and 12 GiB to fit.
"""

import argparse
import time

import numpy as np
import pandas as pd
from machine import describe

from skgat import TransferabilityGAT, recommend
from skgat.baselines import TransferSpaceRegressor


def make_history(n_models, n_datasets, n_results, rng):
    """Records of a planted space of rank 4, with metadata that tell where the datasets stand."""
    u, v = rng.normal(size=(n_models, 4)), rng.normal(size=(n_datasets, 4))
    model = np.repeat(np.arange(n_models), n_results)
    first = rng.integers(0, n_datasets, n_models)
    dataset = (first[:, None] + np.arange(n_results) * (n_datasets // n_results)).ravel() % n_datasets
    scores = 0.7 + 0.03 * (u[model] * v[dataset]).sum(axis=1) + 0.01 * rng.normal(size=len(model))
    records = pd.DataFrame({"model": model, "dataset": dataset, "score": scores})
    return records.assign(**{f"dataset__d{i}": v[dataset, i] for i in range(4)})


def tables_of(recommender):
    """What a recommender keeps of its models and reads to rank them."""
    if isinstance(recommender, TransferSpaceRegressor):
        return [recommender.model_vectors_]
    return [*recommender.network_.terms["model"], recommender.kernel_.terms["model"]]


def best(functions, repeats):
    """The least milliseconds of each function, called in turns."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            begun = time.perf_counter()
            function()
            times[name].append(1e3 * (time.perf_counter() - begun))
    return {name: min(found) for name, found in times.items()}


def rank(recommender, records, repeats, rng):
    """Fit, rank, and print both."""
    begun = time.perf_counter()
    recommender.fit(records)
    fit = time.perf_counter() - begun
    told = {f"dataset__d{i}": rng.normal(size=1) for i in range(4)}
    new = pd.DataFrame({"model": [0], "dataset": ["new"]} | told)
    asked = pd.DataFrame({"dataset": ["new"]} | told)
    tables = [np.ones(table.shape, table.dtype) for table in tables_of(recommender)]
    vectors = [np.ones(table.shape[1], table.dtype) for table in tables]
    taken = best(
        {
            "predict_all": lambda: recommender.predict_all(new),
            "recommend": lambda: recommend(recommender, asked, k=5),
            "not tried": lambda: recommend(recommender, asked, k=5, exclude_known=True),
            "of a known one": lambda: recommend(recommender, 0, k=5, exclude_known=True),
            "bare products": lambda: [table @ vector for table, vector in zip(tables, vectors, strict=True)],
        },
        repeats,
    )
    size = sum(table.nbytes for table in tables) / 2**20
    print(f"\n{type(recommender).__name__}, fitted in {fit:.0f} s, {size:.0f} MiB of its models")
    for name, value in taken.items():
        print(f"{name:14}{value:9.2f} ms{value / taken['bare products']:8.2f}")


def main():
    """Fit and rank by each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=1_000_000)
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--results", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    records = make_history(args.models, args.datasets, args.results, rng)
    print(f"{describe()}; {args.models:,} models, {len(records):,} records, seed {args.seed}")
    for recommender in (TransferSpaceRegressor(), TransferabilityGAT(max_iter=2)):
        rank(recommender.set_params(random_state=args.seed), records, args.repeats, rng)


if __name__ == "__main__":
    main()
