"""
Which models to put together
============================

An ensemble of three good models that make the same mistakes is hardly better than one of them. SFDA's selection gives
every model two marks, how good it is by itself and how much the zoo would lose without it, and takes those with the
best sum. This example shows what that gains over simply taking the best k, and where it gains nothing.
"""

# %%
# How an ensemble is judged
# -------------------------
# Everything is decided on the training rows: which models are selected, and a linear head on the features of each. The
# ensemble averages the probabilities of its heads; its accuracy is measured on rows that nothing has seen.
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier

from skgat.datasets import load_digits_zoo
from skgat.transferability import score_zoo, select_ensemble

warnings.simplefilter("ignore", ConvergenceWarning)
SIZES = range(1, 7)
WAYS = {
    "best k by SFDA": {"weight": 1},
    "SFDA's selection": {},
    "one by one": {"complement_to": "selected"},
}


def judge(train, y_train, test, y_test):
    """Accuracy of each way of selecting, for each size of the ensemble; the features are given by model."""
    heads = {
        model: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5).fit(features, y_train)
        for model, features in train.items()
    }
    probabilities = {model: head.predict_proba(test[model]) for model, head in heads.items()}
    classes = np.unique(y_train)

    def accuracy(models):
        votes = sum(probabilities[model] for model in models)
        return (classes[votes.argmax(axis=1)] == y_test).mean()

    # All of them come best first, so the smaller ensembles are the beginnings of the largest.
    most = max(SIZES)
    selected = {way: select_ensemble(train, y_train, most, **arguments) for way, arguments in WAYS.items()}
    selected["best k by LogME"] = score_zoo(train, y_train).sort_values("logme", ascending=False)["model"].tolist()
    rows = [(way, k, accuracy(order[:k])) for way, order in selected.items() for k in SIZES]
    rows += [("all models", k, accuracy(list(train))) for k in SIZES]
    return pd.DataFrame(rows, columns=["way", "k", "accuracy"])


# %%
# Thirty networks of many kinds
# -----------------------------
# The bundled digits zoo holds the features of 30 networks on 60 tasks. On each task with right labels, one half of the
# rows decides and the other half judges.
zoo = load_digits_zoo()
models = zoo.models["model"].tolist()
found = []
for dataset in zoo.datasets.query("label_noise == 0")["dataset"]:
    y = zoo.labels[dataset]
    train, test = next(StratifiedKFold(2, shuffle=True, random_state=0).split(y, y))
    features = {model: zoo.features[model, dataset] for model in models}
    halves = [{model: x[rows] for model, x in features.items()} for rows in (train, test)]
    found.append(judge(halves[0], y[train], halves[1], y[test]).assign(dataset=dataset))
of_many_kinds = pd.concat(found)

# %%
# A zoo of near-copies
# --------------------
# A hub often holds the same good model many times over. Here three networks each have been trained on one half of the
# images, left, right, upper or lower.
images, digits = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8) / 16
HALVES = {"left": np.s_[:, :, :4], "right": np.s_[:, :, 4:], "upper": np.s_[:, :4], "lower": np.s_[:, 4:]}


def half(name, rows):
    """One half of the images of some rows, one image a row."""
    return images[rows][HALVES[name]].reshape(len(rows), -1)


def hidden(network, x):
    """Activations of the hidden layer."""
    return np.maximum(x @ network.coefs_[0] + network.intercepts_[0], 0)


rng = np.random.default_rng(0)
shuffled = rng.permutation(len(images))
source, target = shuffled[:900], shuffled[900:]
copies = {
    (name, seed): MLPClassifier((32,), max_iter=60, random_state=seed).fit(half(name, source), digits[source])
    for name in HALVES
    for seed in range(3)
}
found = []
for repetition in range(8):
    rows = rng.permutation(target)
    parts = [
        {f"{name} {seed}": hidden(network, half(name, part)) for (name, seed), network in copies.items()}
        for part in (rows[:200], rows[200:])
    ]
    found.append(judge(parts[0], digits[rows[:200]], parts[1], digits[rows[200:]]).assign(dataset=repetition))
of_near_copies = pd.concat(found)

# %%
# What is gained
# --------------
# Lines are means, bands one standard error of the mean difference to the best k by SFDA.
COLORS = {
    "best k by SFDA": "#0072B2",
    "SFDA's selection": "#D55E00",
    "one by one": "#009E73",
    "best k by LogME": "#CC79A7",
    "all models": "0.5",
}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, table, title in zip(
    axes, (of_many_kinds, of_near_copies), ("30 networks of many kinds", "12 networks, near-copies"), strict=True
):
    by_task = table.groupby(["way", "k", "dataset"])["accuracy"].mean()
    for way, color in COLORS.items():
        mean = by_task[way].groupby("k").mean()
        error = (by_task[way] - by_task["best k by SFDA"]).groupby("k").sem()
        ax.plot(SIZES, mean, color=color, marker="" if way == "all models" else "o", markersize=4, label=way)
        if way in WAYS:
            ax.fill_between(SIZES, mean - error, mean + error, color=color, alpha=0.15, linewidth=0)
    ax.set(xlabel="number of models in the ensemble (k)", ylabel="accuracy on unseen rows", title=title)
    print(title, by_task.groupby(["way", "k"]).mean().unstack("k").loc[list(COLORS)].round(3), sep="\n", end="\n\n")
axes[0].legend()

# %%
# With few rows, many networks separate the classes perfectly. SFDA then gives them all 1, and its best k are hardly a
# choice; its selection does better, because the second mark tells them apart. But a measure that does not saturate,
# LogME, needs no second mark to do better still.
#
# Against near-copies SFDA's selection gains nothing: no copy is missed much by the zoo as a whole, nor does one copy
# keep the others out. What helps there is to ask, one model after the other, what each adds to those already selected
# (``complement_to="selected"``).
gain = {}
for title, table in {"many kinds": of_many_kinds, "near-copies": of_near_copies}.items():
    by_task = table.query("k == 3").groupby(["way", "dataset"])["accuracy"].mean().unstack("way")
    difference = by_task[["SFDA's selection", "one by one"]].sub(by_task["best k by SFDA"], axis=0)
    gain[title] = difference.mean().map("{:+.3f}".format) + difference.sem().map(" ± {:.3f}".format)
print("gain over the best 3 by SFDA", pd.DataFrame(gain), sep="\n")
