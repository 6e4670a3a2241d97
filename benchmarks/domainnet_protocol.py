"""The missing-edge protocol of the SCG4Trf paper on DomainNet 10 x 270, with the paper's own masks.

    python benchmarks/domainnet_protocol.py [--splits 10] [--seed 0]

Prints, as mean and standard deviation over the splits: the *paper figure* (per dataset, Pearson between the truth and
the column in which known entries stand as they are; inflated by them, reported to compare), the same over the datasets
without any known result (*cold*), and, over hidden pairs only and datasets with at least four of them, Pearson and
Spearman; the RMSE of the hidden pairs; seconds per fit. The files are downloaded once, see
`skgat.datasets.fetch_domainnet_transfer`.
"""

import argparse
import os
import platform
import time
import warnings

import numpy as np
import sklearn
import torch
from scipy.stats import ConstantInputWarning
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skgat
from skgat import MetadataEncoder, TransferabilityGAT, metrics, presets
from skgat.baselines import BiasRegressor, TransferSpaceRegressor
from skgat.datasets import fetch_domainnet_transfer
from skgat.model_selection import MissingEdges

COLUMNS = ("paper figure", "cold", "held-out Pearson", "held-out Spearman", "RMSE", "seconds")
_LEAST_HIDDEN = 4


def contestants(seed):
    """What is compared; each sees the same records."""
    return {
        "additive bias": BiasRegressor(),
        "transfer space": TransferSpaceRegressor(random_state=seed),
        "g4trf preset": presets.g4trf(random_state=seed),
        "scg4trf preset": presets.scg4trf(random_state=seed),
        "TransferabilityGAT()": TransferabilityGAT(random_state=seed),
    }


def evaluate(records, known, hidden, predicted):
    """The five figures of one split."""
    truth, dataset = records["score"].to_numpy(), records["dataset"].to_numpy()
    mixed = truth.copy()
    mixed[hidden] = predicted
    cold = ~np.isin(dataset, dataset[known])
    groups, codes = np.unique(dataset[hidden], return_inverse=True)
    enough = np.bincount(codes)[codes] >= _LEAST_HIDDEN
    held_out = {"y_true": truth[hidden][enough], "y_pred": predicted[enough], "groups": groups[codes][enough]}
    return (
        metrics.pearson(truth, mixed, groups=dataset),
        metrics.pearson(truth[cold], mixed[cold], groups=dataset[cold]),
        metrics.pearson(**held_out),
        metrics.spearman(**held_out),
        float(np.sqrt(np.mean((truth[hidden] - predicted) ** 2))),
    )


def main():
    """Run all splits and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    records = fetch_domainnet_transfer().records
    print(
        f"skgat {skgat.__version__}, scikit-learn {sklearn.__version__}, torch {torch.__version__}, "
        f"python {platform.python_version()}, {os.cpu_count()} CPUs, seed {args.seed}"
    )
    results = {name: [] for name in contestants(args.seed)}
    for known, hidden in MissingEdges(n_splits=args.splits, generator="torch").split(records):
        for name, estimator in contestants(args.seed).items():
            pipeline = make_pipeline(MetadataEncoder(), clone(estimator))
            started = time.perf_counter()
            predicted = pipeline.fit(records.iloc[known]).predict(records.iloc[hidden])
            seconds = time.perf_counter() - started
            results[name].append((*evaluate(records, known, hidden, predicted), seconds))
    print(f"\n{'':22}" + "".join(f"{column:>20}" for column in COLUMNS))
    for name, rows in results.items():
        mean, std = np.mean(rows, axis=0), np.std(rows, axis=0)
        print(f"{name:22}" + "".join(f"{f'{m:.3f} +- {s:.3f}':>20}" for m, s in zip(mean, std, strict=True)))


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConstantInputWarning)
    main()
