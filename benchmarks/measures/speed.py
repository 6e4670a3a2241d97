"""CPU seconds of each training-free measure on one core, beside other implementations.

OMP_NUM_THREADS=1 python benchmarks/measures/speed.py [--transformer-ranker PATH]

With the folder that holds the package ``transformer_ranker``, its LogME and its H-score (which is the regularised
one) run on the same features in the same process, each right after ours. ``elsewhere`` are the seconds of the fastest
established implementation as measured on a machine of the same kind, features of the same form, one thread: not the
same run.
"""

import argparse
import importlib.util
import os
import platform
import sys
import time
import types
import warnings

import numpy as np
import scipy

from skgat import transferability as tr

SIZES = [(2_000, 1_024, 100), (10_000, 256, 100), (10_000, 1_024, 10)]
#: Seconds of the fastest established implementation at these sizes.
ELSEWHERE = {
    "logme": (1.02, 0.35, 2.07),
    "h_score": (0.99, 0.14, 1.57),
    "regularized_h_score": (2.78, 0.29, 5.65),
    "sfda": (3.05, 0.48, 3.08),
    "parc": (1.31, 37.8, 48.4),
    "nleep": (25.6, 31.3, 14.1),
    "leep": (0.06, 0.53, 0.46),
    "lfc": (0.95, 23.7, 8.1),
    "transrate": (3.54, 0.24, 1.96),
    "pactran": (15.3, 58.9, 18.0),
    "gbc": (0.43, 0.42, 0.46),
    "knn": (0.28, 2.6, 7.9),
}
SPECTRAL = ["logme", "h_score", "regularized_h_score", "sfda", "transrate", "lfc"]


def features(n, d, n_classes, seed=0):
    """A Gaussian mixture in single precision, and source probabilities over as many classes as a mixture would have."""
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n)
    X = (rng.normal(size=(n_classes, d))[y] + rng.normal(size=(n, d))).astype(np.float32)
    probabilities = rng.dirichlet(np.ones(1_000 if n > 2_000 else 200), size=n).astype(np.float32)
    return X, y, probabilities


def seconds(function, repeats):
    """Least CPU seconds of a few runs, and the result."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        best = min(best, time.process_time() - start)
    return best, result


def transformer_ranker(path):
    """The two estimators of an installed transformer_ranker, without what its package imports beside them."""
    folder = os.path.join(path, "transformer_ranker", "estimators")
    sys.modules["estimators"] = types.ModuleType("estimators")
    sys.modules["estimators"].__path__ = [folder]
    found = {}
    for module, name in (("logme", "LogME"), ("hscore", "HScore")):
        spec = importlib.util.spec_from_file_location(f"estimators.{module}", os.path.join(folder, f"{module}.py"))
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        found[name] = getattr(loaded, name)
    return {"logme": found["LogME"], "regularized_h_score": found["HScore"], "h_score": found["HScore"]}


def compare(size, index, theirs, repeats):
    """Print one table."""
    X, y, probabilities = features(*size)
    print("\nn = {:,}, d = {:,}, {} classes".format(*size))
    print(f"{'measure':22}{'ours':>9}{'elsewhere':>11}{'ratio':>8}{'same run':>11}{'ratio':>8}")
    for name, times in ELSEWHERE.items():
        inputs = probabilities if name in ("leep", "pactran") else X
        ours, _ = seconds(lambda name=name, inputs=inputs: getattr(tr, name)(inputs, y), repeats)
        line = f"{name:22}{ours:9.3f}{times[index]:11.2f}{times[index] / ours:7.1f}x"
        if name in theirs:
            import torch

            tensors = {"embeddings": torch.from_numpy(X), "labels": torch.from_numpy(y)}
            other, _ = seconds(lambda name=name, tensors=tensors: theirs[name]().fit(**tensors), 1)
            line += f"{other:11.3f}{other / ours:7.1f}x"
        print(line, flush=True)
    for name in ("lda", "linear_probe", "ncti"):
        print(f"{name:22}{seconds(lambda name=name: getattr(tr, name)(X, y), 1)[0]:9.3f}")
    alone, _ = seconds(lambda: tr.score_zoo({"m": X}, y, ["logme"]), repeats)
    for measures in (SPECTRAL[:3] + SPECTRAL[4:], SPECTRAL, [*SPECTRAL, "lda"]):
        together, _ = seconds(lambda measures=measures: tr.score_zoo({"m": X}, y, measures), repeats)
        print(f"score_zoo of {', '.join(measures)}: {together:.3f} s, {together / alone:.2f}x LogME alone")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transformer-ranker", metavar="PATH")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    theirs = {}
    if arguments.transformer_ranker:
        theirs = transformer_ranker(arguments.transformer_ranker)
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; {platform.machine()}, "
        f"{os.cpu_count()} CPUs, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}; seed 0, CPU seconds, best of "
        f"{arguments.repeats}"
    )
    for index, size in enumerate(SIZES):
        compare(size, index, theirs, arguments.repeats)


if __name__ == "__main__":
    main()
