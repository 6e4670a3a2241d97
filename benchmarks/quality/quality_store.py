"""Results on disk: one small file of figures and one array of predictions for each contestant on each split."""

__all__ = ["Job", "Store", "run_job"]

import hashlib
import io
import json
import os
import platform
import time
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import quality_scores
from quality_contestants import CONTESTANTS, ablations, build
from quality_scores import evaluate
from quality_sources import code_of
from quality_splits import SCENARIOS, load_matrix, splits_of
from sklearn.pipeline import Pipeline

from skgat._files import replace_file

_LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "torch", "torch-geometric", "lightgbm", "xgboost")


@dataclass(frozen=True)
class Job:
    """One contestant on one split."""

    matrix: str
    scenario: str
    split: int
    contestant: str


class Store:
    """The folder of results.

    Parameters
    ----------
    folder : path-like
    data_home : str, optional
        The folder of the downloaded matrices.
    """

    def __init__(self, folder, data_home=None):
        self.folder = Path(folder)
        self.data_home = data_home

    def path(self, job):
        """The file of figures; the predictions are beside it."""
        return self.folder / job.matrix / job.scenario / job.contestant / f"{job.split}.json"

    def key(self, job):
        """A digest of all that decides what the job gives."""
        _, recipe = build(contestant_of(job))
        return hashlib.sha256(
            f"{recipe}{_digest_of_data(job.matrix, job.scenario, self.data_home)}".encode()
        ).hexdigest()

    def read(self, job):
        """The result, or None if there is none or it is stale. Figures of older metrics are taken anew."""
        path = self.path(job)
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if result["key"] != self.key(job):
            return None
        if result["metrics"] != _metrics_version():
            result["figures"] = self.figures(job, self.predictions(job))
            result["metrics"] = _metrics_version()
            replace_file(path, json.dumps(result).encode())
        return result

    def predictions(self, job):
        """Predicted scores, and their standard deviations if the contestant tells them, as rows of an array."""
        return np.load(self.path(job).with_suffix(".npy"))

    def figures(self, job, predictions):
        """The metrics of one split."""
        matrix, scenario = load_matrix(job.matrix, self.data_home), SCENARIOS[job.scenario]
        split = splits_of(job.matrix, job.scenario, self.data_home)[job.split]
        known = matrix.records.iloc[split.train] if job.scenario == "edges" else None
        least = scenario.least_rows(job.matrix)
        failures = job.scenario == "lodo"
        return evaluate(matrix.records.iloc[split.test], predictions, least, known, failures)

    def write(self, job, predictions, seconds):
        """Keep a result: first the predictions, then, when they are there, the figures."""
        path = self.path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        array = io.BytesIO()
        np.save(array, predictions)
        replace_file(path.with_suffix(".npy"), array.getvalue())
        figures = self.figures(job, predictions)
        result = {
            "key": self.key(job),
            "metrics": _metrics_version(),
            **seconds,
            "machine": machine(),
            "figures": figures,
        }
        replace_file(path, json.dumps(result).encode())


def contestant_of(job):
    """The contestant of a job, ablations included."""
    return CONTESTANTS.get(job.contestant) or ablations()[job.contestant]


@cache
def _digest_of_data(matrix, scenario, data_home):
    digest = hashlib.sha256()
    records = load_matrix(matrix, data_home).records
    digest.update(pd.util.hash_pandas_object(records.astype(str), index=False).to_numpy().tobytes())
    for split in splits_of(matrix, scenario, data_home):
        digest.update(split.train.tobytes() + split.test.tobytes())
    return digest.hexdigest()


@cache
def _metrics_version():
    return hashlib.sha256(code_of(Path(quality_scores.__file__).read_text(encoding="utf-8")).encode()).hexdigest()


@cache
def machine():
    """What the figures were measured with."""
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    host = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"host": host, **versions}


def fit_and_predict(estimator, train, test):
    """Fit, then predict records whose scores are not handed over.

    Returns
    -------
    predictions : array of shape (1 or 2, n_records)
    seconds : dict
        Of ``fit`` and of ``predict``.
    """
    asked = test.drop(columns="score")
    started = time.perf_counter()
    estimator.fit(train, train["score"].to_numpy())
    fitted = time.perf_counter()
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if "return_std" in signature(last.predict).parameters:
        predictions = np.stack(estimator.predict(asked, return_std=True))
    else:
        predictions = np.asarray(estimator.predict(asked), dtype=float)[None]
    ended = time.perf_counter()
    if not np.isfinite(predictions).all():
        raise ValueError("not all predictions are finite")
    return predictions, {"fit_seconds": fitted - started, "predict_seconds": ended - fitted}


def run_job(job, store):
    """Run one job and keep what it gives; returns what went wrong, or None."""
    from threadpoolctl import threadpool_limits

    records = load_matrix(job.matrix, store.data_home).records
    split = splits_of(job.matrix, job.scenario, store.data_home)[job.split]
    estimator, _ = build(contestant_of(job))
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        try:
            predictions, seconds = fit_and_predict(estimator, records.iloc[split.train], records.iloc[split.test])
        except Exception as error:  # noqa: BLE001 - one failing contestant must not end a run of hours
            return f"{type(error).__name__}: {error}"
    store.write(job, predictions, seconds)
    return None
