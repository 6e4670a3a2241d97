"""Seconds of all that stands around the network: records, encoder, metrics and splitters, for 10^4 to 10^6 records.

OMP_NUM_THREADS=1 python benchmarks/speed/preparation.py

One process, one core. The exponent compares the two largest sizes: 1 is linear.
"""

import argparse
import gc
import math
import time
from functools import partial

import numpy as np
import pandas as pd
from machine import describe

from skgat import MetadataEncoder, make_records, metrics
from skgat.metrics import RANKING_SCORERS
from skgat.model_selection import LeaveBothOut, LeaveDatasetsOut, LeaveModelsOut, MissingEdges

#: Models and datasets for the square root of the records: 10^6 of them are 10,000 models on 2,000 datasets, 5 % filled.
N_MODELS, N_DATASETS = 10, 2
_WORDS = np.array(["large", "small", "natural", "medical", "satellite", "street", "images", "drawings", "of", "birds"])


def make_tables(n_records, seed=0):
    """Scores of distinct pairs, and metadata of every kind."""
    rng = np.random.default_rng(seed)
    n_models, n_datasets = (round(share * n_records**0.5) for share in (N_MODELS, N_DATASETS))
    cells = rng.choice(n_models * n_datasets, size=n_records, replace=False)
    models = np.array([f"model-{i}" for i in range(n_models)], dtype=object)
    datasets = np.array([f"dataset-{i}" for i in range(n_datasets)], dtype=object)
    ids = {"model": models[cells // n_datasets], "dataset": datasets[cells % n_datasets]}
    scores = pd.DataFrame({**ids, "score": rng.uniform(size=n_records)})
    families = np.array([f"family-{i}" for i in range(40)], dtype=object)
    of_models = pd.DataFrame(
        {
            "model": models,
            "parameters": np.exp(rng.normal(16, 2, n_models)),
            "depth": np.where(rng.uniform(size=n_models) < 0.1, np.nan, rng.integers(10, 200, n_models)),
            "family": families[rng.integers(40, size=n_models)],
            "sources": [", ".join(rng.choice(families[:12], 3, replace=False)) for _ in range(n_models)],
        }
    )
    of_datasets = pd.DataFrame(
        {
            "dataset": datasets,
            "images": np.exp(rng.normal(9, 2, n_datasets)),
            "classes": rng.integers(2, 1000, n_datasets),
            "text": [" ".join(rng.choice(_WORDS, 8)) for _ in range(n_datasets)],
        }
    )
    optimizers = np.array(["sgd", "adam", "lars"], dtype=object)[rng.integers(3, size=n_records)]
    of_pairs = pd.DataFrame({**ids, "logme": rng.normal(size=n_records), "optimizer": optimizers})
    return scores, of_models, of_datasets, of_pairs


def steps(n_records):
    """Names and functions to time; later ones use what earlier ones made."""
    scores, models, datasets, pairs = make_tables(n_records)
    made = {}

    def keep(name, function):
        made[name] = function()

    yield "make_records, scores alone", partial(make_records, scores)
    yield (
        "make_records, with three tables",
        lambda: keep("records", lambda: make_records(scores, models, datasets, pairs)),
    )
    yield "MetadataEncoder.fit", lambda: keep("encoder", lambda: MetadataEncoder().fit(made["records"]))
    yield "MetadataEncoder.transform", lambda: made["encoder"].transform(made["records"])
    truth = made["records"]["score"]
    pred, groups = truth + np.random.default_rng(1).normal(size=n_records), made["records"]["dataset"]
    for name in RANKING_SCORERS:
        yield name, partial(getattr(metrics, name), truth, pred, groups=groups)
    splitters = {
        "LeaveDatasetsOut": LeaveDatasetsOut(),
        "LeaveModelsOut": LeaveModelsOut(),
        "LeaveBothOut": LeaveBothOut(),
        "MissingEdges": MissingEdges(n_splits=5, random_state=0),
    }
    for name, splitter in splitters.items():
        yield f"{name}, 5 splits", lambda splitter=splitter: list(splitter.split(made["records"]))


def measure(n_records, repeats):
    """Seconds of each step, the best of a few."""
    found = {}
    for name, function in steps(n_records):
        times = []
        for _ in range(repeats):
            gc.collect()
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
        found[name] = min(times)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    print(f"{describe()}; processor seconds, seed 0, best of {args.repeats}\n")
    tables = [measure(size, args.repeats) for size in args.sizes]
    print(f"{'':34}" + "".join(f"{size:>12,}" for size in args.sizes) + f"{'exponent':>10}")
    for name in tables[0]:
        times = [table[name] for table in tables]
        growth = math.log(times[-1] / times[-2]) / math.log(args.sizes[-1] / args.sizes[-2]) if times[1:] else math.nan
        print(f"{name:34}" + "".join(f"{seconds:12.3f}" for seconds in times) + f"{growth:10.2f}")


if __name__ == "__main__":
    main()
