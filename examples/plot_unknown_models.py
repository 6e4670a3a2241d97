"""
A model that nobody has fine-tuned yet
======================================

A new model comes out. It has no results on any dataset, so all that is known are its metadata: architecture, size, how
it was pre-trained, its accuracy on ImageNet. This example asks where such a model would stand among the others, and
whether that is better than to go by its accuracy on ImageNet.
"""

# %%
# Hold out models, not datasets
# -----------------------------
# ``LeaveModelsOut`` holds out whole models of the vision zoo. What is known of the others teaches what metadata are
# worth. The recommender here is the kernel regression that is one half of ``TransferabilityGAT``: with
# ``kernel_weight=1`` the networks have no say, so a single step of training is enough, and with ``forest_weight=0``
# trees have none either.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, TransferabilityGAT, metrics
from skgat.baselines import TransferSpaceRegressor
from skgat.datasets import load_vision_zoo
from skgat.model_selection import LeaveModelsOut

records = load_vision_zoo().records
kernel = TransferabilityGAT(kernel_weight=1.0, forest_weight=0.0, n_estimators=1, max_iter=1, random_state=0)
space = TransferSpaceRegressor(random_state=0)
folds = LeaveModelsOut(n_splits=6, random_state=0)
predictions = {
    name: cross_val_predict(make_pipeline(MetadataEncoder(), regressor), records, records["score"], cv=folds)
    for name, regressor in {"kernel regression": kernel, "transfer space": space}.items()
}
predictions["accuracy on ImageNet"] = records["model__imagenet_top1"].to_numpy()

# %%
# How well are the unknown ranked?
# --------------------------------
# Every model is predicted while it is unknown; then all of one kind are ranked on each dataset. Over all models the
# regression is ahead of the accuracy on ImageNet, which does not compare between supervised and self-supervised models.
# Within either kind it is no better: that single column is hard to beat. And metadata do not tell everything, as
# ``mnasnet1_0`` shows: none would think that it does so badly.
supervised = (records["model__pretraining"] == "supervised").to_numpy()
kinds = {"all 23": np.full(len(records), True), "11 supervised": supervised, "12 self-supervised": ~supervised}
quality = pd.DataFrame(
    {
        name: {
            kind: metrics.weighted_kendall(records["score"][rows], values[rows], groups=records["dataset"][rows])
            for kind, rows in kinds.items()
        }
        for name, values in predictions.items()
    }
)
print(quality.round(2))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
means = records.assign(predicted=predictions["kernel regression"]).groupby("model")[["predicted", "score"]].mean()
is_supervised = records.groupby("model")["model__pretraining"].first().eq("supervised")
for flag, label, color, marker in ((True, "supervised", "#0072B2", "o"), (False, "self-supervised", "#E69F00", "s")):
    part = means[is_supervised == flag]
    left.scatter(part["predicted"], part["score"], label=label, color=color, marker=marker)
for model in [means["score"].idxmax(), means["score"].idxmin(), (means["score"] - means["predicted"]).abs().idxmax()]:
    side = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "fontsize": "small"}
    left.annotate(model, means.loc[model, ["predicted", "score"]], **side)
left.axline((80, 80), slope=1, color="0.5", linestyle="--", zorder=0)
left.set(xlabel="predicted mean accuracy (%)", ylabel="measured mean accuracy (%)")
left.set_title("each model, as if it were new")
left.margins(0.12)
left.legend()
quality.plot.bar(ax=right, rot=0, color=["#0072B2", "#009E73", "#CC79A7"], width=0.75)
right.set(ylabel="weighted Kendall", title="order of the unknown models")
right.legend(loc="upper right", fontsize="small")
right.set_ylim(top=quality.to_numpy().max() * 1.4)
