"""A Gaussian process over pairs: what similar models reached on similar datasets."""

__all__ = ["PairGaussianProcess"]

import math
import re

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils import check_random_state

from skgat import MetadataEncoder
from skgat.records import id_codes, lookup_ids

#: Where the search for the hyper-parameters starts; also the centre of their broad prior, in logarithms.
_START = {
    "model": 0.2, "model_features": 0.2, "dataset": 0.2, "dataset_features": 0.2, "features_x_features": 0.1,
    "model_x_features": 0.1, "features_x_dataset": 0.1, "labels": 0.1, "model_x_labels": 0.05,
    "features_x_labels": 0.05, "noise": 0.2, "model_width": 1.0, "dataset_width": 1.0,
}  # fmt: skip
_PRIOR_SPREAD = 2.0
#: How far from one the search may go, in logarithms: further out rounding leaves no matrix positive.
_FARTHEST = 8.0
_JITTER = 1e-6
#: What has metadata, and so a width of its own.
_WIDTHS = ("model", "dataset")
_NOISE = list(_START).index("noise")


class PairGaussianProcess(RegressorMixin, BaseEstimator):
    """Gaussian process with a kernel over pairs that multiplies kernels over models and kernels over datasets.

    A model is compared with another one by identity and by metadata (a Gaussian of the standardised columns), a
    dataset by identity, by metadata and, where datasets come with label sets, by their Jaccard similarity. Sums and
    products of these have weights and widths of their own, which maximise the marginal likelihood of a random part of
    the records. Features of pairs are not looked at: a kernel of their own made the process worse.

    Parameters
    ----------
    standardize : bool
        Learn the scores standardised within their datasets; of an unknown dataset, level and spread are those of the
        average one.
    n_tuned, n_rows : int
        How many records decide the hyper-parameters, and the most that are learned from.
    max_iter : int
        Steps of the search (L-BFGS).
    random_state : int, RandomState instance or None
        Draws these records.
    """

    def __init__(self, standardize=False, n_tuned=600, n_rows=4000, max_iter=25, random_state=None):
        self.standardize = standardize
        self.n_tuned = n_tuned
        self.n_rows = n_rows
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y):
        """Find the hyper-parameters and condition on the records."""
        rng = check_random_state(self.random_state)
        y = np.asarray(y, dtype=float)
        chosen = np.sort(rng.permutation(len(y))[: self.n_rows])
        X, y = X.iloc[chosen], y[chosen]
        plan = MetadataEncoder().fit(X)
        self.label_column_ = next(
            (c for c, kind in plan.kinds_.items() if kind == "multilabel" and plan.roles_[c] == "dataset"), None
        )
        roles = "auto" if self.label_column_ is None else {self.label_column_: "drop"}
        self.encoder_ = MetadataEncoder(roles=roles).fit(X)
        encoded = self.encoder_.transform(X.drop(columns="score"))
        self.scaling_ = {role: _scaling(encoded, role) for role in _WIDTHS}
        if self.label_column_ is not None:
            self.labels_ = CountVectorizer(binary=True, lowercase=False, tokenizer=_split_labels, token_pattern=None)
            self.labels_.fit(X[self.label_column_].drop_duplicates().astype(str))
        self.models_, self.datasets_ = id_codes(X["model"].to_numpy())[0], id_codes(X["dataset"].to_numpy())[0]
        self.rows_ = self._read(X)
        self._standardize(y)
        target = torch.tensor(self.target_)
        tuned = torch.tensor(rng.permutation(len(y))[: self.n_tuned])
        part = {name: values[tuned] for name, values in self.rows_.items()}
        parts = _parts(part, part)
        self.logs_ = _maximise(lambda logs: _negative_evidence(logs, parts, target[tuned]), self.max_iter)
        with torch.no_grad():
            noise = (self.logs_[_NOISE].exp() + _JITTER) * torch.eye(len(y), dtype=torch.float64)
            self.factor_ = torch.linalg.cholesky(_kernel(self.logs_, self.rows_, self.rows_) + noise)
            self.weights_ = torch.cholesky_solve(target[:, None], self.factor_)[:, 0]
        return self

    def _standardize(self, y):
        codes = self.rows_["dataset"].numpy()
        counts = np.bincount(codes, minlength=len(self.datasets_))
        self.levels_, self.spreads_ = np.zeros(len(counts) + 1), np.ones(len(counts) + 1)
        if self.standardize:
            means = np.bincount(codes, y, len(counts)) / counts
            squares = np.bincount(codes, (y - means[codes]) ** 2, len(counts))
            spreads = np.sqrt((squares + 2.0 * squares.sum() / len(y)) / (counts + 1.0))
            self.levels_, self.spreads_ = np.append(means, means.mean()), np.append(spreads, spreads.mean())
        values = (y - self.levels_[codes]) / self.spreads_[codes]
        self.center_, self.scale_ = values.mean(), values.std() or 1.0
        self.target_ = (values - self.center_) / self.scale_

    def _read(self, X):
        """Ids as codes (-1, -2, ... for the unknown) and features, one row a record."""
        encoded = self.encoder_.transform(X.drop(columns="score", errors="ignore"))
        rows = {}
        for role, known in (("model", self.models_), ("dataset", self.datasets_)):
            codes = lookup_ids(known, X[role].to_numpy())
            rows[role] = torch.tensor(np.where(codes < 0, -1 - pd.factorize(X[role])[0], codes))
        for role, (names, center, scale) in self.scaling_.items():
            rows[f"{role}_features"] = torch.tensor((encoded[names].to_numpy(dtype=float) - center) / scale)
        if self.label_column_ is not None:
            rows["labels"] = torch.tensor(
                self.labels_.transform(X[self.label_column_].astype(str)).toarray(), dtype=torch.float64
            )
        return rows

    def predict(self, X, return_std=False):
        """Mean, and standard deviation with noise, of each row."""
        rows = self._read(X)
        with torch.no_grad():
            cross = _kernel(self.logs_, rows, self.rows_)
            mean = (cross @ self.weights_).numpy()
            own = _variance(self.logs_, rows)
            spread = torch.linalg.solve_triangular(self.factor_, cross.T, upper=False).square().sum(dim=0)
            variance = (own - spread).clamp(min=0.0) + self.logs_[_NOISE].exp()
        codes = np.maximum(rows["dataset"].numpy(), -1)
        mean = self.levels_[codes] + self.spreads_[codes] * (self.center_ + self.scale_ * mean)
        std = self.spreads_[codes] * self.scale_ * variance.sqrt().numpy()
        return (mean, std) if return_std else mean


