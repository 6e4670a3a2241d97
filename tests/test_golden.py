"""Files of every release load in this one and say the same; what was fitted on a GPU works where there is none."""

import json
import warnings

import golden_files
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline

import skgat
from skgat.persistence import load, save

VERSIONS = sorted(path.name for path in golden_files.FOLDER.iterdir())
SPECIMENS = [
    (version, path.stem) for version in VERSIONS for path in sorted(golden_files.FOLDER.glob(f"{version}/*.skgat"))
]


def load_golden(version, name):
    with warnings.catch_warnings():
        # scikit-learn tells of its own older version; skgat has nothing to warn of.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        return load(golden_files.FOLDER / version / f"{name}.skgat")


def numbers(version):
    return json.loads((golden_files.FOLDER / version / "numbers.json").read_text())


@pytest.mark.conformance
@pytest.mark.parametrize(("version", "name"), SPECIMENS)
def test_loads_and_says_the_same(version, name):
    specimen = load_golden(version, name)
    np.testing.assert_allclose(golden_files.numbers_of(specimen, name), numbers(version)[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_has_its_numbers(version):
    assert numbers(version).keys() == {name for of, name in SPECIMENS if of == version}


def test_this_version_has_its_files():
    assert skgat.__version__ in VERSIONS


def test_every_public_estimator_is_there():
    found = set()
    for version, name in SPECIMENS:
        specimen = load_golden(version, name)
        steps = [step for _, step in specimen.steps] if isinstance(specimen, Pipeline) else [specimen]
        found |= {type(step) for step in steps}
    modules = [skgat, skgat.baselines, skgat.embedding]
    public = {getattr(module, name) for module in modules for name in module.__all__}
    assert {kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseEstimator)} <= found


def test_a_loaded_file_can_be_saved_and_taught(tmp_path):
    pipeline = load_golden("0.1.0", "TransferabilityGAT")
    records = golden_files.make_records()
    expected = golden_files.numbers_of(pipeline, "TransferabilityGAT")
    save(pipeline, tmp_path / "it")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load(tmp_path / "it")
    assert golden_files.numbers_of(again, "TransferabilityGAT") == expected
    encode, gat = (step for _, step in again.steps)
    gat.partial_fit(encode.transform(records[records["dataset"] == "d5"]))
    assert "d5" in gat.datasets_


def test_what_was_released_is_not_written_again():
    with pytest.raises(SystemExit, match="is there already"):
        golden_files.main()


def _parts(obj, seen):
    if id(obj) in seen:
        return
    seen.add(id(obj))
    yield obj
    if isinstance(obj, dict):
        inside = [*obj.keys(), *obj.values()]
    elif isinstance(obj, list | tuple | set):
        inside = obj
    else:
        inside = vars(obj).values() if hasattr(obj, "__dict__") and not isinstance(obj, type) else ()
    for part in inside:
        yield from _parts(part, seen)


@pytest.fixture
def from_a_gpu():
    """The state that a fit on a GPU leaves: as that of a fit on the CPU, but for where it ran."""
    pipeline = load_golden("0.1.0", "TransferabilityGAT")
    gat = pipeline[-1].set_params(device="cuda")
    gat.device_ = "cuda:0"
    return pipeline


def test_fitted_state_knows_no_torch(from_a_gpu):
    kinds = {type(part).__module__.partition(".")[0] for part in _parts(from_a_gpu[-1], set())}
    assert "numpy" in kinds
    assert not kinds & {"torch", "torch_geometric"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_what_was_fitted_on_a_gpu_works_without_one(from_a_gpu, tmp_path):
    save(from_a_gpu, tmp_path / "it")
    loaded = load(tmp_path / "it")
    assert loaded[-1].device_ == "cuda:0"
    expected = numbers("0.1.0")["TransferabilityGAT"]
    np.testing.assert_allclose(golden_files.numbers_of(loaded, "TransferabilityGAT"), expected, rtol=1e-5, atol=1e-7)
    records = golden_files.make_records()
    encoded = loaded[0].transform(records)
    assert loaded[-1].attention()["weight"].notna().all()
    assert "d5" in loaded[-1].partial_fit(encoded).datasets_
    with pytest.raises(ValueError, match=r"Got device='cuda', but torch finds no CUDA device"):
        loaded.fit(records)
    assert loaded[-1].device_ == "cuda:0", "a fit that fails leaves what was there"
    assert loaded.set_params(transferabilitygat__device="auto").fit(records)[-1].device_ == "cpu"
