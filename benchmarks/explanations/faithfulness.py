"""Does the evidence that ``explain`` names matter? The prediction without it, beside that without random results.

    python benchmarks/explanations/faithfulness.py [--pairs 12] [--refits]

On the bundled vision zoo: two datasets and some single pairs are held out, the default recommender is fitted on the
rest, and each held-out pair is explained. Five results are taken out together: those with the largest effects; those
that raise the prediction most, or lower it most if that is more (large effects of both directions partly cancel); and
random ones of the same model or the same dataset. What counts is how far the prediction moves. With ``--refits`` the
recommender is trained again without them; else the trained weights stay.
"""

import argparse
import platform

import numpy as np
import pandas as pd
import sklearn
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skgat import MetadataEncoder, TransferabilityGAT, __version__
from skgat.datasets import load_vision_zoo
from skgat.gat.evidence import without_records
from skgat.inspection import explain

HELD_OUT = ["pets", "cars"]
TOP = 5
DRAWS = 20


def main():
    """Print one line a pair and the averages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12, help="pairs of each kind (default: %(default)s)")
    parser.add_argument("--refits", action="store_true", help="train again without the evidence")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    records = load_vision_zoo().records
    new = records["dataset"].isin(HELD_OUT)
    missing = rng.choice(np.flatnonzero(~new), args.pairs, replace=False)
    unknown = rng.choice(np.flatnonzero(new), args.pairs, replace=False)
    history = records[~new].drop(index=records.index[missing]).reset_index(drop=True)
    pipeline = Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(random_state=args.seed))])
    fitted = clone(pipeline).fit(history)
    rows = []
    for kind, places in (("missing result", missing), ("unknown dataset", unknown)):
        for place in places:
            pair = records.iloc[[place]]
            largest, one_way, random = _moves(pair, history, pipeline, fitted, args.refits, rng)
            rows.append({"kind": kind, "largest": largest, "one way": one_way, "random": random})
            print(
                f"{kind:<16} {pair['model'].iloc[0]:>14} on {pair['dataset'].iloc[0]:<12} "
                f"{largest:7.3f} {one_way:7.3f} {random:7.3f}"
            )
    how = "trained again" if args.refits else "taken out of the trained recommender"
    print(f"\nMean move of the prediction (points of accuracy), {TOP} results {how}:\n")
    print(pd.DataFrame(rows).groupby("kind").mean().to_string(float_format="{:.3f}".format))
    versions = f"skgat {__version__}, scikit-learn {sklearn.__version__}, torch {torch.__version__}"
    print(f"\n{versions}, Python {platform.python_version()}, seed {args.seed}")


def _moves(pair, history, pipeline, fitted, refits, rng):
    """How far the prediction moves without the evidence, and without random results (the mean of several draws)."""
    gat = fitted[-1]
    dataset = pair.filter(regex="^dataset").iloc[[0]]
    explanation = explain(fitted, pair["model"].iloc[0], dataset)
    largest = explanation.records.head(TOP)
    sides = (explanation.records.nlargest(TOP, "effect"), explanation.records.nsmallest(TOP, "effect"))
    one_way = max(sides, key=lambda part: abs(part["effect"].sum()))
    related = history[(history["model"] == explanation.model) | (history["dataset"] == explanation.dataset)]
    draws = [related.sample(TOP, random_state=rng.integers(2**31)) for _ in range(1 if refits else DRAWS)]
    X = fitted[:-1].transform(pair.drop(columns="score"))
    before = gat.predict(X)[0]
    graph = gat.graph_
    key = pd.MultiIndex.from_arrays([graph.models[graph.edge_models], graph.datasets[graph.edge_datasets]])

    def move(out):
        chosen = pd.MultiIndex.from_frame(out[["model", "dataset"]])
        if not refits:
            return abs(before - without_records(gat, X, key.get_indexer(chosen))[0])
        rest = history[~pd.MultiIndex.from_frame(history[["model", "dataset"]]).isin(chosen)]
        return abs(before - clone(pipeline).fit(rest).predict(pair.drop(columns="score"))[0])

    return move(largest), move(one_way), float(np.mean([move(draw) for draw in draws]))


if __name__ == "__main__":
    main()
