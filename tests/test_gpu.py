"""What only a CUDA device can show; skipped where there is none."""

import os
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgat import TransferabilityGAT
from skgat.datasets import make_transfer_records
from skgat.gat import edges, fitting, trainer
from skgat.gat.messages import SparseMessages

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device on this machine"),
]

SMALL = {"hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "max_iter": 30, "random_state": 0}


@pytest.fixture(scope="module")
def records():
    zoo = make_transfer_records(12, 20, random_state=0)
    numeric = zoo.records.select_dtypes("number").columns
    return zoo.records[["model", "dataset", *numeric]].fillna(0.0)


def test_auto_takes_the_gpu_and_learns_what_the_cpu_learns(records):
    on_gpu = TransferabilityGAT(**SMALL).fit(records)
    on_cpu = TransferabilityGAT(device="cpu", **SMALL).fit(records)
    assert on_gpu.device_.startswith("cuda")
    # The streams of random numbers differ between devices, so the two are two fits of the same model.
    agreement = np.corrcoef(on_gpu.predict(records), on_cpu.predict(records))[0, 1]
    assert agreement > 0.9


def test_fitted_on_the_gpu_loads_and_predicts_where_there_is_none(records, tmp_path):
    fitted = TransferabilityGAT(device="cuda", **SMALL).fit(records)
    rows = records.copy()
    rows.loc[rows.index[:3], "model"] = "unknown"
    joblib.dump((fitted, rows), tmp_path / "fitted")
    code = (
        "import joblib, numpy, torch; assert not torch.cuda.is_available(); "
        "fitted, rows = joblib.load('fitted'); numpy.save('found', fitted.predict(rows)); "
        "fitted.partial_fit(rows)"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    assert_array_equal(np.load(tmp_path / "found.npy"), fitted.predict(rows))


@pytest.mark.parametrize("decoder", ["bilinear", "linear", "mlp"])
def test_a_cpu_state_gives_the_same_terms_on_the_gpu(records, decoder):
    fitted = TransferabilityGAT(device="cpu", decoder=decoder, **SMALL).fit(records)
    twin = TransferabilityGAT(device="cuda", decoder=decoder, warm_start=True, **SMALL | {"max_iter": 1})
    vars(twin).update({name: value for name, value in vars(fitted).items() if name.endswith("_")})
    twin.set_params(learning_rate=1e-12)
    assert_allclose(twin.fit(records).predict(records), fitted.predict(records), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("params", [{}, {"decoder": "mlp", "dropout": 0.2, "n_neighbors": 3, "early_stopping": True}])
def test_recorded_steps_learn_what_the_steps_learn(records, params, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        recorded = TransferabilityGAT(device="cuda", **SMALL | params).fit(records)
    monkeypatch.setattr(trainer, "make_recorder", lambda *_: None)
    taken = TransferabilityGAT(device="cuda", **SMALL | params).fit(records)
    assert_allclose(recorded.loss_curve_, taken.loss_curve_, rtol=1e-2)
    assert_allclose(recorded.predict(records), taken.predict(records), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("params", [{}, {"edge_features": False}, {"hidden_dim": 12, "n_layers": 2}])
def test_fused_kernels_learn_what_the_operations_of_torch_learn(records, params, monkeypatch):
    monkeypatch.setattr(fitting, "choose_layout", edges.SparseEdges)
    given = SMALL | {"device": "cuda", "max_iter": 8} | params
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fused = TransferabilityGAT(**given).fit(records)
    monkeypatch.setattr(edges, "messages_on", lambda device_type: SparseMessages)
    plain = TransferabilityGAT(**given).fit(records)
    assert_allclose(fused.loss_curve_, plain.loss_curve_, rtol=1e-3)
    assert_allclose(fused.predict(records), plain.predict(records), rtol=1e-3, atol=1e-4)


def test_rounded_rows_change_little(records, monkeypatch):
    fused = pytest.importorskip("skgat.gat.fused", reason="triton is not installed")
    monkeypatch.setattr(fitting, "choose_layout", edges.SparseEdges)
    plain = TransferabilityGAT(device="cuda", **SMALL).fit(records).predict(records)
    monkeypatch.setattr(fused, "_LARGE", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        rounded = TransferabilityGAT(device="cuda", **SMALL).fit(records).predict(records)
    assert_allclose(rounded, plain, rtol=0, atol=0.05 * plain.std())
