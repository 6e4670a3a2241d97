"""What test files share.

One thread a process, so that sums do not hang on the machine; small or stubborn disks; a look at trees that are grown;
a second device where there is one only; which tests do not count as coverage; whether examples are drawn anew.
"""

import os
import shutil
import subprocess
import sys
import threading

import pytest
from hypothesis import settings

# Before torch and BLAS are imported, here and in the processes that tests start.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A run by hand looks for new examples each time; a change is judged by the same ones as the change before it.
settings.register_profile("fixed", derandomize=True)
if os.environ.get("HYPOTHESIS_PROFILE") == "fixed":
    settings.load_profile("fixed")

#: Files of tests of the whole, or of the benchmarks. Every line is to be reached by the tests of its own module; to
#: trace these as well costs minutes and hides where that is not so.
_OF_THE_WHOLE = {
    "test_architecture", "test_concurrency", "test_conformance", "test_determinism", "test_docs", "test_engines",
    "test_faults", "test_fuzz", "test_fuzz_files", "test_gat_learning", "test_headline", "test_leaks",
    "test_quality_benchmark", "test_speed_benchmark", "test_stress", "test_supply",
}  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    # The mark that pytest-cov has for this does nothing in the processes of pytest-xdist.
    if item.path.stem not in _OF_THE_WHOLE and item.get_closest_marker("untraced") is None:
        return (yield)
    traced = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(traced[0])
        threading.settrace(traced[1])


def _mounted(folder, options):
    if shutil.which("mount") is None:
        pytest.skip("no mount command")
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("may not mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 64 kB."""
    yield from _mounted(tmp_path / "tiny", "size=64k")


@pytest.fixture
def read_only(tmp_path):
    """A home that cannot be written to."""
    yield from _mounted(tmp_path / "home", "ro")


@pytest.fixture
def grown(monkeypatch):
    """The trees that the recommender grows, in order."""
    from sklearn.tree import DecisionTreeRegressor

    from skgat.gat import forest

    trees = []

    class Kept(DecisionTreeRegressor):
        def fit(self, X, y, **given):
            trees.append(self)
            return super().fit(X, y, **given)

    monkeypatch.setattr(forest, "DecisionTreeRegressor", Kept)
    return trees


@pytest.fixture
def pretended(monkeypatch):
    """A second device, whose random streams are those of the CPU."""
    from pretend_device import PretendDevice

    from skgat.embedding import linkpred
    from skgat.gat import fitting, runtime, trainer

    make = runtime.make_generator
    for module in (runtime, trainer, fitting, linkpred):
        monkeypatch.setattr(module, "make_generator", lambda seed, device: make(seed, "cpu"))
    return PretendDevice()
