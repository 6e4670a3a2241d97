"""Every example of the gallery runs to its end, draws something, and has nothing to warn of."""

import multiprocessing
import os
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))
NEEDS = {"plot_optuna": "optuna", "plot_polars": "polars"}

#: Far above what any of them takes (20 s of one core), so that a busy machine fails none and a hang fails soon.
SECONDS = 300

#: What all of them import, which takes longer than some of them run.
LIBRARIES = ["matplotlib.pyplot", "pandas", "sklearn.model_selection", "sklearn.pipeline", "torch"]


@pytest.fixture(scope="module")
def processes():
    """Fresh processes that have the libraries, but nothing of what another example left behind."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONWARNINGS", raising=False)
        yield context


def run(path, folder):
    """What a process does: run the example and say what it drew."""
    for name in ("stdout", "stderr"):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), getattr(sys, name).fileno())
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    empty = folder / "empty"
    empty.mkdir()
    os.chdir(empty)
    sys.path.insert(0, str(path.parents[1]))
    runpy.run_path(str(path), run_name="__main__")
    for number in plt.get_fignums():
        figure = plt.figure(number)
        figure.canvas.draw()
        drawn = sum(ax.has_data() for ax in figure.axes)
        print(f"figure {number}: {drawn} axes with data, {len(figure.axes)} axes")


def test_there_are_enough_examples():
    assert len(EXAMPLES) >= 13


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_opens_with_a_title(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == '"""'
    assert lines[2] == "=" * len(lines[1])
    assert lines[3] == ""
    assert "# %%" in lines
    assert "fetch_" not in path.read_text(encoding="utf-8")


@pytest.mark.examples
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_draws_and_does_not_warn(path, tmp_path, processes):
    needed = NEEDS.get(path.stem)
    if needed and find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed; it comes with the extra 'examples'")
    process = processes.Process(target=run, args=(path, tmp_path))
    process.start()
    process.join(SECONDS)
    process.kill()
    said = (tmp_path / "stderr").read_text(encoding="utf-8")
    assert process.exitcode == 0, said
    assert said == ""
    lines = (tmp_path / "stdout").read_text(encoding="utf-8").splitlines()
    figures = [line for line in lines if line.startswith("figure ")]
    assert figures
    assert all(": 0 axes with data" not in line for line in figures)
    assert not list((tmp_path / "empty").iterdir())
