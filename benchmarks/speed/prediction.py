"""What a prediction costs: one pair, a million pairs, an unknown dataset, a few new records.

    OMP_NUM_THREADS=1 python benchmarks/speed/prediction.py [--models 200 --datasets 60 --pair-features 0]

Times are the least of several runs, in seconds of the processor, so that other work on the machine counts little.
"""

import argparse
import copy
import time

import numpy as np

from skgat import MetadataEncoder, TransferabilityGAT
from skgat.datasets import make_transfer_records
from skgat.gat.grove import Grove
from skgat.gat.inference import End
from skgat.gat.prediction import end_of, predict_of_terms
from skgat.gat.reading import read_features
from skgat.graph import SIDES
from skgat.records import read_pairs


def least(function, repeats, number=1):
    """The least time of a call, in seconds."""
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        for _ in range(number):
            function()
        found.append((time.process_time() - begun) / number)
    return min(found)


def known_pair(recommender, row):
    """The time from codes to the score of one pair of a known model and a known dataset."""
    pairs = read_pairs(recommender, row, reset=False, missing=True)
    tables, codes, _ = read_features(recommender.graph_, recommender.network_.scaling, pairs)
    ends = {side: End(codes[side]) for side in SIDES}
    features = recommender.network_.scale("pair", tables["pair"])
    return least(lambda: predict_of_terms(recommender, ends, slice(0, 1), features), 20, 200)


def unknown_dataset(recommender, row):
    """The time to attach one unknown dataset: states and terms of its node, from its features."""
    pairs = read_pairs(recommender, row, reset=False, missing=True)
    tables, codes, _ = read_features(recommender.graph_, recommender.network_.scaling, pairs)
    features = recommender.network_.scale("dataset", tables["dataset"])
    return least(lambda: end_of(recommender, "dataset", codes["dataset"], pairs.datasets, features), 10, 50)


def main():
    """Fit once and time what follows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--datasets", type=int, default=60)
    parser.add_argument("--pair-features", type=int, default=0)
    args = parser.parse_args()
    bunch = make_transfer_records(
        args.models, args.datasets + 1, fill=0.5, n_pair_features=args.pair_features, random_state=0
    )
    unknown = bunch.records["dataset"] == bunch.records["dataset"].iloc[-1]
    encoder = MetadataEncoder().fit(bunch.records[~unknown])
    records, new = encoder.transform(bunch.records[~unknown]), encoder.transform(bunch.records[unknown])
    estimator = TransferabilityGAT(random_state=0)
    fit = least(lambda: estimator.fit(records), 1)
    print(f"fit, {len(records)} records: {fit:.2f} s")
    print(f"one known pair, read already: {1e6 * known_pair(estimator, records.iloc[[0]]):.0f} us")
    told = copy.copy(estimator)
    shape = told.graph_.n_models, told.graph_.n_datasets
    told.grove_ = Grove(np.zeros(shape, dtype=np.float32), np.ones(shape[1]), 0.5)
    print(f"the same where trees have a share: {1e6 * known_pair(told, records.iloc[[0]]):.0f} us")
    print(f"one known pair through predict: {1e6 * least(lambda: estimator.predict(records.iloc[[0]]), 5, 20):.0f} us")
    bulk = records.iloc[np.random.default_rng(0).integers(0, len(records), 1_000_000)].reset_index(drop=True)
    print(f"1,000,000 known pairs through predict: {least(lambda: estimator.predict(bulk), 2):.2f} s")
    print(f"the same where trees have a share: {least(lambda: told.predict(bulk), 2):.2f} s")
    print(f"one unknown dataset attached, read already: {1e3 * unknown_dataset(estimator, new.iloc[[0]]):.2f} ms")
    print(f"one unknown dataset through predict: {1e3 * least(lambda: estimator.predict(new.iloc[[0]]), 5, 20):.1f} ms")
    begun = time.process_time()
    estimator.partial_fit(new.head(10))
    taken = time.process_time() - begun
    print(f"partial_fit of 10 records: {taken:.3f} s, {taken / fit:.1%} of fit")


if __name__ == "__main__":
    main()
