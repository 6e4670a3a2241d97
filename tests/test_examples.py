"""Every example of the gallery runs to its end, draws something, and has nothing to warn of."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))
NEEDS = {"plot_optuna": "optuna", "plot_polars": "polars"}

#: Far above what any of them takes (20 s of one core), so that a busy machine fails none and a hang fails soon.
SECONDS = 300

RUN = """
import runpy, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
runpy.run_path(sys.argv[1], run_name="__main__")
for number in plt.get_fignums():
    figure = plt.figure(number)
    figure.canvas.draw()
    drawn = sum(ax.has_data() for ax in figure.axes)
    print(f"figure {number}: {drawn} axes with data, {len(figure.axes)} axes")
"""


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
def test_example_draws_and_does_not_warn(path, tmp_path):
    needed = NEEDS.get(path.stem)
    if needed and find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed; it comes with the extra 'examples'")
    root = str(path.parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    environment.pop("PYTHONWARNINGS", None)
    found = subprocess.run(
        [sys.executable, "-c", RUN, str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    figures = [line for line in found.stdout.splitlines() if line.startswith("figure ")]
    assert figures
    assert all(": 0 axes with data" not in line for line in figures)
    assert not list(tmp_path.iterdir())
