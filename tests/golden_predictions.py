"""What each recommender of this release predicts after a fit: ``python tests/golden_predictions.py`` writes it down.

Beside the saved files of the release, and after them. Made anew only where predictions are meant to change; the change
is then a line of the changelog.
"""

import json
import platform

import numpy as np
import pandas as pd
import scipy
import sklearn
from estimators import recommenders
from golden_files import FOLDER

import skgat
from skgat.datasets import load_vision_zoo

PATH = FOLDER / skgat.__version__ / "predictions.json"
#: A dataset and a model that fit does not see.
UNKNOWN = {"dataset": "pets", "model": "resnet50"}
#: Every so manieth row is asked for.
STEP = 4


def predictions():
    """Of every recommender on the vision zoo, by name: known pairs, and pairs of which one end or both are new."""
    records = load_vision_zoo().records
    new = np.logical_or.reduce([records[side] == name for side, name in UNKNOWN.items()])
    asked = pd.concat([records[~new][::STEP], records[new][::STEP]])
    seen = records[~new]
    return {
        name: recommender.fit(seen, seen["score"]).predict(asked).tolist()
        for name, recommender in recommenders().items()
    }


def main():
    """Write the file."""
    import torch

    versions = {module.__name__: module.__version__ for module in (skgat, np, pd, scipy, sklearn, torch)}
    made = {"with": versions | {"python": platform.python_version()}, "predictions": predictions()}
    PATH.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
