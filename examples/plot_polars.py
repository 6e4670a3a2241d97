"""
Polars in, polars out
=====================

Records may come in any of the usual frames. Here everything before and after the recommender is polars: the results
come as a wide table, as one would keep them in a spreadsheet, and the ranking is joined and filtered as a polars frame.
"""

# %%
# A wide table
# ------------
# One row a model, one column a dataset; what was never run is missing. ``make_records`` makes tidy records of it and
# puts the metadata beside them.
import matplotlib.pyplot as plt
import polars as pl
from sklearn.pipeline import Pipeline

from skgat import MetadataEncoder, make_records, recommend
from skgat.baselines import TransferSpaceRegressor
from skgat.datasets import load_vision_zoo
from skgat.plotting import RankingDisplay, TransferabilityMatrixDisplay

zoo = load_vision_zoo()
models, datasets = pl.from_pandas(zoo.models), pl.from_pandas(zoo.datasets)
tidy = pl.from_pandas(zoo.records[["model", "dataset", "score"]])
run = tidy.sample(fraction=0.7, shuffle=True, seed=0)
print(run.pivot(on="dataset", index="model", values="score").head())
