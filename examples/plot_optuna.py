"""
Tune with Optuna
================

A grid cannot ask whether a recommender should be of one kind or another and tune each by its own arguments. Optuna
can: here a study chooses between three kinds. Optuna comes with the extra ``examples``
(``pip install 'skgat[examples]'``).
"""

# %%
# The objective
# -------------
# Whole kinds of images are held out, and five kinds are put away beforehand, as in :ref:`the grid search
# <sphx_glr_auto_examples_plot_grid_search.py>`.
import matplotlib.pyplot as plt
import numpy as np
import optuna
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder
from skgat.baselines import BiasRegressor, MatrixCompletion, NearestDatasets, TransferSpaceRegressor
from skgat.datasets import load_digits_zoo
from skgat.metrics import RANKING_SCORERS
from skgat.model_selection import LeaveDatasetsOut

optuna.logging.set_verbosity(optuna.logging.WARNING)
records = load_digits_zoo().records
put_away = records["dataset__transformation"].isin(["mirrored", "shrunk", "faded", "turned", "noised"])
known = records[~put_away]
scorer = RANKING_SCORERS["weighted_kendall"]
folds = LeaveDatasetsOut(n_splits=3, dataset="dataset__transformation")


def build(trial):
    """The recommender that a trial asks for."""
    kind = trial.suggest_categorical("kind", ["matrix completion", "nearest datasets", "transfer space"])
    if kind == "matrix completion":
        rank = trial.suggest_int("rank", 1, 8)
        return MatrixCompletion(rank=rank, random_state=0)
    if kind == "nearest datasets":
        damping = trial.suggest_float("damping", 0.1, 30, log=True)
        n_neighbors = trial.suggest_int("n_neighbors", 2, 30, log=True)
        return make_pipeline(MetadataEncoder(), NearestDatasets(n_neighbors=n_neighbors, damping=damping))
    n_components = trial.suggest_int("n_components", 1, 12, log=True)
    alpha = trial.suggest_float("alpha", 0.3, 30, log=True)
    space = TransferSpaceRegressor(n_components=n_components, alpha=alpha, random_state=0)
    return make_pipeline(MetadataEncoder(), space)


def objective(trial):
    """Mean weighted Kendall on kinds of images that were held out."""
    return cross_val_score(build(trial), known, known["score"], scoring=scorer, cv=folds).mean()


# %%
# The study
# ---------
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(objective, n_trials=25)
print(study.best_params, f"weighted Kendall {study.best_value:.3f}")
