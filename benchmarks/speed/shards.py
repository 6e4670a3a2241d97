"""An epoch of training by one process and by two, each with half of the edges: seconds, memory and difference.

OMP_NUM_THREADS=1 python benchmarks/speed/shards.py

The processes talk over gloo on the loopback interface, each on one thread.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from machine import describe

SETTINGS = {"max_iter": 6, "n_estimators": 1, "kernel_weight": 0.0, "device": "cpu", "random_state": 0}


def make_frame(n_records, seed=0):
    """Scores of distinct pairs, 5 % of those that there could be."""
    rng = np.random.default_rng(seed)
    n_models, n_datasets = (round(share * n_records**0.5) for share in (10, 2))
    cells = rng.choice(n_models * n_datasets, size=n_records, replace=False)
    return pd.DataFrame(
        {"model": cells // n_datasets, "dataset": cells % n_datasets, "score": rng.normal(size=n_records)}
    )


def work(n_records, output):
    """What one of the processes does; the times of its epochs, its memory and some predictions go to a file."""
    import torch.distributed as dist

    from skgat import TransferabilityGAT
    from skgat.gat.distributed import shard_edges
    from skgat.gat.trainer import Trainer

    seconds, epoch = [], Trainer.epoch

    def timed(it):
        start = time.perf_counter()
        loss = epoch(it)
        seconds.append(time.perf_counter() - start)
        return loss

    Trainer.epoch = timed
    frame = make_frame(n_records)
    dist.init_process_group("gloo")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with shard_edges():
        fitted = TransferabilityGAT(**SETTINGS).fit(frame)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    told = {"seconds": statistics.median(seconds[1:]), "mib": grown / 1024}
    told["predictions"] = fitted.predict(frame[:1000]).tolist()
    Path(output).write_text(json.dumps(told))
    dist.destroy_process_group()


def train(n_processes, n_records, folder):
    """Start the processes, and what the first of them says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(n_processes)}
    outputs = [str(Path(folder) / f"{n_processes}-{rank}") for rank in range(n_processes)]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--records", str(n_records), "--output", output],
            env=os.environ | common | {"RANK": str(rank)},
        )
        for rank, output in enumerate(outputs)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError("A process failed; what it said stands above.")
    return json.loads(Path(outputs[0]).read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.output:
        work(args.records, args.output)
        return
    print(f"{describe()}; {args.records:,} records\n")
    with tempfile.TemporaryDirectory() as folder:
        found = {n_processes: train(n_processes, args.records, folder) for n_processes in (1, 2)}
    print(f"{'processes':12}{'s an epoch':>12}{'MiB of each':>13}")
    for n_processes, told in found.items():
        print(f"{n_processes:<12}{told['seconds']:12.2f}{told['mib']:13.0f}")
    one, two = (np.array(told["predictions"]) for told in found.values())
    print(
        f"\nlargest difference of predictions, in their standard deviations: {np.abs(one - two).max() / one.std():.1e}"
    )


if __name__ == "__main__":
    main()
