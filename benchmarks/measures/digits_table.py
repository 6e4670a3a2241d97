"""How well each training-free measure ranks the models of the digits zoo; writes docs/measures.md and its picture.

OMP_NUM_THREADS=1 python benchmarks/measures/digits_table.py
"""

import platform
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import scipy
import sklearn

from skgat import make_records
from skgat.datasets import load_digits_zoo
from skgat.metrics import weighted_kendall
from skgat.plotting import MeasuresDisplay
from skgat.transferability import score_zoo

DOCS = Path(__file__).resolve().parents[2] / "docs"
MEASURES = [
    "logme", "h_score", "regularized_h_score", "sfda", "parc", "gbc", "transrate", "lfc", "ncti", "nleep", "lda", "knn",
    "linear_probe", "leep", "nce", "pactran",
]  # fmt: skip
REFERENCES = ["history: all other tasks", "history: one other task", "pre-training accuracy", "number of parameters"]
TRUTHS = {"fine-tuned": "records", "retrained head": "head_records"}

TOGETHER = ["all measures", "all measures and history"]

TEXT = """\
# What the training-free measures are worth

This page is written by `benchmarks/measures/digits_table.py`, figures and all.

The digits zoo (`skgat.datasets.load_digits_zoo`) is {n_models} small networks, really fine-tuned on each of {n_tasks}
tasks. Every measure scores the networks from their features (`leep`, `nce` and `pactran` from their source
probabilities) of the {least} to {most} labelled training samples of a task, with default arguments. A figure is the
mean over the tasks of the weighted Kendall correlation (scipy's default form) of these scores with the accuracy on
held-out images, ± one standard error of that mean. *Fine-tuned* is the accuracy after training all layers, *retrained
head* that of a linear classifier on the frozen features.

{table}

![weighted Kendall of each measure with the fine-tuned accuracy](images/measures_digits.png)

The second part puts measures together, each standardised over the networks and all of one weight: all of them, and
half of that with half of the history. The third part needs no features: the mean accuracy of a network on all other
tasks; its accuracy on one other task, averaged over all choices of that task; and two facts about the network.

{statement}

The best measure is picked by looking at this very table. The four tasks of a transformation share its images, and all
tasks share the networks, so the standard errors are somewhat too small, and nothing here says how other zoos would come
out. Samples are few (as few as {per_class} a class), which is hard on measures that estimate a covariance with little
or no shrinkage: `h_score` is as high as it can be wherever there are no more samples than features, and `sfda`
saturates there; neither then tells networks apart.

{versions}
"""


def measure(zoo):
    """All measures of all models on all tasks, one row a pair."""
    frames = []
    for dataset in zoo.datasets["dataset"]:
        sources = {
            model: {key: zoo[key][model, dataset] for key in ("features", "probabilities")}
            for model in zoo.models["model"]
        }
        with warnings.catch_warnings():
            # h_score says of some tasks that it has too few samples; so does the page.
            warnings.filterwarnings("ignore", "h_score of", UserWarning)
            frames.append(score_zoo(sources, zoo.labels[dataset], MEASURES, dataset=dataset))
    pairs = pd.concat(frames, ignore_index=True)
    return pairs[["model", "dataset", *MEASURES]]


def _standardised(frame, columns):
    """Some columns with mean 0 and deviation 1 on each task; a constant is 0 throughout."""
    within = frame.groupby("dataset")[columns]
    spread = within.transform("std")
    return (frame[columns] - within.transform("mean")) / spread.where(spread > 0, np.inf)


def with_references(records):
    """The records with what can be known without features beside them."""
    of_model = records.groupby("model")["score"]
    others = (of_model.transform("sum") - records["score"]) / (of_model.transform("size") - 1)
    both = pd.DataFrame({"measures": _standardised(records, MEASURES).mean(axis=1), "history": others})
    both = both.assign(dataset=records["dataset"])
    return records.assign(
        **{
            "all measures": both["measures"],
            "all measures and history": _standardised(both, ["measures", "history"]).mean(axis=1),
            "history: all other tasks": others,
            "pre-training accuracy": records["model__pretrain_accuracy"],
            "number of parameters": records["model__parameters"],
        }
    )


