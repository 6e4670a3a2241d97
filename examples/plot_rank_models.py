"""
Rank models for a new dataset
=============================

Twenty-three pre-trained image models stand to choose from, their results on ten datasets are known, and an eleventh
dataset is new: nobody has fine-tuned anything on it. This example ranks the models for it and looks at how good that
advice was.
"""

# %%
# The history
# -----------
# One row is one fine-tuning result: a model, a dataset and the accuracy in percent. Columns named ``model__...`` and
# ``dataset__...`` say what is known of either. ``pets`` plays the new dataset; all its results are put away.
import matplotlib.pyplot as plt
from sklearn.pipeline import Pipeline

from skgat import MetadataEncoder, TransferabilityGAT, metrics, recommend
from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo
from skgat.plotting import RankingDisplay

NEW = "pets"
zoo = load_vision_zoo()
history = zoo.records[zoo.records["dataset"] != NEW]
print(history[["model", "dataset", "score", "model__family", "dataset__n_classes"]].head())

# %%
# Fit and recommend
# -----------------
# The encoder makes numbers of the metadata, the graph attention network learns from the results. Of the new dataset it
# is told the metadata alone.
recommender = Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(random_state=0))]).fit(history)
new = zoo.datasets[zoo.datasets["dataset"] == NEW]
print(new.T)
print(recommend(recommender, new, k=5))

# %%
# Was it good advice?
# -------------------
# On the left what is predicted, best at the top; on the right all 23 models against what fine-tuning really gave.
truth = zoo.records[zoo.records["dataset"] == NEW].set_index("model")["score"]
ranking = recommend(recommender, new, k=None).set_index("model")
measured = truth[ranking.index]

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
RankingDisplay.from_estimator(recommender, new, k=10, ax=left)
right.scatter(ranking["score"], measured)
for model, height, side in ((ranking.index[0], 6, "bottom"), (ranking.index[-1], -6, "top")):
    place = {"xytext": (0, height), "textcoords": "offset points", "ha": "center", "va": side, "fontsize": "small"}
    right.annotate(model, (ranking.loc[model, "score"], measured[model]), **place)
right.margins(0.15)
right.set(xlabel="predicted accuracy (%)", ylabel="measured accuracy (%)", title=f"all models on {NEW}")

# %%
# The order is right to a large part, the level is some eight points too low: nothing in the history tells how hard a
# new dataset is for all models alike. For the choice of a model that does not matter. What the choice costs is the
# accuracy given away by fine-tuning the first three only: nothing here, the best of all is among them. To go by the
# mean of each model on other datasets costs nothing either; in this zoo the same models are good nearly everywhere.
groups = [NEW] * len(measured)
mean = BiasRegressor().fit(history).predict(ranking.reset_index()[["model", "dataset"]])
for name, values in {"graph attention": ranking["score"], "mean of each model": mean}.items():
    tau = metrics.weighted_kendall(measured, values, groups=groups)
    regret = metrics.top_k_regret(measured, values, groups=groups, k=3)
    print(f"{name:20s} weighted Kendall {tau:.2f}, regret of the first three {regret:.2f} points of accuracy")
