"""
What the network attends to
===========================

A graph attention network gives every model and every dataset a vector, and tells how much it listened to each result
on the way. This example looks at both: a map of the models, and which datasets the verdict on a model rests on.
"""

# %%
# Train on everything
# -------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import Pipeline

from skgat import MetadataEncoder, TransferabilityGAT
from skgat.datasets import load_vision_zoo
from skgat.plotting import EmbeddingDisplay

zoo = load_vision_zoo()
gat = TransferabilityGAT(n_estimators=2, max_iter=150, random_state=0)
recommender = Pipeline([("encode", MetadataEncoder()), ("gat", gat)]).fit(zoo.records)

# %%
# A map of the models
# -------------------
# t-SNE brings the vectors into the plane, so that neighbours stay neighbours; distances further apart mean little.
# Colours tell how the models were pre-trained (on the left) and how good they are on the whole (on the right).
# Supervised, contrastive and clustering models form groups of their own; within each, good and poor ones lie apart.
embeddings = gat.embeddings("model")
pretraining = zoo.models.set_index("model").loc[embeddings.index, "pretraining"]
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained")
EmbeddingDisplay.from_predictions(embeddings, method="tsne", color=pretraining, ax=left)
EmbeddingDisplay.from_estimator(recommender, method="tsne", ax=right)

# %%
# Attention
# ---------
# One row is one message: the result on dataset ``source`` as heard by model ``target``, in one layer and one head. The
# weights that a model gives to its results add up to one.
attention = gat.attention()
of_models = attention[attention["target"].isin(zoo.models["model"])]
print(of_models.head())
heard = of_models.groupby(["target", "source"])["weight"].mean().unstack("source")
heard *= heard.shape[1]
heard = heard.loc[heard.std(axis=1).sort_values(ascending=False).index, heard.mean().sort_values(ascending=False).index]
print(heard.mean().round(2))

# %%
# Averaged over heads and networks, in multiples of an equal share. No result is heard by far more than another: of
# eleven every one is heard.
figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
reach = np.abs(np.log2(heard)).to_numpy().max()
image = ax.imshow(np.log2(heard), cmap="PuOr_r", vmin=-reach, vmax=reach, aspect="auto")
ax.set_xticks(range(heard.shape[1]), heard.columns, rotation=90)
ax.set_yticks(range(heard.shape[0]), heard.index)
ax.set(xlabel="dataset that is listened to", ylabel="model that listens", title="attention to past results")
bar = figure.colorbar(image, label="weight (1 = an equal share)", ticks=[-reach, 0, reach])
bar.ax.set_yticklabels([f"{2.0**tick:.2f}" for tick in (-reach, 0, reach)])
