"""An epoch on large graphs: ours as lists of edges, and the same architecture made of torch_geometric's layers.

    OMP_NUM_THREADS=1 python benchmarks/speed/large_graph.py [--sizes 10000 100000 1000000 10000000] [--plot PATH]

One network each: two layers of attention in both directions, four heads, states of 32, scores on the edges, a bilinear
decoder. 10^6 records are 10,000 models on 2,000 datasets. In each epoch both sides hide the same share of the edges on
average, and the layers of torch_geometric are given the others alone. Seconds of the processor, the least of a few
epochs; memory is the peak of a fresh process less what it held before, with the libraries and the data in memory and
an epoch on a small graph behind it. The exponent compares the two largest sizes: 1 is linear. ``--plot`` draws both,
beside a line that is linear; it needs matplotlib.
"""

import argparse
import json
import math
import pickle
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from machine import describe
from peak import growth_during

from skgat import TransferabilityGAT
from skgat.graph import Graph

SIDES = ("skgat", "GATv2Conv", "GATConv")
SETTINGS = {
    "n_layers": 2,
    "n_estimators": 1,
    "kernel_weight": 0.0,
    "forest_weight": 0.0,
    "device": "cpu",
    "random_state": 0,
}
N_FEATURES = 8
SMALL = 1_000
LEAST_HIDDEN = 0.1


def make_graph(n_records, seed=0):
    """Distinct pairs of ten models and two datasets for each root of the records."""
    rng = np.random.default_rng(seed)
    n_models, n_datasets = (round(share * n_records**0.5) for share in (10, 2))
    cells = np.sort(rng.choice(n_models * n_datasets, size=n_records, replace=False))
    return Graph(
        models=np.arange(n_models),
        datasets=np.arange(n_datasets),
        edge_models=cells % n_models,
        edge_datasets=cells // n_models,
        scores=rng.normal(size=n_records),
        weights=np.ones(n_records),
        model_features=rng.normal(size=(n_models, N_FEATURES)),
        dataset_features=rng.normal(size=(n_datasets, N_FEATURES)),
        pair_features=np.zeros((n_records, 0)),
        model_columns=tuple(f"model__{i}" for i in range(N_FEATURES)),
        dataset_columns=tuple(f"dataset__{i}" for i in range(N_FEATURES)),
        pair_columns=(),
    )


def our_epochs(task):
    """A function that trains for one epoch: the trainer of `TransferabilityGAT`."""
    from skgat.gat.edges import SparseEdges
    from skgat.gat.runtime import resolve_device
    from skgat.gat.trainer import Trainer

    known = task.graph, task.features, task.near, task.target, task.config, task.settings
    return Trainer(*known, SparseEdges, resolve_device("cpu"), 0).epoch


def stock_epochs(task, layer):
    """A function that trains for one epoch: the same architecture and the same hiding, in stock layers."""
    import torch
    from stock import Bipartite

    graph, given = task.graph, TransferabilityGAT(**SETTINGS).get_params()
    features = [torch.tensor(task.features[side], dtype=torch.float32) for side in ("model", "dataset")]
    ends = torch.tensor(np.stack([graph.edge_models, graph.edge_datasets]))
    scores = torch.tensor(task.target, dtype=torch.float32)
    torch.manual_seed(0)
    network = Bipartite(layer, [table.shape[1] for table in features], **{
        name: given[name] for name in ("hidden_dim", "n_layers", "n_heads")
    })  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), lr=task.settings["learning_rate"], fused=True)

    # Ours draws this share anew in each epoch, with the same cost; the cost of stock layers would change with it.
    share = (LEAST_HIDDEN + given["edge_dropout"]) / 2

    def epoch():
        hidden = torch.rand(graph.n_edges) < share
        for end, n_nodes in zip(ends, (graph.n_models, graph.n_datasets), strict=True):
            hidden |= (torch.rand(n_nodes) < given["node_dropout"])[end]
        asked = ends[:, hidden]
        said = network(features, ends[:, ~hidden], scores[~hidden, None], asked)
        optimizer.zero_grad()
        torch.nn.functional.huber_loss(said, scores[hidden], delta=0.5).backward()
        optimizer.step()

    return epoch


def work(side, path, n_epochs):
    """What a fresh process does: seconds of an epoch and MiB at the peak."""
    import torch

    torch.set_num_threads(1)
    task, small = pickle.loads(Path(path).read_bytes())
    make = our_epochs if side == "skgat" else partial(stock_epochs, layer=side)
    # What libraries load when they are first used is not memory of this training.
    make(small)()
    seconds = []

    def train():
        epoch = make(task)
        for _ in range(n_epochs + 1):
            begun = time.process_time()
            epoch()
            seconds.append(time.process_time() - begun)

    mib = growth_during(train)
    return {"seconds": min(seconds[1:]), "mib": mib}


def measure(n_records, n_epochs, folder):
    """Seconds and MiB of each side, each in a process of its own."""
    from skgat.gat.fitting import prepare

    tasks = [prepare(TransferabilityGAT(**SETTINGS), make_graph(size)) for size in (n_records, SMALL)]
    path = Path(folder) / "task"
    path.write_bytes(pickle.dumps(tasks))
    found = {}
    for side in SIDES:
        command = [sys.executable, __file__, "--side", side, "--task", str(path), "--epochs", str(n_epochs)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{side} failed: {done.stderr[-2000:]}")
        found[side] = json.loads(done.stdout)
    return found


def draw(path, sizes, tables):
    """Seconds and memory by the number of records, on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from skgat.plotting._canvas import MARKERS, PALETTE

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    for ax, unit, title in zip(axes, ("seconds", "mib"), ("seconds an epoch", "MiB at the peak"), strict=True):
        for side, colour, marker in zip(SIDES, PALETTE, MARKERS, strict=False):
            ax.loglog(sizes, [table[side][unit] for table in tables], color=colour, marker=marker, label=side)
        last = tables[-1]["skgat"][unit]
        ax.loglog(sizes, [last * size / sizes[-1] for size in sizes], color="gray", ls=":", label="linear")
        ax.set(xlabel="records", ylabel=title)
        ax.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--plot", help="where to draw the figures")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(work(args.side, args.task, args.epochs)))
        return
    print(f"{describe()}; seed 0, least of {args.epochs} epochs\n")
    with tempfile.TemporaryDirectory() as folder:
        tables = [measure(size, args.epochs, folder) for size in args.sizes]
    for unit, title in (("seconds", "seconds an epoch"), ("mib", "MiB")):
        print(f"{title:24}" + "".join(f"{size:>12,}" for size in args.sizes) + f"{'exponent':>10}")
        for side in SIDES:
            values = [table[side][unit] for table in tables]
            growth = math.nan
            if values[1:]:
                growth = math.log(values[-1] / values[-2]) / math.log(args.sizes[-1] / args.sizes[-2])
            print(f"{side:24}" + "".join(f"{value:12.3f}" for value in values) + f"{growth:10.2f}")
        for side in SIDES[1:]:
            ratios = [table[side][unit] / table["skgat"][unit] for table in tables]
            print(f"{f'{side} / skgat':24}" + "".join(f"{ratio:12.1f}" for ratio in ratios))
        print()
    if args.plot:
        draw(args.plot, args.sizes, tables)


if __name__ == "__main__":
    main()
