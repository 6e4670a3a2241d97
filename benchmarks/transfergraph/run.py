"""The tables of TransferGraph, leave-one-dataset-out on both zoos, beside honest baselines.

    python benchmarks/transfergraph/run.py [--minutes 60] [--n-components 32]

Every cell is written to ``--cache`` when it is done and never computed twice, so a run that is stopped goes on where it
was; ``--report`` makes the table and the plot of what there is. See README.md beside this file.
"""

import argparse
import json
import os
import platform
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import xgboost
from protocols import FEATURES, RATIOS, assemble, graph_input, load_zoo, make_split, model_folds
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skgat
from skgat import metrics
from skgat.baselines import BiasRegressor
from skgat.embedding import GraphEmbedder

PROTOCOLS = ("leave one out", "both unknown", "history", "both unknown (grouped)")
METHODS = ("none", "node2vec", "node2vec+", "sage", "gat")
#: Where fits are many, the two kinds of walks count as one.
FEW_METHODS = ("none", "node2vec+", "sage", "gat")
#: Before a method: models without a score stay out of the graph and are placed row by row, by their metadata.
PLACED = "placed by "
#: Before a method: the model's mean on other datasets is one more feature.
MEAN = "mean + "
#: The settings of the paper's code; the linear model gets scaled columns, without which it drops most of them.
REGRESSORS = {
    "LR": make_pipeline(StandardScaler(), LinearRegression()),
    "RF": RandomForestRegressor(100, max_features="sqrt", max_depth=5, random_state=18),
    "XGB": xgboost.XGBRegressor(
        n_estimators=500, max_depth=5, learning_rate=0.1, colsample_bytree=0.8, random_state=18, n_jobs=1
    ),
}
MEASURES = {
    "pearson": metrics.pearson,
    "spearman": metrics.spearman,
    "weighted_kendall": metrics.weighted_kendall,
}


class Cache:
    """Finished cells, one line of JSON each."""

    def __init__(self, path):
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.cells = {self._key(cell): cell for cell in map(json.loads, lines)}

    @staticmethod
    def _key(cell):
        return tuple(cell[name] for name in ("modality", "protocol", "target", "ratio", "contestant", "settings"))

    def missing(self, **cell):
        """Tell whether a cell is still to be computed."""
        return self._key(cell) not in self.cells

    def put(self, **cell):
        """Keep a cell."""
        self.cells[self._key(cell)] = cell
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(cell) + "\n")


def plan(protocol):
    """The contestants of a protocol: triples of method, features and regressor."""
    if protocol == "leave one out":
        table = [(m, f, r) for m in METHODS for f in FEATURES for r in REGRESSORS]
        return table + [(MEAN + m, "all", r) for m in METHODS for r in REGRESSORS]
    if protocol == "history":
        return [(m, "all", "XGB") for m in FEW_METHODS]
    placed = [PLACED + m for m in FEW_METHODS if m != "none"]
    return [(m, "all", r) for m in (*FEW_METHODS, *placed) for r in ("RF", "XGB")]


def jobs(modalities, protocols, zoos):
    """All (modality, protocol, target, ratio) in the order of their worth."""
    for protocol in protocols:
        for ratio in RATIOS if protocol == "history" else (1.0,):
            for modality in modalities:
                yield from ((modality, protocol, target, ratio) for target in zoos[modality].targets)


def splits_of(zoo, protocol, target, ratio):
    """The splits whose predictions together rank the models of a target."""
    if protocol in ("leave one out", "history"):
        return [make_split(zoo, target, ratio)]
    folds = model_folds(zoo, grouped=protocol == "both unknown (grouped)")
    splits = [make_split(zoo, target, models=models) for models in folds]
    return [split for split in splits if len(split.test)]


def embed(zoo, split, method, args):
    """Vectors of all rows, from a graph without the held-out scores."""
    if method == "none":
        return None
    rows = graph_input(zoo, split)
    seen = rows
    if method.startswith(PLACED):
        seen = rows[rows["model"].isin(rows["model"].iloc[split.history])]
    embedder = GraphEmbedder(
        method.removeprefix(PLACED),
        args.n_components,
        similarity=-zoo.distances,
        pair_columns=("pair__log_me",),
        max_iter=args.max_iter,
        device="cpu",
        random_state=args.seed,
    )
    out = embedder.fit(seen).transform(rows)
    return out.filter(regex=r"__g\d+$").to_numpy()


