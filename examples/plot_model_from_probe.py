"""
Which model for my new dataset, from one probe model
====================================================

Thirty pre-trained models stand to choose from, and a new dataset that none of them was ever fine-tuned on. Running all
thirty over it costs thirty forward passes. Here one *probe model* looks at the dataset, once; what it sees places the
dataset among those whose history is known, and so tells which of all the models to fine-tune.
"""

# %%
# A history, and what one model sees
# ----------------------------------
# The digits zoo holds the measured accuracy of 30 small networks after fine-tuning on 60 tasks. Of the features that
# all models have of all tasks we take those of a single one.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, make_records, metrics, recommend
from skgat.baselines import BiasRegressor, TransferSpaceRegressor
from skgat.datasets import load_digits_zoo
from skgat.embedding import ProbeEncoder, domain_similarity

PROBE, NEW = "resnet.upright", "mirrored-6x18"
zoo = load_digits_zoo()
scores = zoo.records[["model", "dataset", "score"]]
kind = zoo.datasets.set_index("dataset")["transformation"]
seen = {dataset: (zoo.features[PROBE, dataset], zoo.labels[dataset]) for dataset in kind.index}

# %%
# The new dataset shows mirrored digits. No task with such digits may be in the history, however small.
is_new = scores["dataset"].map(kind) == kind[NEW]
history = scores[~is_new]
encoder = ProbeEncoder(n_components=8).fit({dataset: seen[dataset] for dataset in history["dataset"].unique()})
described = encoder.transform(seen)
print(described.loc[[NEW]].T.round(2))

# %%
# Recommend
# ---------
# The transfer space factorises the history into vectors of models and datasets, and learns where the columns of the
# probe place a dataset. The new one is then scored against every model by one product.
records = make_records(history, datasets=described)
space = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0)).fit(records)
new = described.loc[[NEW]].add_prefix("dataset__").rename_axis("dataset").reset_index()
ranking = recommend(space, new, k=None).set_index("model")
truth = scores[scores["dataset"] == NEW].set_index("model")["score"]
ranking["measured"] = truth
print(ranking[["rank", "score", "measured"]].head().round(3))

# %%
# How good is that in general?
# ----------------------------
# Each of the fifteen kinds of images takes its turn as the unknown one, all four of its tasks at once; neither their
# scores nor their features reach a fit. The rival knows how good each model is on the whole, which is hard to beat. Not
# every probe beats it: of the thirty models in the place of this one, 21 do; they reach 0.39 to 0.53, 0.46 on average.
quality = {"history alone": [], f"history and the probe {PROBE}": []}
groups = scores["dataset"].map(kind)
for known, hidden in LeaveOneGroupOut().split(scores, groups=groups):
    train, test = scores.iloc[known], scores.iloc[hidden]
    columns = ProbeEncoder(n_components=8).fit({d: seen[d] for d in train["dataset"].unique()}).transform(seen)
    fitted = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0))
    fitted.fit(make_records(train, datasets=columns))
    guesses = BiasRegressor().fit(train).predict(test), fitted.predict(make_records(test, datasets=columns))
    for values, guess in zip(quality.values(), guesses, strict=True):
        values.append(metrics.weighted_kendall(test["score"], guess, groups=test["dataset"]))
quality = pd.DataFrame(quality, index=sorted(groups.unique()))
print(quality.mean().round(3))

# %%
# Where the probe sees the new dataset, what it recommends there, and how that compares for every kind of images.
similar = domain_similarity(seen, "correlation")[NEW].drop(NEW)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), width_ratios=(1.1, 1, 1))
known = described.drop(index=kind.index[kind == kind[NEW]])
points = left.scatter(known["probe_mean0"], known["probe_mean1"], c=similar[known.index], cmap="viridis", s=18)
left.scatter(*described.loc[NEW, ["probe_mean0", "probe_mean1"]], marker="*", s=160, color="crimson")
left.annotate(NEW, described.loc[NEW, ["probe_mean0", "probe_mean1"]], xytext=(6, 6), textcoords="offset points")
left.set(xlabel="probe_mean0", ylabel="probe_mean1", title="tasks as the probe sees them")
figure.colorbar(points, ax=left, label="similarity to the new task")
middle.scatter(ranking["score"], ranking["measured"], s=18)
for name, height in zip(ranking.index[:3], (5, -7, 7), strict=True):
    offset = {"xytext": (6, height), "textcoords": "offset points", "ha": "right", "va": "center", "fontsize": 7}
    middle.annotate(name, ranking.loc[name, ["score", "measured"]], **offset)
middle.margins(0.12)
middle.set(xlabel="predicted accuracy", ylabel="measured accuracy", title="30 models on the new task")
ordered = quality.sort_values(quality.columns[1])
for column, marker in zip(ordered, "o*", strict=True):
    right.plot(ordered[column], np.arange(len(ordered)), marker, label=column)
right.set_yticks(np.arange(len(ordered)), ordered.index)
right.set(xlabel="weighted Kendall on unknown tasks", title="every kind of images left out in turn")
right.margins(y=0.12)
right.legend(fontsize=7, loc="upper left")
figure.tight_layout()