def _scaling(encoded, role):
    names = [name for name in encoded.columns if name.startswith(f"{role}__")]
    table = encoded.drop_duplicates(role)[names]
    scale = table.std(ddof=0)
    kept = scale.index[scale > 1e-9]
    return list(kept), table[kept].mean().to_numpy(), scale[kept].to_numpy()


def _split_labels(text):
    return [label.strip() for label in re.split("[,;|]", text)]


def _distances(a, b):
    """Mean squared difference; zeros where there are no features."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square() / max(a.shape[1], 1)


def _jaccard(a, b):
    shared = a @ b.T
    return shared / (a.sum(dim=1)[:, None] + b.sum(dim=1)[None] - shared).clamp(min=1.0)


def _parts(a, b):
    """What the kernel is made of and does not depend on the hyper-parameters."""
    found = {side: (a[side][:, None] == b[side][None]).double() for side in ("model", "dataset")}
    found |= {f"{role}_distance": _distances(a[f"{role}_features"], b[f"{role}_features"]) for role in _WIDTHS}
    if "labels" in a:
        found["labels"] = _jaccard(a["labels"], b["labels"])
    return found


def _combine(logs, parts):
    value = dict(zip(_START, logs.exp(), strict=True))
    model, dataset = parts["model"], parts["dataset"]
    near = {
        role: torch.exp(-0.5 * parts[f"{role}_distance"] / value[f"{role}_width"] ** 2) for role in _WIDTHS
    }  # fmt: skip
    kernel = (
        value["model"] * model
        + value["model_features"] * near["model"]
        + value["dataset"] * dataset
        + value["dataset_features"] * near["dataset"]
        + (value["features_x_features"] * near["model"] + value["model_x_features"] * model) * near["dataset"]
        + value["features_x_dataset"] * near["model"] * dataset
    )
    if "labels" in parts:
        of_models = value["labels"] + value["model_x_labels"] * model + value["features_x_labels"] * near["model"]
        kernel = kernel + of_models * parts["labels"]
    return kernel


def _kernel(logs, a, b):
    return _combine(logs, _parts(a, b))


def _variance(logs, rows):
    """The kernel of each row with itself: what a pair of equal rows has."""
    one = torch.ones(len(rows["model"]), dtype=torch.float64)
    parts = {"model": one, "dataset": one} | {f"{role}_distance": 0.0 * one for role in _WIDTHS}
    if "labels" in rows:
        parts["labels"] = (rows["labels"].sum(dim=1) > 0).double()
    return _combine(logs, parts)


def _negative_evidence(logs, parts, target):
    n_rows = len(target)
    kernel = _combine(logs, parts) + (logs[_NOISE].exp() + _JITTER) * torch.eye(n_rows, dtype=torch.float64)
    factor = torch.linalg.cholesky(kernel)
    weights = torch.cholesky_solve(target[:, None], factor)[:, 0]
    return 0.5 * target @ weights + factor.diagonal().log().sum()


def _maximise(loss, max_iter):
    start = torch.tensor([math.log(value) for value in _START.values()], dtype=torch.float64)
    logs = start.clone().requires_grad_()
    search = torch.optim.LBFGS([logs], max_iter=max_iter, line_search_fn="strong_wolfe")

    def step():
        search.zero_grad()
        value = loss(logs.clamp(-_FARTHEST, _FARTHEST)) + 0.5 * ((logs - start) / _PRIOR_SPREAD).square().sum()
        value.backward()
        return value

    search.step(step)
    return logs.detach().clamp(-_FARTHEST, _FARTHEST)
