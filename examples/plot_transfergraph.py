"""
TransferGraph as a pipeline
===========================

TransferGraph (Li et al., ICDE 2024) links the models and datasets of a history in one graph, learns a vector for each
node from random walks, and hands the vectors to any regression, beside metadata and training-free measures. Here it is
a pipeline of three steps. The example asks how much each kind of column helps on unknown datasets.
"""

# %%
# Records with a measure
# ----------------------
# The digits zoo holds the features that 30 models have of 60 tasks. LogME, computed from them without training, becomes
# a column of the pair. Its level differs from task to task and says nothing of the order of the models, so it is
# standardised within each task, which takes no score.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, make_records, metrics
from skgat.baselines import BiasRegressor
from skgat.datasets import load_digits_zoo
from skgat.embedding import GraphEmbedder
from skgat.model_selection import LeaveDatasetsOut
from skgat.transferability import score_zoo

zoo = load_digits_zoo()
measures = []
for dataset, labels in zoo.labels.items():
    features = {model: zoo.features[model, dataset] for model in zoo.models["model"]}
    measures.append(score_zoo(features, labels, ["logme"], dataset=dataset))
scores = zoo.records[["model", "dataset", "score"]]
records = make_records(scores, models=zoo.models, datasets=zoo.datasets, pairs=pd.concat(measures))
within = records.groupby("dataset")
records["pair__logme"] -= within["pair__logme"].transform("mean")
records["pair__logme"] /= within["pair__logme"].transform("std")
gain = records["score"] - within["score"].transform("mean")

# %%
# The pipelines
# -------------
# What is learned is a score relative to its dataset, as that is what a ranking needs. ``GraphEmbedder`` passes on the
# encoded columns with the vectors of the graph beside them; without it, a selection of the numbers takes its place.
forest = RandomForestRegressor(50, min_samples_leaf=5, max_features=0.3, random_state=0)
numbers = make_column_transformer(("passthrough", make_column_selector(dtype_include="number")))
embedder = GraphEmbedder(n_components=32, random_state=0)
metadata_only = records.drop(columns="pair__logme")
rivals = {
    "mean of each model": (metadata_only, BiasRegressor()),
    "metadata": (metadata_only, make_pipeline(MetadataEncoder(), numbers, forest)),
    "metadata, LogME": (records, make_pipeline(MetadataEncoder(), numbers, forest)),
    "metadata, LogME, graph": (records, make_pipeline(MetadataEncoder(), embedder, forest)),
}
folds = LeaveDatasetsOut(n_splits=5, dataset="dataset__transformation")
predictions = {"LogME": records["pair__logme"].to_numpy()}
for name, (frame, pipeline) in rivals.items():
    predictions[name] = cross_val_predict(pipeline, frame.drop(columns="score"), gain, cv=folds)
quality = pd.DataFrame(
    {
        name: [
            metrics.weighted_kendall(part["score"], values[rows], groups=part["dataset"])
            for rows, part in ((rows, records.iloc[rows]) for _, rows in folds.split(records))
        ]
        for name, values in predictions.items()
    }
)
print(quality.mean().round(3))

# %%
# What each kind of column adds
# -----------------------------
# Bars are means over the five folds of unseen transformations, dots are the folds. LogME is worth more than the history
# here, and both together more than either. The graph adds nothing to them on these small tasks: compare the two upper
# bars, and the spread of their dots, before you pay for it on yours.
figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ordered = quality.mean().sort_values().index
ax.barh(ordered, quality[ordered].mean(), color="#0072B2", alpha=0.8)
for _, fold in quality.iterrows():
    ax.scatter(fold[ordered], ordered, color="#E69F00", edgecolors="0.3", s=24, zorder=3)
ax.set(xlabel="weighted Kendall on unknown datasets", title="what is ranked by")