def one_task_of_history(records):
    """Weighted Kendall of each task with one other task, averaged over the choice of that."""
    table = records.pivot_table(index="model", columns="dataset", values="score")
    found = {}
    for task in table:
        others = table.drop(columns=task)
        truth = np.repeat(table[task].to_numpy()[:, None], others.shape[1], axis=1)
        groups = np.broadcast_to(np.arange(others.shape[1]), others.shape)
        found[task] = weighted_kendall(truth.ravel(), others.to_numpy().ravel(), groups=groups.ravel())
    return pd.Series(found)


def judge(zoo, pairs):
    """Weighted Kendall of each task (rows) for each measure and reference, by kind of accuracy."""
    displays = {}
    for name, entry in TRUTHS.items():
        records = make_records(zoo[entry], pairs=pairs)
        records = with_references(records.rename(columns=lambda column: column.removeprefix("pair__")))
        references = [column for column in TOGETHER + REFERENCES if column in records]
        display = MeasuresDisplay.from_predictions(records, measures=MEASURES, references=references)
        display.quality["history: one other task"] = one_task_of_history(records)
        display.references = tuple(TOGETHER + REFERENCES)
        displays[name] = display.plot()
    return displays


def table_of(displays):
    """The table in Markdown: measures by their worth, the references below."""
    quality = {name: display.quality for name, display in displays.items()}
    first = next(iter(quality.values()))
    lines = ["| | " + " | ".join(quality) + " |", "|---" * (1 + len(quality)) + "|"]
    for group in (MEASURES, TOGETHER, REFERENCES):
        for measure in first[group].mean().sort_values(ascending=False).index:
            cells = [f"{q[measure].mean():.3f} ± {q[measure].sem():.3f}" for q in quality.values()]
            name = f"`{measure}`" if measure in MEASURES else measure
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        if group is not REFERENCES:
            lines.append("| | | |")
    return "\n".join(lines)


def state(displays):
    """What the table says, in words."""
    parts, history = [], "history: all other tasks"
    for name, display in displays.items():
        mean = display.quality.mean()
        best = mean[MEASURES].idxmax()
        single = mean["history: one other task"]
        parts += [
            f"For *{name}* accuracies",
            "",
            f"- the best measure is `{best}`, {_apart(display.quality[best] - display.quality[history])} history of "
            "all other tasks;",
            f"- {(mean[MEASURES] > mean[history]).sum()} of {len(MEASURES)} measures are above that history, "
            f"{(mean[MEASURES] > single).sum()} above the history of one task;",
            f"- all measures and history together are "
            f"{_apart(display.quality[TOGETHER[1]] - display.quality[history])} history alone,",
            f"  {_apart(display.quality[TOGETHER[1]] - display.quality[best])} best measure alone.",
            "",
        ]
    return "\n".join(parts[:-1])


def _apart(difference):
    """A paired difference in words, ending in "the"."""
    where = "above the" if difference.mean() > 0 else "below the"
    return f"{abs(difference.mean()):.3f} ± {difference.sem():.3f} {where}"


def main():
    mpl.use("Agg")
    zoo = load_digits_zoo()
    displays = judge(zoo, measure(zoo))
    versions = (
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn "
        f"{sklearn.__version__}, {platform.machine()}."
    )
    text = TEXT.format(
        n_models=len(zoo.models),
        n_tasks=len(zoo.datasets),
        least=zoo.datasets["n_samples"].min(),
        most=zoo.datasets["n_samples"].max(),
        per_class=zoo.datasets["samples_per_class"].min(),
        table=table_of(displays),
        statement=state(displays),
        versions=versions,
    )
    (DOCS / "images").mkdir(exist_ok=True)
    (DOCS / "measures.md").write_text(text, encoding="utf-8")
    displays["fine-tuned"].figure_.savefig(DOCS / "images" / "measures_digits.png", dpi=100)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
