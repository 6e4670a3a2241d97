"""One seed, one result: to the byte on the same threads, within the tolerances of docs/determinism.md elsewhere."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from estimators import instance, public_estimators, reads_records, recommenders, state_bytes
from golden_predictions import PATH, predictions
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, TransferabilityGAT
from skgat.datasets import make_transfer_records
from skgat.model_selection import LeaveDatasetsOut

NAMES = list(recommenders())
FOLDER = Path(__file__).parent
#: What is trained in single precision, and how far its predictions may be off in units of the spread of the scores.
SINGLE = {"TransferabilityGAT", "GraphEmbedder"}
TOLERANCE = {name: 1e-4 if name in SINGLE else 1e-9 for name in NAMES}
SEEDED = [
    class_
    for class_ in public_estimators()
    if reads_records(class_) and "random_state" in class_().get_params()
]  # fmt: skip


def records():
    return make_transfer_records(16, 20, fill=0.7, missing=0.1, random_state=3).records


def digests():
    """What each recommender has learned and predicts, by name: a hash of its state, a hash and values of the rest."""
    frame = records()
    found = {}
    for name, recommender in recommenders().items():
        values = recommender.fit(frame, frame["score"]).predict(frame)
        hashes = [hashlib.sha256(data).hexdigest() for data in (state_bytes(recommender), values.tobytes())]
        found[name] = [*hashes, values.tolist()]
    return found


def in_another_process(threads):
    code = f"import sys, json; sys.path.insert(0, {str(FOLDER)!r}); import test_determinism as t\n"
    code += "print(json.dumps(t.digests()))"
    variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    paths = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | variables | {"PYTHONPATH": paths, "PYTHONHASHSEED": "123"},
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def here():
    return digests()


@pytest.fixture(scope="module")
def frame():
    return records()


@pytest.mark.parametrize("name", NAMES)
def test_fitting_twice(frame, name):
    recommender = recommenders()[name].fit(frame, frame["score"])
    first = state_bytes(recommender)
    assert state_bytes(recommender.fit(frame, frame["score"])) == first
    assert state_bytes(clone(recommender).fit(frame, frame["score"])) == first


@pytest.mark.parametrize("class_", SEEDED, ids=lambda class_: class_.__name__)
def test_the_seed_is_heard(frame, class_):
    """Another seed is another fit, and the global streams have no part in either."""
    encoded = MetadataEncoder().fit_transform(frame)
    states = []
    for seed, stream in ((0, 1), (0, 2), (1, 1)):
        np.random.seed(stream)  # noqa: NPY002 - the stream that must not matter
        before = np.random.get_state()[1].tobytes()  # noqa: NPY002
        fitted = instance(class_, random_state=seed).fit(encoded)
        assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002
        states.append(state_bytes({key: value for key, value in vars(fitted).items() if key != "random_state"}))
    assert states[0] == states[1] != states[2]


def test_a_fresh_process_comes_to_the_same_bytes(here):
    there = in_another_process(os.environ["OMP_NUM_THREADS"])
    assert {name: parts[:2] for name, parts in there.items()} == {name: parts[:2] for name, parts in here.items()}


def test_other_threads_come_within_the_tolerance(here, frame):
    there = in_another_process("3")
    spread = frame["score"].std()
    for name in NAMES:
        assert_allclose(there[name][2], here[name][2], rtol=0, atol=TOLERANCE[name] * spread, err_msg=name)


def test_the_order_of_the_records_does_not_matter(frame):
    """Up to the order in which sums are taken, where an estimator sums over rows; to the byte in the network."""
    shuffled = frame.sample(frac=1.0, random_state=1)
    spread = frame["score"].std()
    for name in NAMES:
        one, other = (
            recommenders()[name].fit(rows, rows["score"]).predict(frame) for rows in (frame, shuffled)
        )  # fmt: skip
        assert_allclose(one, other, rtol=0, atol=TOLERANCE[name] * spread, err_msg=name)


def test_a_search_over_processes_finds_what_a_search_in_one_finds(frame):
    found = []
    for n_jobs in (1, 2):
        pipeline = make_pipeline(MetadataEncoder(), instance(TransferabilityGAT))
        grid = {"transferabilitygat__hidden_dim": [2, 4]}
        search = GridSearchCV(pipeline, grid, cv=LeaveDatasetsOut(2), n_jobs=n_jobs, error_score="raise")
        found.append(search.fit(frame, frame["score"]))
    scores = [[search.cv_results_[f"split{i}_test_score"] for i in range(2)] for search in found]
    assert_array_equal(*scores)
    assert len(np.unique(scores[0])) == 4
    assert state_bytes(found[0].best_estimator_) == state_bytes(found[1].best_estimator_)


def test_golden_predictions():
    """What this release predicts stays, on other machines too; tests/golden_predictions.py writes it down."""
    golden = json.loads(PATH.read_text(encoding="utf-8"))["predictions"]
    found = predictions()
    assert found.keys() == golden.keys()
    for name, values in golden.items():
        assert_allclose(found[name], values, rtol=0, atol=TOLERANCE[name] * np.std(values), err_msg=name)
