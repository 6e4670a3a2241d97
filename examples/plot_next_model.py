"""
Which model to try next
=======================

Fine-tuning is done one model after the other, and every result may change the plan. Should the next one be the model
that looks best, or one that is uncertain and may surprise? This example lets the strategies of ``recommend`` choose,
and compares them with a fixed list and with chance.
"""

# %%
# A zoo whose truth is known
# --------------------------
# The records are synthetic: every model has a strength, every dataset a level, and there is an interaction of both that
# metadata explain to less than a third. Six of forty datasets are new.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from skgat import MetadataEncoder, TransferabilityGAT, recommend
from skgat.datasets import make_transfer_records

ROUNDS = 5
zoo = make_transfer_records(
    n_models=24, fill=1.0, interaction_scale=0.06, metadata_share=0.3, n_pair_features=0, random_state=0
)
records = zoo.records
new = zoo.datasets["dataset"][-6:]
is_new = records["dataset"].isin(new)
gat = TransferabilityGAT(n_estimators=2, max_iter=100, random_state=0)
recommender = Pipeline([("encode", MetadataEncoder()), ("gat", gat)]).fit(records[~is_new])


# %%
# Choose, try, choose again
# -------------------------
# In each round a strategy names one model that has not been tried; its result comes in as ``context``. Regret is the
# accuracy by which the best model so far falls short of the best of all.
def regret(tried, truth):
    """Shortfall of the best of the tried models after each round."""
    return truth.max() - np.maximum.accumulate(truth[tried].to_numpy())


def choose(strategy, dataset, results):
    """The models that a strategy tries, in order."""
    description, tried = zoo.datasets[zoo.datasets["dataset"] == dataset], []
    for seed in range(ROUNDS):
        context = results[results["model"].isin(tried)] if tried else None
        arguments = {"strategy": strategy, "context": context, "exclude_known": True, "random_state": seed}
        tried += recommend(recommender, description, k=1, **arguments)["model"].tolist()
    return tried


found = []
for dataset in new:
    results = records[records["dataset"] == dataset]
    truth = results.set_index("model")["score"]
    description = zoo.datasets[zoo.datasets["dataset"] == dataset]
    ways = {f'strategy="{name}"': [choose(name, dataset, results)] for name in ("mean", "ucb", "thompson")}
    ways["the list, unchanged"] = [recommend(recommender, description, k=ROUNDS)["model"].tolist()]
    ways["chance"] = [truth.sample(ROUNDS, random_state=seed).index.tolist() for seed in range(200)]
    for way, orders in ways.items():
        values = np.mean([regret(tried, truth) for tried in orders], axis=0)
        found += [{"way": way, "dataset": dataset, "tried": k, "regret": value} for k, value in enumerate(values, 1)]
table = pd.DataFrame(found).groupby(["way", "tried"])["regret"].agg(["mean", "sem"]).unstack("tried")
print(table["mean"].round(3))

# %%
# What the strategies give away
# -----------------------------
# The band is one standard error over the six datasets.
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
colors = {
    'strategy="mean"': "#0072B2",
    'strategy="ucb"': "#56B4E9",
    'strategy="thompson"': "#D55E00",
    "the list, unchanged": "#009E73",
    "chance": "0.5",
}
for (way, color), dashes in zip(colors.items(), ("-", ":", "-", "-.", "--"), strict=True):
    mean, error = table["mean"].loc[way], table["sem"].loc[way]
    ax.plot(mean.index, mean, dashes, color=color, marker="o", markersize=4, label=way)
    ax.fill_between(mean.index, (mean - error).clip(0), mean + error, color=color, alpha=0.12, linewidth=0)
ax.set(xlabel="models tried", ylabel="regret (units of the score)", title="regret, mean of six new datasets")
ax.set_xticks(range(1, ROUNDS + 1))
ax.set_ylim(bottom=0)
ax.legend()

# %%
# To go by the predicted score is far ahead of chance from the first round on. To take in each result and ask again
# (``strategy="mean"``) beats the list that was made once at the beginning, though with six datasets the bands overlap.
# Here it does not pay to be curious: the draws of ``"thompson"`` spread so far that rounds are lost on models that were
# known to be poor, and ``"ucb"`` chooses like ``"mean"``, since of a new dataset the recommender knows about as little
# for one model as for another, and the bonus is the same for all.
