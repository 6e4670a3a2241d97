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
wide = run.pivot(on="dataset", index="model", values="score")
print(wide.head())

# %%
# ``make_records`` returns pandas; one call brings that back.
records = pl.from_pandas(make_records(wide, models=models, datasets=datasets))
print(records.shape)

# %%
# A pipeline on polars
# --------------------
# ``set_output`` makes the encoder hand over polars frames, too.
encoder = MetadataEncoder().set_output(transform="polars")
recommender = Pipeline([("encode", encoder), ("space", TransferSpaceRegressor(random_state=0))])
recommender.fit(records)
print(encoder.transform(records).select("model", "dataset", "score").head(3))

# %%
# And back
# --------
# A ranking is a pandas frame; polars takes it as it is. Here the pairs that have not been run are joined with what is
# known of the models, and only small ones are kept.
ranking = pl.from_pandas(recommend(recommender, datasets, k=None, exclude_known=True))
small = (
    ranking.join(models.select("model", "gflops"), on="model")
    .filter(pl.col("gflops") < 5)
    .sort("dataset", "rank")
    .with_columns(rank=pl.col("rank").rank("ordinal").over("dataset"))
    .select("dataset", "rank", "model", "score", "gflops")
)
print(small.filter(pl.col("rank") == 1))

# %%
# Displays take polars frames like all the rest. On the left what has been run, on the right the small models that have
# not been run on ``pets``.
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
TransferabilityMatrixDisplay.from_predictions(run, ax=left)
RankingDisplay.from_predictions(small.filter(pl.col("dataset") == "pets"), ax=right)
