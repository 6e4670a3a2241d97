"""The saved files of each release, and the numbers that they gave: ``python tests/golden_files.py``.

Run it once for a release, with the oldest libraries that the release supports, so that later ones are seen to read
what those wrote. A folder that is there is never written again: what users have saved does not change either.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import skgat
from skgat import MetadataEncoder, TransferabilityGAT, presets
from skgat.baselines import BiasRegressor, MatrixCompletion, NearestDatasets, TransferSpaceRegressor
from skgat.embedding import Archi2Vec, GraphEmbedder, ProbeEncoder
from skgat.persistence import save

FOLDER = Path(__file__).parent / "golden"
_SMALL = {"hidden_dim": 4, "n_heads": 2, "n_estimators": 2, "max_iter": 20, "random_state": 0, "device": "cpu"}
_FAMILIES = ("vit", "resnet", None)


def _wave(*shape, start=0.0):
    """Numbers that no library's random stream has a part in."""
    return np.sin(start + np.arange(np.prod(shape), dtype=float) ** 1.5).reshape(shape)


def make_records():
    """Results of 6 models on 5 datasets, with metadata of all kinds and gaps; one dataset is left out of ``fit``."""
    models = pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(6)],
            "model__parameters": [86e6, 25e6, np.nan, 11e6, 5e6, 60e6],
            "model__family": [_FAMILIES[i % 3] for i in range(6)],
        }
    )
    datasets = pd.DataFrame(
        {
            "dataset": [f"d{i}" for i in range(6)],
            "dataset__labels": ["cat, dog", "cat", "car", "cat, car", "dog", "dog, car"],
            "dataset__about": [f"photographs of {word} in the wild" for word in ("cats", "dogs") * 3],
            "dataset__size": [100.0, 5000.0, 70.0, 900.0, 12000.0, 300.0],
        }
    )
    records = models.merge(datasets, how="cross")
    return records.assign(pair__logme=_wave(36), score=0.5 + 0.3 * _wave(36, start=1.0))


def make_networks():
    """Three networks."""
    from torch import nn

    return {
        "small": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)),
        "larger": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)),
        "other": nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.GELU(), nn.Linear(64, 10)),
    }


def make_probes():
    """What a probe model sees of three datasets."""
    return {name: _wave(20, 4, start=shift) + shift for shift, name in enumerate("abc")}


def make_specimens():
    """One small fitted object of each kind, by name."""
    records = make_records()
    seen = records[records["dataset"] != "d5"]
    gat = TransferabilityGAT(**_SMALL)
    return {
        "BiasRegressor": BiasRegressor().fit(seen),
        "MatrixCompletion": MatrixCompletion(random_state=0).fit(seen),
        "MetadataEncoder": MetadataEncoder().fit(seen),
        "NearestDatasets": make_pipeline(MetadataEncoder(), NearestDatasets()).fit(seen),
        "TransferSpaceRegressor": make_pipeline(MetadataEncoder(), TransferSpaceRegressor()).fit(seen),
        "TransferabilityGAT": make_pipeline(MetadataEncoder(), gat).fit(seen),
        "scg4trf": make_pipeline(MetadataEncoder(), presets.scg4trf(**_SMALL)).fit(seen),
        "GraphEmbedder": make_pipeline(
            MetadataEncoder(), GraphEmbedder(n_components=4, max_iter=3, random_state=0), Ridge()
        ).fit(seen, seen["score"]),
        "Archi2Vec": Archi2Vec(n_components=2).fit(make_networks()),
        "ProbeEncoder": ProbeEncoder(n_components=2).fit(make_probes()),
    }


def numbers_of(specimen, name):
    """What a specimen says of its input, as one list of numbers."""
    if name in ("Archi2Vec", "ProbeEncoder"):
        table = specimen.transform(make_networks() if name == "Archi2Vec" else make_probes())
    elif name == "MetadataEncoder":
        table = specimen.transform(make_records()).select_dtypes("number")
    else:
        records = make_records().drop(columns="score")
        bare = name in ("BiasRegressor", "MatrixCompletion")
        table = specimen.predict(records[records["dataset"] != "d5"] if bare else records)
    return np.asarray(table, dtype=float).ravel().tolist()


def main():
    """Write the files of this version."""
    folder = FOLDER / skgat.__version__
    if folder.exists():
        sys.exit(f"{folder} is there already. What was released stays; a new version has a folder of its own.")
    specimens = make_specimens()
    numbers = {name: numbers_of(specimen, name) for name, specimen in specimens.items()}
    folder.mkdir(parents=True)
    for name, specimen in specimens.items():
        save(specimen, folder / f"{name}.skgat")
    (folder / "numbers.json").write_text(json.dumps(numbers, indent=0) + "\n")


if __name__ == "__main__":
    main()
