"""The default fit on DomainNet (10 models on 270 datasets) against one fit of the network of the SCG4Trf paper.

    OMP_NUM_THREADS=1 python benchmarks/speed/small_fit.py [--repeats 15]

The other side is a single network of torch_geometric's layers (two GATConv of 64, one head, skip combination, additive
decoder) on the same edges in both directions, 300 epochs of Adam on the squared error. Both sides learn all 2,700
records by turns, in seconds of the processor, encoding apart; the median of the repeats counts, and that of the ratios
of neighbours. Then both learn the first split of the missing-edge protocol and predict its held-out pairs. The records
are downloaded on the first run.
"""

import argparse
import time
from contextlib import ExitStack
from unittest import mock

import numpy as np
import torch
from machine import describe
from stock import Additive

from skgat import MetadataEncoder, TransferabilityGAT, metrics
from skgat.datasets import fetch_domainnet_transfer
from skgat.gat import fitting
from skgat.gat.trainer import Trainer
from skgat.model_selection import MissingEdges

LEARNING_RATE = 5e-3
#: What a fit consists of, and which function does it.
PARTS = {
    "epochs of the networks": (Trainer, "epoch"),
    "strengths of the kernel": (fitting, "choose_strengths"),
    "folds": (fitting, "draw_folds"),
    "kernel, all records and folds": (fitting, "solve"),
    "factors of what is left over": (fitting, "_complete"),
    "forest": (fitting, "grow"),
    "grove": (fitting, "plant"),
    "states that are kept": (fitting, "_freeze"),
}


def tables_of(records, side):
    """The ids of one kind and their features, a row each."""
    columns = [column for column in records if column.startswith(f"{side}__")]
    table = records.groupby(side, sort=True)[columns].first()
    spread = table.std(ddof=0).replace(0.0, 1.0)
    return table.index, torch.tensor(((table - table.mean()) / spread).to_numpy(), dtype=torch.float32)


def fit_paper(records, rows, epochs, seed=0):
    """Train the network of the paper on some of the rows; returns what it says of all."""
    torch.manual_seed(seed)
    (models, of_models), (datasets, of_datasets) = (tables_of(records, side) for side in ("model", "dataset"))
    ends = [torch.tensor(ids.get_indexer(records[side])) for ids, side in ((models, "model"), (datasets, "dataset"))]
    scores = torch.tensor(records["score"].to_numpy(), dtype=torch.float32)[rows]
    seen = [end[rows] for end in ends]
    edges = torch.stack([seen[0], seen[1] + len(models)])
    both_ways = torch.cat([edges, edges.flip(0)], dim=1)
    network = Additive((of_models.shape[1], of_datasets.shape[1]), (len(models), len(datasets)))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        optimizer.zero_grad()
        said = network((of_models, of_datasets), both_ways, *seen)
        torch.nn.functional.mse_loss(said, scores).backward()
        optimizer.step()
    with torch.no_grad():
        return network((of_models, of_datasets), both_ways, *ends).numpy()


def seconds_of(function):
    """Seconds of the processor that a call takes."""
    begun = time.process_time()
    function()
    return time.process_time() - begun


def time_parts(fit):
    """Seconds of the parts of a fit, and of all of it."""
    taken = dict.fromkeys(PARTS, 0.0)

    def timed(name, function):
        def call(*args, **kwargs):
            begun = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                taken[name] += time.process_time() - begun

        return call

    with ExitStack() as stack:
        for name, (owner, attribute) in PARTS.items():
            stack.enter_context(mock.patch.object(owner, attribute, timed(name, getattr(owner, attribute))))
        return taken, seconds_of(fit)


def quality(records, test, said):
    """Weighted Kendall and Pearson on held-out pairs."""
    rows = records.iloc[test]
    return [
        metric(rows["score"], said, groups=rows["dataset"]) for metric in (metrics.weighted_kendall, metrics.pearson)
    ]


def compare(records, make, epochs, repeats):
    """Print the seconds of both sides, the parts of ours, and the quality of both."""
    encoded = MetadataEncoder().fit_transform(records)
    everything = np.arange(len(encoded))
    sides = {
        "skgat, default": lambda: make().fit(encoded),
        "the paper's network": lambda: fit_paper(encoded, everything, epochs),
    }
    fit_paper(encoded, everything, 2)
    taken = {name: [] for name in sides}
    for _ in range(repeats):
        for name, fit in sides.items():
            taken[name].append(seconds_of(fit))
    train, test = next(MissingEdges(generator="torch").split(records))
    split = MetadataEncoder().fit(records.iloc[train]).transform(records)
    said = {
        "skgat, default": make().fit(split.iloc[train]).predict(split.iloc[test]),
        "the paper's network": fit_paper(split, train, epochs)[test],
    }
    print(f"{'':24}{'seconds':>9}{'weighted Kendall':>18}{'Pearson':>9}")
    for name, seconds in taken.items():
        kendall, pearson = quality(records, test, said[name])
        print(f"{name:24}{np.median(seconds):9.2f}{kendall:18.3f}{pearson:9.3f}")
    ratios = np.divide(*taken.values())
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(f"\nratio of the seconds, quartiles {low:.2f} and {high:.2f}: {middle:.2f}\n")
    parts, whole = time_parts(sides["skgat, default"])
    parts["the rest"] = whole - sum(parts.values())
    for name, seconds in parts.items():
        print(f"{name:32}{seconds:9.2f}{seconds / whole:8.0%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    records = fetch_domainnet_transfer().records
    print(f"{describe()}; {len(records):,} records, seed 0, median of {args.repeats} by turns\n")
    compare(records, lambda: TransferabilityGAT(random_state=0), 300, args.repeats)


if __name__ == "__main__":
    main()
