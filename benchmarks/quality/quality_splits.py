"""What is predicted from what: the matrices of past results, and the scenarios that split each of them."""

__all__ = ["MATRICES", "SCENARIOS", "Matrix", "Scenario", "Split", "load_matrix", "splits_of"]

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd
from quality_classifiers import load_classifiers

from skgat import datasets
from skgat.model_selection import LeaveBothOut, LeaveDatasetsOut, LeaveModelsOut, MissingEdges

FOLDS = 5
KNOWN_RESULTS = 5


@dataclass(frozen=True)
class Matrix:
    """A history of results: tidy records, and the datasets that whole-dataset protocols hold out."""

    name: str
    records: pd.DataFrame
    targets: tuple


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to predict.

    Splits of one draw of a unit are evaluated together, and the figures of a unit are the means over its draws.
    """

    unit: str
    train: np.ndarray
    test: np.ndarray
    draw: int = 0


@dataclass(frozen=True)
class Scenario:
    """A way to split: on which matrices, and how few predictions of a dataset are still evaluated."""

    name: str
    title: str
    matrices: tuple
    split: Callable
    least: dict
    pooled: bool = False

    def least_rows(self, matrix):
        """How many predictions a dataset needs in a unit to be evaluated."""
        return self.least.get(matrix, 4)


def _vision(pretraining=None):
    records = datasets.load_vision_zoo().records
    if pretraining is not None:
        supervised = records["model__pretraining"] == "supervised"
        records = records[supervised if pretraining == "supervised" else ~supervised].reset_index(drop=True)
    return records, tuple(records["dataset"].unique())


def _domainnet(data_home):
    return datasets.fetch_domainnet_transfer(data_home).records, ()


def _transfergraph(modality, data_home):
    bunch = datasets.fetch_transfergraph(modality, data_home)
    return bunch.records, tuple(bunch.targets)


#: Title and loader of each matrix; a loader takes the folder of the downloaded files.
MATRICES = {
    "domainnet": ("DomainNet, 10 models x 270 datasets", _domainnet),
    "image": ("TransferGraph image, 180 models x 12 datasets", partial(_transfergraph, "image")),
    "text": ("TransferGraph text, 164 models x 10 datasets", partial(_transfergraph, "text")),
    "vision": ("Vision zoo, 23 models x 11 datasets", lambda _: _vision()),
    "vision-supervised": ("Vision zoo, the 11 supervised models", lambda _: _vision("supervised")),
    "vision-self-supervised": ("Vision zoo, the 12 self-supervised models", lambda _: _vision("self-supervised")),
    "digits": (
        "Digits zoo, 30 models x 60 datasets",
        lambda _: (datasets.load_digits_zoo().records, ()),
    ),
    "classifiers": ("Classifiers, 300 models x 500 datasets, 17 % of the pairs", lambda _: (load_classifiers(), ())),
}


@cache
def load_matrix(name, data_home=None):
    """Load one of `MATRICES`."""
    records, targets = MATRICES[name][1](data_home)
    return Matrix(name, records, targets)


def _whole_datasets(matrix):
    dataset = matrix.records["dataset"].to_numpy()
    for target in matrix.targets:
        yield Split(target, np.flatnonzero(dataset != target), np.flatnonzero(dataset == target))


def _by(splitter, matrix):
    for number, (train, test) in enumerate(splitter.split(matrix.records)):
        yield Split(str(number), train, test)


def _hidden(share, matrix):
    n_rows = len(matrix.records)
    for number in range(FOLDS):
        order = np.random.default_rng([number, round(100 * share)]).permutation(n_rows)
        n_hidden = round(share * n_rows)
        yield Split(str(number), np.sort(order[n_hidden:]), np.sort(order[:n_hidden]))


def _few_shot(matrix):
    """As for unknown datasets, but each keeps some results, drawn at random."""
    dataset = matrix.records["dataset"].to_numpy()
    for number, (_, test) in enumerate(LeaveDatasetsOut(FOLDS, random_state=0).split(matrix.records)):
        order = np.random.default_rng(number).permutation(test)
        kept = np.sort(order[pd.Series(dataset[order]).groupby(dataset[order]).cumcount() < KNOWN_RESULTS])
        hidden = np.setdiff1d(test, kept)
        yield Split(str(number), np.setdiff1d(np.arange(len(dataset)), hidden), hidden)


def _crossed(grouped, n_draws, matrix):
    """Folds of models crossed with the targets: neither the fold's models nor the target are known.

    Where two models fail everywhere, all hangs on whether they are in one fold, so the folds are drawn several times.
    """
    records = matrix.records
    dataset = records["dataset"].to_numpy()
    groups = None
    if grouped:
        told = records[["model__architecture", "model__pretrained_on"]].astype(object).fillna("missing")
        groups = told["model__architecture"] + " | " + told["model__pretrained_on"]
    for draw in range(n_draws):
        for _, of_fold in LeaveModelsOut(FOLDS, random_state=draw).split(records, groups=groups):
            unknown = np.isin(np.arange(len(records)), of_fold)
            for target in matrix.targets:
                train = np.flatnonzero(~unknown & (dataset != target))
                test = np.flatnonzero(unknown & (dataset == target))
                if len(test):
                    yield Split(target, train, test, draw)


_MAIN = ("domainnet", "image", "text", "vision", "digits")
_ALL = (*_MAIN, "classifiers")
_HUB = ("image", "text")
_FEW_MODELS = {"domainnet": 2}  # a fold has two of its ten models

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "edges",
            "missing edges (the SCG4Trf protocol, its own masks)",
            ("domainnet",),
            partial(_by, MissingEdges(generator="torch")),
            {},
        ),
        Scenario(
            "lodo",
            "leave one dataset out",
            (*_HUB, "vision-supervised", "vision-self-supervised", "vision"),
            _whole_datasets,
            {},
        ),
        Scenario("hide20", "20 % of the pairs hidden", _ALL, partial(_hidden, 0.2), {}),
        Scenario("hide80", "80 % of the pairs hidden", _MAIN, partial(_hidden, 0.8), {}),
        Scenario(
            "new-datasets", "unknown datasets", _ALL, partial(_by, LeaveDatasetsOut(FOLDS, random_state=0)), {}
        ),
        Scenario(
            "new-models", "unknown models", _ALL, partial(_by, LeaveModelsOut(FOLDS, random_state=0)), _FEW_MODELS
        ),
        Scenario(
            "new-both", "both unknown", _ALL, partial(_by, LeaveBothOut(FOLDS, random_state=0)), _FEW_MODELS
        ),
        Scenario(
            "crossed",
            "both unknown: folds of models crossed with targets",
            _HUB,
            partial(_crossed, False, 3),
            {},
            True,
        ),
        Scenario(
            "crossed-groups",
            "both unknown: the same, models grouped by architecture and pre-training set",
            _HUB,
            partial(_crossed, True, 1),
            {},
            True,
        ),
        Scenario("few-shot", "five known results of an otherwise unknown dataset", _MAIN, _few_shot, {}),
    )
}  # fmt: skip


@cache
def splits_of(matrix, scenario, data_home=None):
    """All splits of a matrix in a scenario, both given by name."""
    return tuple(SCENARIOS[scenario].split(load_matrix(matrix, data_home)))
