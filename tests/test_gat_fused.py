"""The kernels for GPUs: they say what the operations of torch say, compile for GPUs, and give way where they do not.

There need not be a GPU: Triton's interpreter runs them on the CPU, and its compiler makes code for GPUs that are not
there. What is run on one is in `test_gpu.py`.
"""

import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgat.gat import edges
from skgat.gat.messages import SparseMessages

HERE = Path(__file__).parent
CASES = ("scored", "units that are no power of two", "no scores", "logits of hundreds", "rounded")
NAMES = ("means", "query", "slopes", "key", "values", "scored")
WARNING = "Training goes on without fused kernels, which gives the same and takes longer ({})."


def _run(*arguments, **environment):
    given = os.environ | {"PYTHONPATH": str(HERE.parent), "CUDA_VISIBLE_DEVICES": ""} | environment
    done = subprocess.run([sys.executable, *arguments], env=given, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What operations of torch and interpreted kernels say."""
    pytest.importorskip("triton", reason="triton is not installed")
    path = tmp_path_factory.mktemp("fused") / "found"
    _run(str(HERE / "interpreted_kernels.py"), str(path), TRITON_INTERPRET="1")
    return joblib.load(path)


@pytest.mark.parametrize(("case", "side"), [("scored", "model"), *((case, "dataset") for case in CASES)])
def test_means_and_derivatives_are_those_of_the_operations_of_torch(found, case, side):
    pairs = found[0][case, side]
    names = [name for name in NAMES if case != "no scores" or name not in ("slopes", "scored")]
    for name, (expected, said) in zip(names, pairs, strict=True):
        largest = np.abs(expected).max()
        assert largest > 0, name
        assert_allclose(said, expected, rtol=0, atol=1e-5 * max(largest, 1.0), err_msg=name)


def test_who_hears_of_nothing_is_told_so(found):
    expected, said = found[0]["scored", "dataset"][0]
    of_nobody = said[:, :, :, 1]
    assert_array_equal(of_nobody, np.zeros_like(of_nobody))
    assert_array_equal(said[0, :, :, 2], 0.0)
    assert (said[1, :, -1, 2] > 0).all()
    assert_array_equal(said[:, :, -1], expected[:, :, -1])


def test_a_fit_with_the_kernels_learns_what_a_fit_without_them_learns(found):
    (plain, warned), (with_kernels, warned_with) = (found[1][name] for name in ("plain", "kernels"))
    assert warned == warned_with == []
    assert_allclose(with_kernels, plain, rtol=0, atol=1e-5 * plain.std())


def test_rounded_rows_change_little(found):
    (plain, _), (rounded, warned) = (found[1][name] for name in ("plain", "rounded"))
    assert warned == []
    off = np.abs(rounded - plain).max() / plain.std()
    assert 1e-6 < off < 1e-2


@pytest.mark.parametrize(
    ("stands_in", "reason"), [("refused", "the compiler died"), ("silent", "what they say differs")]
)
def test_kernels_that_cannot_be_relied_on_are_not_used(found, stands_in, reason):
    said, warned = found[1][stands_in]
    assert set(warned) == {WARNING.format(reason)}
    assert_array_equal(said, found[1]["plain"][0])


def test_without_triton_a_gpu_has_the_operations_of_torch(monkeypatch):
    edges.messages_on.cache_clear()
    monkeypatch.setitem(sys.modules, "skgat.gat.fused", None)
    assert edges.messages_on("cuda") is SparseMessages
    edges.messages_on.cache_clear()


def test_a_gpu_has_the_kernels_and_a_cpu_has_not():
    pytest.importorskip("triton", reason="triton is not installed")
    from skgat.gat import fused

    edges.messages_on.cache_clear()
    assert edges.messages_on("cuda") is fused.FusedMessages
    assert edges.messages_on("cpu") is SparseMessages


COMPILE = """
import sys, warnings
warnings.simplefilter("ignore")
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from skgat.gat import fused

TYPES = {"starts": "*i32", "senders": "*i32", "receivers": "*i32"}
ROWS = {"values", "scored", "of_values", "of_scored"}
TYPES |= {name: "i32" for name in ("n_edges", "n_receivers", "n_senders")}
OF_SCORES = {"slopes", "scored", "of_scored", "of_slopes", "of_said_scored"}
for capability, width, scored, block, rows in ((80, 12, False, 16, "*fp32"), (90, 8, True, 128, "*bf16")):
    for kernel in (fused._listen, fused._answer_receivers, fused._answer_senders):
        fixed = {"HEADS": 4, "WIDTH": width, "PADDED": triton.next_power_of_2(width)}
        fixed |= {"SCORED": scored, "BLOCK": block} | {name: None for name in OF_SCORES if not scored}
        fixed = {name: value for name, value in fixed.items() if name in kernel.arg_names}
        types = {name: rows if name in ROWS else TYPES.get(name, "*fp32") for name in kernel.arg_names}
        types |= dict.fromkeys(fixed, "constexpr")
        places = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
        source, target = ASTSource(kernel, types, places), GPUTarget("cuda", capability, 32)
        made = triton.compile(source, target=target, options={"num_warps": max(block // 32, 1)})
        print(capability, kernel.__name__, width, scored, len(made.asm["cubin"]))
"""


def test_the_kernels_compile_for_gpus(tmp_path):
    pytest.importorskip("triton", reason="triton is not installed")
    lines = _run("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path)).splitlines()
    assert len(set(lines)) == 6
    assert all(int(line.split()[-1]) > 10_000 for line in lines)
