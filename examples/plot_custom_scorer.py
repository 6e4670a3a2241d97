"""
Judge by what you care about
============================

Which recommender is best depends on what it is for. Someone who fine-tunes three models and keeps the best asks another
question than someone whose device holds small models only. This example writes both questions down as scorers and lets
three recommenders answer them.
"""

# %%
# A metric of one's own
# ---------------------
# A metric takes true scores, predicted scores and the dataset of each row. This one asks on how many datasets one of
# the first three models comes within two points of the best. ``ranking_scorer`` makes a scorer of it, which reads the
# datasets from their column.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder
from skgat.baselines import BiasRegressor, NearestDatasets, TransferSpaceRegressor
from skgat.datasets import load_digits_zoo
from skgat.metrics import ranking_scorer
from skgat.model_selection import LeaveDatasetsOut


def good_enough(y_true, y_pred, *, groups, k=3, tolerance=0.02):
    """Share of the datasets on which the best of the first k is within the tolerance of the best of all."""
    rows = pd.DataFrame({"true": np.asarray(y_true), "predicted": y_pred, "dataset": np.asarray(groups)})
    best = rows.groupby("dataset")["true"].max()
    first = rows.sort_values("predicted", ascending=False, kind="stable").groupby("dataset").head(k)
    return (best - first.groupby("dataset")["true"].max() <= tolerance).mean()


# %%
# A scorer of one's own
# ---------------------
# A scorer may use whatever else the records hold: any function of a fitted recommender and records will do. This one
# looks at models of fewer than 5,000 parameters alone, and asks how much worse than the best of them the recommended
# one is.
def small_device(recommender, X, y=None):
    """Accuracy given away, negated, by the first of the models that fit the device."""
    fits = X[X["model__parameters"] < 5000]
    rows = fits.assign(predicted=recommender.predict(fits.drop(columns="score")))
    picked = rows.loc[rows.groupby("dataset")["predicted"].idxmax()].set_index("dataset")["score"]
    return -(rows.groupby("dataset")["score"].max() - picked).mean()


# %%
# Three recommenders, three questions
# -----------------------------------
# The fifteen kinds of images in the digits zoo are held out in five folds. The first question is the usual one, about
# the order of all models.
records = load_digits_zoo().records
recommenders = {
    "mean of each model": BiasRegressor(),
    "nearest datasets": make_pipeline(MetadataEncoder(), NearestDatasets()),
    "transfer space": make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0)),
}
scoring = {
    "weighted Kendall": ranking_scorer("weighted_kendall"),
    "share of datasets where one\nof the first three is good enough": ranking_scorer(good_enough, k=3),
    "accuracy given away\non a small device": small_device,
}
folds = LeaveDatasetsOut(n_splits=5, dataset="dataset__transformation")
found = {}
for name, recommender in recommenders.items():
    scores = cross_validate(recommender, records, records["score"], scoring=scoring, cv=folds)
    found[name] = {question: abs(scores[f"test_{question}"].mean()) for question in scoring}
found = pd.DataFrame(found).T
print(found.set_axis(["weighted Kendall", "good enough", "given away"], axis=1).round(3))

# %%
# The winner, in orange, depends on the question: the transfer space orders all models best, but the nearest datasets
# are better at the top and among the small. To choose settings by a question, pass its scorer to ``GridSearchCV``.
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained", sharey=True)
for ax, (question, values) in zip(axes, found.items(), strict=True):
    is_loss = question.startswith("accuracy")
    winner = values.idxmin() if is_loss else values.idxmax()
    bars = ax.barh(values.index, values, color=["#E69F00" if name == winner else "#0072B2" for name in values.index])
    ax.bar_label(bars, fmt="%.3f", padding=3)
    ax.set(title=question, xlabel="less is better" if is_loss else "more is better")
    ax.margins(x=0.25)
