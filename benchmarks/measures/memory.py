"""Additional memory and seconds that ``score_zoo`` takes for a large file of features.

OMP_NUM_THREADS=1 python benchmarks/measures/memory.py [--rows N]
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from skgat.transferability import score_zoo

MEASURES = ["logme", "h_score", "regularized_h_score", "lfc", "sfda", "transrate", "gbc", "lda"]
COLUMNS, CLASSES = 1_024, 20


def labels(n):
    """The class of each row."""
    return np.random.default_rng(0).integers(CLASSES, size=n)


def write(path, n):
    """Write a Gaussian mixture, a block of rows at a time."""
    rng = np.random.default_rng(1)
    means = 0.1 * rng.standard_normal((CLASSES, COLUMNS), dtype=np.float32)
    y = labels(n)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, COLUMNS))
    for start in range(0, n, 10_000):
        rows = slice(start, min(start + 10_000, n))
        file[rows] = means[y[rows]] + rng.standard_normal((rows.stop - start, COLUMNS), dtype=np.float32)


def peak():
    """Peak of the process's memory in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def score(path, n):
    """Score the file and print what it took."""
    y = labels(n)
    score_zoo({"small": np.random.default_rng(0).random((300, 4))}, y[:300], ["logme"])
    before, start = peak(), time.perf_counter()
    scores = score_zoo({"large": path}, y, MEASURES)
    print(f"{time.perf_counter() - start:.0f} s, {peak() - before:.2f} GiB more than before")
    print(scores.to_string(index=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.file:
        score(arguments.file, arguments.rows)
        return
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    print(f"{versions}; {platform.machine()}, {os.cpu_count()} CPUs; seeds 0 and 1")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "features.npy")
        write(path, arguments.rows)
        # In a process of its own: writing the file would count in the peak.
        command = [sys.executable, __file__, "--rows", str(arguments.rows), "--file", path]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