def baselines(zoo, split):
    """Predictions without any feature, but for LogME's own."""
    records = zoo.records
    history, test = records.iloc[split.history], records.iloc[split.test]
    mean = pd.Series(split.target).groupby(history["model"].to_numpy()).mean()
    yield "model mean (z)", test["model"].map(mean).fillna(0.0).to_numpy()
    ids = ["model", "dataset", "score"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield "BiasRegressor", BiasRegressor().fit(history[ids]).predict(test[ids])
    yield "LogME", zoo.blocks["LogME"][split.test, 0]


def predictions(zoo, splits, wanted, args):
    """Pairs of a contestant's name and its predictions for the rows of all splits."""
    bare = [dict(baselines(zoo, split)) for split in splits]
    for name in bare[0]:
        yield name, np.concatenate([found[name] for found in bare])
    for method in dict.fromkeys(cell[0].removeprefix(MEAN) for cell in wanted):
        chosen = [cell for cell in wanted if cell[0].removeprefix(MEAN) == method]
        vectors = [embed(zoo, split, method, args) for split in splits]
        for name, features, regressor in chosen:
            parts = []
            for split, vector in zip(splits, vectors, strict=True):
                table = assemble(zoo, split, features, vector, with_mean=name.startswith(MEAN))
                fitted = clone(REGRESSORS[regressor]).fit(table[split.history], split.target)
                parts.append(fitted.predict(table[split.test]))
            yield " | ".join((name, features, regressor)), np.concatenate(parts)


def run_job(zoo, protocol, target, ratio, cache, args):
    """Compute what is missing of one target; tell whether anything was."""
    settings = f"{args.n_components} components, {args.max_iter} steps, seed {args.seed}"
    where = {"modality": zoo.modality, "protocol": protocol, "target": target, "ratio": ratio, "settings": settings}
    names = ["model mean (z)", "BiasRegressor", "LogME", *(" | ".join(cell) for cell in plan(protocol))]
    open_ = {name for name in names if cache.missing(**where, contestant=name)}
    if not open_:
        return False
    splits = splits_of(zoo, protocol, target, ratio)
    rows = np.concatenate([split.test for split in splits])
    truth = zoo.records["score"].to_numpy()[rows]
    wanted = [cell for cell in plan(protocol) if " | ".join(cell) in open_]
    for name, predicted in predictions(zoo, splits, wanted, args):
        if name in open_:
            quality = {
                measure: float(function(truth, predicted, groups=np.zeros(len(rows))))
                for measure, function in MEASURES.items()
            }
            cache.put(**where, contestant=name, n_rows=len(rows), **quality)
    return True


def main():
    """Run what is missing until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modalities", nargs="+", choices=("image", "text"), default=("image", "text"))
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument("--n-components", type=int, default=32)
    parser.add_argument("--max-iter", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--cache", type=Path, default=Path(__file__).parent / "cells.jsonl")
    parser.add_argument("--report", type=Path, help="write the table to this file, and the plot beside it")
    args = parser.parse_args()
    versions = (
        f"skgat {skgat.__version__}, scikit-learn {sklearn.__version__}, xgboost {xgboost.__version__}, "
        f"numpy {np.__version__}, python {platform.python_version()}, {os.cpu_count()} CPUs"
    )
    print(versions, flush=True)
    cache, started = Cache(args.cache), time.perf_counter()
    zoos = {modality: load_zoo(modality) for modality in args.modalities}
    for modality, protocol, target, ratio in jobs(args.modalities, args.protocols, zoos):
        if time.perf_counter() - started > 60 * args.minutes:
            print("time is up; start again to go on")
            break
        begun = time.perf_counter()
        if run_job(zoos[modality], protocol, target, ratio, cache, args):
            print(f"{modality}, {protocol}, {target}, {ratio}: {time.perf_counter() - begun:.0f} s", flush=True)
    if args.report:
        from report import write_report

        write_report(pd.DataFrame(cache.cells.values()), args.report, versions)


if __name__ == "__main__":
    main()
