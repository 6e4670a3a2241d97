"""
The transferability matrix
==========================

A history of fine-tuning is a matrix: models are rows, datasets are columns, a cell is a score. This example takes it
apart into what is easy to predict, that some models are better and some datasets harder, and what is left: that some
models suit some datasets.
"""

# %%
# Measured
# --------
# The best models stand at the top, the easiest datasets on the left. Nearly all columns fade the same way from top to
# bottom.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo
from skgat.plotting import TransferabilityMatrixDisplay

records = load_vision_zoo().records
display = TransferabilityMatrixDisplay.from_predictions(records)

# %%
# Levels, and what is left
# ------------------------
# An additive model knows the level of each model and of each dataset and nothing else: it would rank the models the
# same on every dataset. The difference to the measured scores is the interaction, in points of accuracy. It is small,
# 4 % of the variance, and has a pattern: the contrastive models at the bottom are better than their level on aircraft
# and worse on CIFAR-100 and Caltech-101; ``mnasnet1_0`` is far worse than its level on cars and aircraft.
pairs = records[["model", "dataset"]]
additive = pairs.assign(score=BiasRegressor(shrinkage=0).fit(records).predict(pairs))
rest = records.assign(score=records["score"] - additive["score"])
parts = {
    "dataset": records.groupby("dataset")["score"].transform("mean") - records["score"].mean(),
    "model": records.groupby("model")["score"].transform("mean") - records["score"].mean(),
    "interaction and noise": rest["score"],
}
share = pd.Series({name: np.var(values) for name, values in parts.items()}) / np.var(records["score"])
print(share.map("{:.1%}".format))

figure, axes = plt.subplots(1, 2, figsize=(11, 6), layout="constrained")
TransferabilityMatrixDisplay.from_predictions(additive, ax=axes[0])
axes[0].set_title("additive")
shown = TransferabilityMatrixDisplay(
    scores=rest.pivot(index="model", columns="dataset", values="score").loc[
        display.scores.index, display.scores.columns
    ],
    name="score less its additive part",
).plot(axes[1], cmap="PuOr")
reach = np.abs(shown.scores.to_numpy()).max()
shown.im_.set_clim(-reach, reach)
axes[1].set_title("what is left")
largest = shown.scores.stack().sort_values(key=np.abs, ascending=False)
print(largest.head(6).round(1))
