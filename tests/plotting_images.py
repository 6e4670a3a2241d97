"""The reviewed images of the displays: what is drawn in them, and how it is compared.

After a change of the displays that is meant, make the images anew and look at each of them::

    make images
"""

__all__ = ["DRAWINGS", "IMAGES", "STYLES", "distance", "render"]

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")
import matplotlib.pyplot as plt

from skgat.inspection import Explanation
from skgat.plotting import (
    CalibrationDisplay,
    EmbeddingDisplay,
    ExplanationDisplay,
    MeasuresDisplay,
    RankingDisplay,
    RegretCurveDisplay,
    TransferabilityMatrixDisplay,
)

IMAGES = Path(__file__).parent / "images"
STYLES = {"light": "default", "dark": "dark_background"}
N_MODELS, N_DATASETS = 8, 10


def _records():
    rng = np.random.default_rng(0)
    models, datasets = rng.normal(size=N_MODELS), rng.normal(size=N_DATASETS)
    scores = models[:, None] + 2 * datasets + 0.5 * rng.normal(size=(N_MODELS, N_DATASETS))
    table = pd.DataFrame(scores, [f"m{i}" for i in range(N_MODELS)], [f"d{i}" for i in range(N_DATASETS)])
    records = table.rename_axis("model").melt(var_name="dataset", value_name="score", ignore_index=False).reset_index()
    for name, noise in {"pair__good": 0.5, "pair__poor": 3.0, "history": 1.0}.items():
        records[name] = records["score"] + noise * rng.normal(size=len(records))
    return records


RECORDS = _records()


def _matrix(figure):
    holes = RECORDS.drop(index=range(5, len(RECORDS), 7))
    display = TransferabilityMatrixDisplay.from_predictions(holes, known=RECORDS[::3], ax=figure.add_subplot())
    # Cells of whole pixels: how others are rounded has changed between versions.
    width, height = figure.get_size_inches() * figure.dpi
    display.ax_.set_position([30 / width, 15 / height, 15 * N_DATASETS / width, 18 * N_MODELS / height])


def _ranking(figure):
    score = np.array([3.0, 2.6, 2.5, 1.0])
    ranking = pd.DataFrame({"dataset": "x", "rank": [1, 2, 3, 4], "model": list("abcd"), "score": score, "std": 0.5})
    RankingDisplay.from_predictions(ranking, ax=figure.add_subplot())


def _points():
    rng = np.random.default_rng(1)
    return pd.DataFrame(rng.normal(size=(30, 2)), columns=["t-SNE 1", "t-SNE 2"])


def _embedding_by_number(figure):
    numbers = pd.Series(np.linspace(-1, 1, 30), name="effect")
    EmbeddingDisplay(coordinates=_points(), color=numbers).plot(figure.add_subplot(), annotate=False)


def _embedding_by_group(figure):
    groups = pd.Series(list("abcdef") * 5, name="family")
    EmbeddingDisplay(coordinates=_points(), color=groups).plot(figure.add_subplot(), annotate=False)


def _regret(figure):
    ax = figure.add_subplot()
    truth, groups = RECORDS["score"], RECORDS["dataset"]
    for name in ("history", "pair__poor"):
        RegretCurveDisplay.from_predictions(truth, RECORDS[name], groups=groups, max_k=6, name=name, ax=ax)


def _calibration(figure):
    ax = figure.add_subplot()
    rng = np.random.default_rng(2)
    truth = rng.normal(size=400)
    for std in (0.6, 1.0, 1.8):
        CalibrationDisplay.from_predictions(truth, np.zeros(400), np.full(400, std), name=str(std), ax=ax)


def _measures(figure):
    MeasuresDisplay.from_predictions(RECORDS, references=["history"], ax=figure.add_subplot())


def _measures_scatter(figure):
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    MeasuresDisplay(**_measured()).plot(axes, kind="scatter")


def _measured():
    display = MeasuresDisplay.from_predictions(RECORDS, references=["history"], ax=plt.figure().add_subplot())
    return {name: getattr(display, name) for name in ("quality", "points", "references")}


def _explanation(figure):
    effect = np.array([0.9, -0.6, 0.5, -0.2, 0.7, -0.4])
    frame = RECORDS.head(6).assign(effect=effect, ranking_effect=effect / 2, column="depth", value=[1, 2, 3, 4, 5, 6])
    frame.insert(0, "kind", ["record"] * 4 + ["metadata"] * 2)
    explanation = Explanation("m0", "d0", score=1.0, std=0.1, frame=frame, n_records=4)
    ExplanationDisplay.from_predictions(explanation, ax=figure.subplots(1, 2, sharex=True))


#: What each image shows; a drawing fills an empty figure.
DRAWINGS = {
    "matrix": _matrix,
    "ranking": _ranking,
    "embedding_by_number": _embedding_by_number,
    "embedding_by_group": _embedding_by_group,
    "regret": _regret,
    "calibration": _calibration,
    "measures": _measures,
    "measures_scatter": _measures_scatter,
    "explanation": _explanation,
}


def render(name, style, path):
    """Draw one image without its texts, whose shapes differ between versions of the font renderer.

    Parameters
    ----------
    name : str
        A key of ``DRAWINGS``.
    style : str
        A key of ``STYLES``.
    path : Path
        Where to write it.
    """
    with mpl.rc_context(mpl.rcParamsDefault), plt.style.context(STYLES[style]):
        mpl.use("Agg")
        figure = plt.figure(figsize=(4, 3), dpi=60, layout="none")
        DRAWINGS[name](figure)
        for legend in figure.findobj(mpl.legend.Legend):
            legend.set_visible(False)
        for text in figure.findobj(mpl.text.Text):
            text.set_visible(False)
        figure.savefig(path, dpi=60, metadata={"Software": None})
        plt.close("all")


def distance(first, second):
    """Root mean square of the difference of two images, on the scale from 0 to 255; infinite if sizes differ."""
    one, other = (plt.imread(path)[..., :3] for path in (first, second))
    if one.shape != other.shape:
        return np.inf
    return float(255 * np.sqrt(np.mean((one - other) ** 2)))


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for drawing in DRAWINGS:
        for ground in STYLES:
            target = IMAGES / f"{drawing}_{ground}.png"
            render(drawing, ground, target)
            print(f"{target.name}: {target.stat().st_size} bytes")
