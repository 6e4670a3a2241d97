"""Write down what this release predicts: ``python tests/golden/make.py`` makes ``tests/golden/predictions.json`` anew.

Made anew only where predictions are meant to change; the change is then a line of the changelog.
"""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import sklearn

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from estimators import recommenders  # noqa: E402 - the folder above is on the path from here on

import skgat  # noqa: E402
from skgat.datasets import load_vision_zoo  # noqa: E402

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
    (FOLDER / "predictions.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
