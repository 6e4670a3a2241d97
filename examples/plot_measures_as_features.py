"""
Training-free measures as features of a recommender
===================================================

A dataset that nobody has fine-tuned on has no history. What it has is features: run every model over it once, and a
measure such as LogME tells how well they suit the labels. Here such measures become columns beside the history of other
datasets, and a regression learns how far to trust each.
"""

# %%
# A small zoo
# -----------
# Eight networks, each trained on a different view of scikit-learn's digits: turned, mirrored, inverted, blurred, or
# with half of the classes only. Their features are the activations of the hidden layer.
import warnings

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skgat import make_records
from skgat.plotting import MeasuresDisplay
from skgat.transferability import score_zoo

warnings.simplefilter("ignore", ConvergenceWarning)
images, digits = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8) / 16

VIEWS = {
    "plain": lambda x: x,
    "turned": lambda x: np.rot90(x, axes=(1, 2)),
    "upside down": lambda x: x[:, ::-1],
    "mirrored": lambda x: x[:, :, ::-1],
    "inverted": lambda x: 1 - x,
    "shifted": lambda x: np.roll(x, 2, axis=2),
    "blurred": lambda x: (x + np.roll(x, 1, 1) + np.roll(x, 1, 2) + np.roll(x, -1, 1)) / 4,
    "coarse": lambda x: x.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).repeat(2, 1).repeat(2, 2),
}


def view(name, rows):
    """The images of some rows as one view shows them, one image a row."""
    return VIEWS[name](images[rows]).reshape(len(rows), -1)


rng = np.random.default_rng(0)
shuffled = rng.permutation(len(images))
source, target = shuffled[:900], shuffled[900:]
networks = {
    name: MLPClassifier((32,), max_iter=60, random_state=0).fit(view(name, source), digits[source]) for name in VIEWS
}


def features(network, x):
    """Activations of the hidden layer."""
    return np.maximum(x @ network.coefs_[0] + network.intercepts_[0], 0)


# %%
# History and measures
# --------------------
# The target datasets are views of other images, with some of the classes and few rows to learn from. The score of a
# model is the accuracy, on further images, of a new head on its features. The measures see the few rows only.
scores, pairs = [], []
for number, name in enumerate(list(VIEWS) * 2):
    dataset = f"{name} {number // len(VIEWS)}"
    classes = rng.choice(10, size=rng.integers(4, 9), replace=False)
    rows = rng.permutation(target[np.isin(digits[target], classes)])
    few, rest = rows[:100], rows[100:]
    zoo = {model: features(network, view(name, few)) for model, network in networks.items()}
    for model, network in networks.items():
        head = LogisticRegression(max_iter=200).fit(zoo[model], digits[few])
        accuracy = head.score(features(network, view(name, rest)), digits[rest])
        scores.append({"model": model, "dataset": dataset, "score": accuracy})
    pairs.append(score_zoo(zoo, digits[few], ["logme", "regularized_h_score", "parc"], dataset=dataset))
scores, pairs = pd.DataFrame(scores), pd.concat(pairs, ignore_index=True)
print(pairs.head())

# %%
# One row a result, the measures beside it. What counts is how a measure ranks the models of one dataset, so each is
# standardised within its dataset.
records = make_records(scores, pairs=pairs)
measures = [column for column in records.columns if column.startswith("pair__")]
within = records.groupby("dataset")
records[measures] = (records[measures] - within[measures].transform("mean")) / within[measures].transform("std")
records["gain"] = records["score"] - within["score"].transform("mean")

# %%
# Do they help on unknown datasets?
# ---------------------------------
# Every dataset is left out in turn. History alone knows how well each model does on average; a measure alone needs no
# history; a ridge regression on both learns the weights.
history = make_column_transformer((OneHotEncoder(), ["model"]))
both = make_column_transformer((OneHotEncoder(), ["model"]), (StandardScaler(), measures))
predictions = {measure: records[measure] for measure in measures}
for name, columns in {"history": history, "history and measures": both}.items():
    predictions[name] = cross_val_predict(
        make_pipeline(columns, RidgeCV(np.logspace(-2, 2, 9))),
        records,
        records["gain"],
        groups=records["dataset"],
        cv=LeaveOneGroupOut(),
    )
display = MeasuresDisplay.from_predictions(
    records.assign(**predictions), references=["history", "history and measures"]
)
display.ax_.set_title("order of the models of unknown datasets")
print(display.quality.mean().round(3))

# %%
# The recommendation for one of the unknown datasets, beside the truth:
unknown = records.assign(predicted=predictions["history and measures"]).query("dataset == 'turned 1'")
print(unknown.sort_values("predicted", ascending=False)[["model", "predicted", "score"]].head(3))
