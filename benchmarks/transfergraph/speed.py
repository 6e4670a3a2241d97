"""Seconds that GraphEmbedder takes on a graph with many edges.

    python benchmarks/transfergraph/speed.py [--edges 100000] [--models 4000] [--datasets 400] [--threads 2]

The zoo is random: every pair has a score with the same chance. With the default shares half of the scored pairs become
edges and the other half known negatives, so twice as many pairs as ``--edges`` are drawn. Prints, for each method, the
seconds of the walks, of counting pairs and of training, and those of the whole ``fit``, by the clock and of the CPU.
"""

import argparse
import os
import platform
import sys
import time


def make_records(n_models, n_datasets, n_pairs, seed):
    """A random history in the form of the encoder's output."""
    rng = np.random.default_rng(seed)
    models, datasets = np.divmod(rng.choice(n_models * n_datasets, n_pairs, replace=False), n_datasets)
    quality, factors = rng.normal(size=n_models), (rng.normal(size=(n_models, 4)), rng.normal(size=(n_datasets, 4)))
    interaction = (factors[0][models] * factors[1][datasets]).sum(axis=1)
    return pd.DataFrame(
        {
            "model": models,
            "dataset": datasets,
            **{f"model__f{i}": factors[0][models, i] for i in range(4)},
            **{f"dataset__f{i}": factors[1][datasets, i] for i in range(4)},
            "score": quality[models] + interaction + rng.normal(size=n_pairs),
        }
    )


def time_parts(embedder, records):
    """Fit while the parts are watched."""
    seconds = {}

    def watched(name, function):
        def call(*args, **kwargs):
            started = time.perf_counter()
            result = function(*args, **kwargs)
            seconds[name] = time.perf_counter() - started
            return result

        return call

    names = ("random_walks", "count_pairs", "train_vectors")
    originals = {name: getattr(graph_embedder, name) for name in names}
    try:
        for name, function in originals.items():
            setattr(graph_embedder, name, watched(name, function))
        started, spent = time.perf_counter(), time.process_time()
        embedder.fit(records)
        seconds["fit"] = time.perf_counter() - started
        seconds["fit (CPU time)"] = time.process_time() - spent
    finally:
        for name, function in originals.items():
            setattr(graph_embedder, name, function)
    return seconds


def main():
    """Time each method once."""
    pairs = round(args.edges / 0.5)
    records = make_records(args.models, args.datasets, pairs, args.seed)
    print(
        f"skgat {skgat.__version__}, numpy {np.__version__}, scikit-learn {sklearn.__version__}, python "
        f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs, {args.threads} thread(s), seed "
        f"{args.seed}"
    )
    for method in args.methods.split(","):
        embedder = GraphEmbedder(method, random_state=args.seed, device="cpu")
        seconds = time_parts(embedder, records)
        graph = embedder.transfer_graph_
        print(
            f"{method}: {len(graph.weights)} edges ({(graph.kinds == 0).sum()} of scores), {len(graph.negatives)} "
            f"negatives, {graph.n_nodes} nodes; seconds: "
            + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()),
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=100_000)
    parser.add_argument("--models", type=int, default=4000)
    parser.add_argument("--datasets", type=int, default=400)
    parser.add_argument("--methods", default="node2vec,node2vec+,sage,gat")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    # BLAS reads these when it is loaded.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(args.threads)
    if "numpy" in sys.modules:
        sys.exit("numpy is loaded already; run this file as a script")
    import numpy as np
    import pandas as pd
    import sklearn

    import skgat
    from skgat.embedding import GraphEmbedder, graph_embedder

    main()
