"""The zoos of TransferGraph as splits and features: what each contestant is given.

Nothing of a held-out score reaches a fit: statistics of metadata and of scores are those of the history. What needs no
score stays visible for every model and dataset, as in the paper: metadata, LogME, distances between datasets.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold

from skgat import MetadataEncoder
from skgat.datasets import fetch_transfergraph

FEATURES = ("metadata", "+ similarity", "+ LogME", "all")
#: Shares of the history, coarse first; all of it is the leave-one-out protocol.
RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.2, 0.4, 0.6, 0.8)
_N_FOLDS = 5


@dataclass
class Zoo:
    """One modality: records and what is known of every pair without fine-tuning."""

    modality: str
    records: pd.DataFrame
    targets: list
    distances: pd.DataFrame
    blocks: dict = field(default_factory=dict)


def load_zoo(modality):
    """Fetch a modality and compute the columns that are the same in every split."""
    bunch = fetch_transfergraph(modality)
    records = bunch.records.drop(columns="pair__reg_h_score").reset_index(drop=True)
    zoo = Zoo(modality, records, bunch.targets, bunch.dataset_distances)
    zoo.blocks = {"similarity": _closeness(records, bunch.dataset_distances), "LogME": _log_me(records)}
    return zoo


def _within(values, groups):
    """Standardised within each dataset; 0 and a flag where there is nothing."""
    by = pd.Series(values).groupby(groups)
    scaled = (pd.Series(values) - by.transform("mean")) / by.transform("std").replace(0.0, 1.0)
    return np.column_stack([scaled.fillna(0.0), scaled.isna()])


def _log_me(records):
    return _within(records["pair__log_me"].to_numpy(), records["dataset"].to_numpy())


def _closeness(records, distances):
    """How near the dataset that a model was pre-trained on is to the dataset of the row."""
    source = records["model__pretrained_on"]
    source = source.where(source != "hfpics", records["model__labels"])
    rows, columns = distances.index.get_indexer(records["dataset"]), distances.columns.get_indexer(source)
    values = -distances.to_numpy()[rows, columns]
    return _within(np.where((rows >= 0) & (columns >= 0), values, np.nan), records["dataset"].to_numpy())


@dataclass
class Split:
    """Positions of the history and of the rows to predict, and the encoded metadata of all rows."""

    history: np.ndarray
    test: np.ndarray
    encoded: pd.DataFrame
    target: np.ndarray

    def metadata(self):
        """The encoded columns of models and datasets."""
        return self.encoded.drop(columns=["model", "dataset", "score"]).to_numpy()


def make_split(zoo, target, ratio=1.0, models=None, seed=0):
    """Hide a dataset, and perhaps a share of the history or some models.

    Parameters
    ----------
    zoo : Zoo
    target : str
        The dataset whose scores are hidden.
    ratio : float
        The share of the other records that is known.
    models : array of ids, optional
        Models without any known score; only they are predicted. By default all models of the target.
    seed : int
        Of the draw of the history.

    Returns
    -------
    Split
    """
    records = zoo.records
    held = (records["dataset"] == target).to_numpy()
    known = ~held
    if models is not None:
        unknown = records["model"].isin(models).to_numpy()
        known, held = known & ~unknown, held & unknown
    history = np.flatnonzero(known)
    if ratio < 1.0:
        rng = np.random.default_rng([seed, zoo.targets.index(target)])
        history = np.sort(rng.choice(history, round(ratio * len(history)), replace=False))
    encoder = MetadataEncoder().fit(records.iloc[history].drop(columns="pair__log_me"))
    encoded = encoder.transform(records.drop(columns="pair__log_me"))
    scores, datasets = records["score"].to_numpy()[history], records["dataset"].to_numpy()[history]
    by = pd.Series(scores).groupby(datasets)
    spread = by.transform("std").replace(0.0, np.nan)
    standard = ((pd.Series(scores) - by.transform("mean")) / spread).fillna(0.0).to_numpy()
    return Split(history, np.flatnonzero(held), encoded, standard)


def model_folds(zoo, grouped):
    """Five folds of the models; grouped, models of one architecture and pre-training set stay together."""
    table = zoo.records.drop_duplicates("model").sort_values("model")
    if not grouped:
        parts = KFold(_N_FOLDS, shuffle=True, random_state=0).split(table)
    else:
        group = table["model__family"].fillna("") + "/" + table["model__pretrained_on"].fillna("")
        parts = GroupKFold(_N_FOLDS).split(table, groups=group)
    return [table["model"].to_numpy()[test] for _, test in parts]


def graph_input(zoo, split):
    """Records for the embedder: all pairs with their LogME, scores only where they are history."""
    log_me = zoo.records["pair__log_me"]
    frame = split.encoded.drop(columns="score").assign(
        pair__log_me=log_me.fillna(0.0), pair__log_me_missing=log_me.isna().astype(float)
    )
    scores = np.full(len(frame), np.nan)
    scores[split.history] = zoo.records["score"].to_numpy()[split.history]
    return frame.assign(score=scores)


def other_means(zoo, split):
    """The mean of each row's model on the datasets of the history, the row's own left out; 0 for an unknown model."""
    records = zoo.records
    known = records.iloc[split.history]
    sums = pd.Series(split.target).groupby(known["model"].to_numpy()).agg(["sum", "count"]).reindex(records["model"])
    sums = sums.fillna(0.0).to_numpy()
    sums[split.history] -= np.column_stack([split.target, np.ones(len(split.target))])
    return sums[:, :1] / np.maximum(sums[:, 1:], 1.0)


def assemble(zoo, split, features, vectors=None, with_mean=False):
    """The table of numbers for a regressor: one block after the other."""
    blocks = [split.metadata()]
    if features in ("+ similarity", "all"):
        blocks.append(zoo.blocks["similarity"])
    if features in ("+ LogME", "all"):
        blocks.append(zoo.blocks["LogME"])
    if with_mean:
        blocks.append(other_means(zoo, split))
    if vectors is not None:
        blocks.append(vectors)
    return np.hstack(blocks)
