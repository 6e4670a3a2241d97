"""An epoch with all edges on the device at once, and with one part of them after the other.

    OMP_NUM_THREADS=1 python benchmarks/speed/parts.py [--records 1000000] [--parts 2 8] [--device auto]

Four networks of default sizes; 10^6 records are 10,000 models on 2,000 datasets. Seconds on the clock, the least of a
few epochs; on a GPU, MiB that torch held there at the peak, elsewhere of the whole process, edges of the host included,
less what it held before. Each line is a fresh process. Last, by how much the losses of the epochs differ at most.
"""

import argparse
import json
import subprocess
import sys
import time
from functools import partial

import numpy as np
from large_graph import SETTINGS, SMALL, make_graph
from machine import describe
from peak import growth_during

from skgat import TransferabilityGAT

DEFAULTS = SETTINGS | {"n_layers": "auto", "n_estimators": 4}


def start(n_records, n_parts, device, settings=DEFAULTS):
    """The trainer of a graph of so many records."""
    from skgat.gat.edges import SparseEdges
    from skgat.gat.fitting import prepare
    from skgat.gat.parts import PartedEdges
    from skgat.gat.trainer import Trainer

    task = prepare(TransferabilityGAT(**settings), make_graph(n_records))
    layout = SparseEdges if n_parts == 1 else partial(PartedEdges, n_parts=n_parts)
    return Trainer(task.graph, task.features, task.near, task.target, task.config, task.settings, layout, device, 0)


def work(n_records, n_parts, device, n_epochs):
    """What a fresh process does: seconds of an epoch, MiB at the peak, and the losses."""
    import torch

    from skgat.gat.runtime import resolve_device

    device = resolve_device(device)
    # What libraries load when they are first used is not memory of this training.
    start(SMALL, n_parts, device).epoch()
    seconds, losses = [], []

    def train():
        trainer = start(n_records, n_parts, device)
        for _ in range(n_epochs + 1):
            begun = time.perf_counter()
            losses.append(trainer.epoch())
            seconds.append(time.perf_counter() - begun)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        train()
        mib = (torch.cuda.max_memory_allocated(device) - before) / 2**20
    else:
        mib = growth_during(train)
    return {"device": str(device), "seconds": min(seconds[1:]), "mib": mib, "losses": losses}


def measure(n_records, n_parts, device, n_epochs):
    """What :func:`work` finds in a process of its own."""
    given = json.dumps([n_records, n_parts, device, n_epochs])
    done = subprocess.run([sys.executable, __file__, "--work", given], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{n_parts} parts failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work(*json.loads(args.work))))
        return
    found = {n: measure(args.records, n, args.device, args.epochs) for n in (1, *args.parts)}
    whole = found[1]
    print(f"{describe()}; {whole['device']}, {args.records:,} records, seed 0, least of {args.epochs} epochs\n")
    print(f"{'parts':>5}{'s an epoch':>12}{'MiB':>8}")
    for n_parts, told in found.items():
        print(f"{n_parts:>5}{told['seconds']:>12.2f}{told['mib']:>8.0f}")
    off = max(np.abs(np.divide(told["losses"], whole["losses"]) - 1.0).max() for told in found.values())
    print(f"\nlargest difference of losses, as a share: {off:.1e}")


if __name__ == "__main__":
    main()
