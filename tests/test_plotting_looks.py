"""What the displays look like: colours, words, room, and reviewed images to compare with."""

from itertools import combinations, pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from plotting_images import DRAWINGS, IMAGES, RECORDS, STYLES, distance, render

from skgat.plotting import (
    CalibrationDisplay,
    EmbeddingDisplay,
    MeasuresDisplay,
    RankingDisplay,
    RegretCurveDisplay,
    TransferabilityMatrixDisplay,
    _canvas,
)
from skgat.plotting._canvas import DARK_PALETTE, MARKERS, PALETTE, balanced, palette

#: From 3.8 to 3.11 matplotlib draws all but the matrix alike; a change of one colour is far more than this.
TOLERANCE = 2.0
AGAIN = "look at it, and if it is meant: make images"

# Simulation of colour vision deficiency of full severity in linear RGB: Machado, Oliveira and Fernandes (2009).
VISION = {
    "full": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def linear(color):
    rgb = np.asarray(mpl.colors.to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(first, second):
    """The contrast ratio of WCAG 2, from 1 to 21."""
    one, other = (linear(color) @ [0.2126, 0.7152, 0.0722] + 0.05 for color in (first, second))
    return max(one, other) / min(one, other)


def lab(light):
    """CIE L*a*b* of linear sRGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(light, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Colours


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("colors", [PALETTE, DARK_PALETTE], ids=["light", "dark"])
def test_colours_can_be_told_apart(colors, vision):
    seen = [lab(np.asarray(VISION[vision]) @ linear(color)) for color in colors]
    apart = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(range(len(colors)), 2)}
    assert min(apart.values()) > 15  # about 2 can just be noticed


def test_a_palette_of_red_and_green_would_not_pass():
    red, green = (lab(np.asarray(VISION["deuteranopia"]) @ linear(color)) for color in ("#a05a2c", "#6b7a2c"))
    assert np.linalg.norm(red - green) < 15


@pytest.mark.parametrize(("colors", "ground"), [(PALETTE, "white"), (DARK_PALETTE, "black")])
def test_colours_stand_out_from_their_ground(colors, ground):
    assert min(contrast(color, ground) for color in colors) >= 3  # what WCAG 2.1 asks of graphics
    assert len(set(colors)) == len(set(MARKERS)) == 6


@pytest.mark.parametrize(
    ("figure", "axes", "ink", "expected"),
    [
        ("white", "white", "black", PALETTE),
        ("black", "black", "white", DARK_PALETTE),
        ("white", "#222222", "black", DARK_PALETTE),
        ("#222222", "none", "white", DARK_PALETTE),
        ("none", "none", "white", DARK_PALETTE),
        ("none", "none", "black", PALETTE),
    ],
)
def test_the_palette_follows_the_ground(figure, axes, ink, expected):
    with mpl.rc_context({"figure.facecolor": figure, "axes.facecolor": axes, "axes.labelcolor": ink}):
        assert palette(plt.figure().add_subplot()) is expected


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", DRAWINGS)
def test_nothing_that_is_drawn_fades_into_the_ground(name, style):
    with plt.style.context(STYLES[style]):
        figure = plt.figure(figsize=(5, 4))
        DRAWINGS[name](figure)
    ground = figure.get_facecolor()
    marks = [line.get_color() for ax in figure.axes for line in ax.lines]
    for ax in figure.axes[: 1 if "number" in name or name == "matrix" else None]:
        for points in ax.collections:
            marks += [*points.get_edgecolors()] if name == "embedding_by_number" else []
            marks += [*points.get_facecolors()] if "group" in name or "scatter" in name else []
        marks += [bar.get_facecolor() for bar in ax.patches]
    assert name == "matrix" or marks
    for color in marks:
        assert contrast(mpl.colors.to_rgb(color), ground) >= 3


# Words


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_display_says_what_is_shown(name):
    figure = plt.figure()
    DRAWINGS[name](figure)
    first = figure.axes[0]
    assert first.get_title()
    assert first.get_xlabel() or name == "measures_scatter"
    assert first.get_ylabel() or name in ("ranking", "measures", "explanation")  # their rows are named one by one
    named = {"embedding_by_number": "effect", "matrix": "score"}
    if name in named:
        assert figure.axes[-1].get_ylabel() == named[name]


def test_units_and_keys_are_named():
    truth, groups = RECORDS["score"], RECORDS["dataset"]
    regret = RegretCurveDisplay.from_predictions(truth, truth, groups=groups).ax_
    assert regret.get_ylabel() == "regret (units of the score)"
    assert regret.get_xticks().tolist() == list(range(1, 9))
    calibration = CalibrationDisplay.from_predictions([0.0, 1], [0, 0], [1, 1]).ax_
    assert "above the diagonal: too cautious" in calibration.get_title()
    bars = MeasuresDisplay.from_predictions(RECORDS, references=["history"])
    legend = bars.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["measure", "to compare with"]
    colors = [mpl.colors.to_hex(handle.get_facecolor()) for handle in legend.legend_handles]
    assert colors == [color.lower() for color in PALETTE[:2]]
    assert MeasuresDisplay.from_predictions(RECORDS).ax_.get_legend() is None


def test_matrix_says_where_there_is_no_score():
    full = TransferabilityMatrixDisplay.from_predictions(RECORDS)
    assert full.ax_.get_title() == "8 models on 10 datasets"
    assert full.ax_.patch.get_hatch() is None
    holes = TransferabilityMatrixDisplay.from_predictions(RECORDS[3:], known=RECORDS[:9])
    assert holes.ax_.get_title() == "8 models on 10 datasets\ndots: known results, hatched: no score"
    assert holes.ax_.patch.get_hatch() == "/////"
    assert len(holes.known_.get_offsets()) == 6


def test_regret_of_many_models_has_few_ticks():
    rng = np.random.default_rng(0)
    ax = RegretCurveDisplay.from_predictions(*rng.normal(size=(2, 47)), groups=np.zeros(47, dtype=int), max_k=47).ax_
    assert ax.get_xticks().tolist() == list(range(1, 48, 5))


# Room


@pytest.mark.parametrize("size", [(4, 3), (8, 6)])
def test_matrix_names_do_not_run_into_each_other(size):
    many = pd.DataFrame({"model": np.repeat(np.arange(40), 50), "dataset": np.tile(np.arange(50), 40)})
    many["score"] = np.arange(len(many), dtype=float)
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    TransferabilityMatrixDisplay.from_predictions(many, ax=ax)
    figure.canvas.draw()
    for axis, low, high in ((ax.xaxis, "x0", "x1"), (ax.yaxis, "y0", "y1")):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        ends = sorted((getattr(box, low), getattr(box, high)) for box in boxes)
        assert len(ends) > 4
        assert all(one[1] <= other[0] + 0.5 for one, other in pairwise(ends))


@pytest.mark.parametrize("size", [(4, 3), (7, 5)])
def test_legends_of_points_and_bars_cover_nothing(size):
    for make in (
        lambda ax: EmbeddingDisplay.from_predictions(np.eye(12), color=list("abcdef") * 2, ax=ax),
        lambda ax: MeasuresDisplay.from_predictions(RECORDS, references=["history"], ax=ax),
    ):
        figure, ax = plt.subplots(figsize=size, layout="constrained")
        make(ax)
        figure.canvas.draw()
        legend = ax.get_legend().get_window_extent()
        assert legend.x0 >= ax.get_window_extent().x1
        assert legend.x1 <= figure.bbox.x1


def test_titles_stay_within_a_small_figure():
    ranking = pd.DataFrame({"dataset": "caltech101", "rank": [1], "model": ["resnet"], "score": [1.0], "std": [0.1]})
    truth, groups = RECORDS["score"], RECORDS["dataset"]
    for make in (
        lambda ax: TransferabilityMatrixDisplay.from_predictions(RECORDS[2:], known=RECORDS[:9], ax=ax),
        lambda ax: RankingDisplay.from_predictions(ranking, ax=ax),
        lambda ax: RegretCurveDisplay.from_predictions(truth, truth, groups=groups, ax=ax),
        lambda ax: CalibrationDisplay.from_predictions(truth, truth, np.ones(len(truth)), ax=ax),
        lambda ax: MeasuresDisplay.from_predictions(RECORDS, ax=ax),
        lambda ax: EmbeddingDisplay.from_predictions(np.eye(12), ax=ax),
    ):
        figure, ax = plt.subplots(figsize=(4, 3), layout="constrained")
        make(ax)
        figure.canvas.draw()
        box = ax.title.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


@pytest.mark.parametrize(("n", "most", "columns"), [(1, 3, 1), (3, 3, 3), (4, 3, 2), (5, 4, 3), (7, 3, 3), (9, 4, 3)])
def test_grids_leave_few_places_empty(n, most, columns):
    assert balanced(n, most) == columns


# Images


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", DRAWINGS)
def test_display_looks_as_reviewed(name, style, tmp_path):
    if name == "matrix" and mpl.__version_info__[:2] < (3, 11):
        pytest.skip("matplotlib before 3.11 puts the edges of the cells of an image elsewhere")
    reviewed, drawn = IMAGES / f"{name}_{style}.png", tmp_path / f"{name}_{style}.png"
    render(name, style, drawn)
    far = distance(reviewed, drawn)
    assert far <= TOLERANCE, f"{drawn} differs from {reviewed.name} by {far:.1f}; {AGAIN}"


@pytest.mark.parametrize("name", ["measures", "regret", "ranking", "embedding_by_group", "calibration"])
def test_the_comparison_sees_another_colour(name, tmp_path, monkeypatch):
    monkeypatch.setattr(_canvas, "PALETTE", ("#E41A1C", *PALETTE[1:]))
    render(name, "light", tmp_path / "other.png")
    assert distance(IMAGES / f"{name}_light.png", tmp_path / "other.png") > TOLERANCE


def test_images_are_small_and_all_of_them_are_compared():
    images = list(IMAGES.iterdir())
    assert {image.name for image in images} == {f"{name}_{style}.png" for name in DRAWINGS for style in STYLES}
    assert max(image.stat().st_size for image in images) < 20_000
