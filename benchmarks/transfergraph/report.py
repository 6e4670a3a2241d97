"""The table and the plot of the finished cells, as a page of the docs."""

from pathlib import Path

import numpy as np

#: Pearson per target as upstream published it (Li et al., ICDE 2024; github.com/TransferGraph/transfergraph): image,
#: XGB on node2vec; text, XGB on GAT, all models. In the order of the targets' names.
PUBLISHED = {
    "image": [0.946, 0.802, 0.851, 0.874, 0.895, 0.907, 0.698, 0.812],
    "text": [0.743, 0.754, 0.822, 0.803, 0.812, 0.770, 0.892, 0.821],
}
#: What the figures say, written by hand.
_READING = Path(__file__).parent / "reading.md"
GRAPHS = ("node2vec", "node2vec+", "sage", "gat")
FEATURES = ("metadata", "+ similarity", "+ LogME", "all")
REGRESSORS = ("LR", "RF", "XGB")
BASELINES = ("model mean (z)", "BiasRegressor", "LogME")
_CURVES = ("node2vec+", "sage", "gat")
_LABELS = {"none | all | XGB": "XGB, no graph", **{f"{name} | all | XGB": f"XGB, {name}" for name in _CURVES}}
_DRAWN = ("model mean (z)", *_LABELS)


def write_report(cells, path, versions):
    """Write the page and, in a folder ``images`` beside it, the plot of the history curve."""
    alone = cells[cells["protocol"] == "leave one out"]
    settings = "; ".join(sorted(cells["settings"].unique()))
    parts = [_introduction(settings, versions), _READING.read_text(encoding="utf-8")]
    for modality in [name for name in PUBLISHED if name in set(alone["modality"])]:
        of = alone[alone["modality"] == modality]
        parts += [f"## {modality.capitalize()}: leave one dataset out\n", _main_table(of), _per_target(of, modality)]
    parts += [_what_graphs_add(alone), _harder(cells), _history(cells, path)]
    path.write_text("\n".join(part for part in parts if part).rstrip() + "\n", encoding="utf-8")


def _introduction(settings, versions):
    return f"""# TransferGraph, reproduced

TransferGraph (Li et al., ICDE 2024) embeds models and datasets in a graph of past results, transferability scores and
dataset similarities, and lets a regressor predict the rest. Here it is `GraphEmbedder` and a regressor, with the
paper's targets (eight datasets a modality, one left out at a time) and its regressors' settings. All scores of the
target are hidden; its LogME and its distances to other datasets stay visible, as in the paper. Not taken over: the run
time of the hidden runs as a feature, the silent loss of models, category codes that are fitted apart on the rows to
predict. The regressors learn scores that are standardised within each dataset of the history; every correlation is
taken over all models of the target with a result.

Run by `python benchmarks/transfergraph/run.py --report docs/transfergraph.md` with {settings}; {versions}.

A figure is the mean over eight datasets; its standard error is 0.01 to 0.03, so differences in the second decimal are
noise unless they are paired (as they are below, where it says so). Rows and columns are the whole grid: nothing was
chosen by these figures.
"""


def _mean(cells, contestant, measure="pearson"):
    values = cells.loc[cells["contestant"] == contestant, measure]
    return float(values.mean()) if len(values) else np.nan


def _number(value):
    return "" if np.isnan(value) else f"{value:.3f}"


def _row(*entries):
    return "| " + " | ".join(entries) + " |"


def _main_table(cells):
    lines = ["Pearson / Spearman:\n", _row("features", "regressor", "no graph", *GRAPHS), _row(*["---"] * 7)]
    for features in FEATURES:
        for regressor in REGRESSORS:
            names = [f"{method} | {features} | {regressor}" for method in ("none", *GRAPHS)]
            entries = [f"{_number(_mean(cells, n))} / {_number(_mean(cells, n, 'spearman'))}" for n in names]
            lines.append(_row(features, regressor, *entries))
    for regressor in REGRESSORS:
        names = [f"mean + {method} | all | {regressor}" for method in ("none", *GRAPHS)]
        entries = [f"{_number(_mean(cells, n))} / {_number(_mean(cells, n, 'spearman'))}" for n in names]
        lines.append(_row("all + model mean", regressor, *entries))
    lines += ["\nWithout features:\n", _row("baseline", "Pearson", "Spearman", "weighted Kendall"), _row(*["---"] * 4)]
    for name in BASELINES:
        measures = (_mean(cells, name, measure) for measure in ("pearson", "spearman", "weighted_kendall"))
        lines.append(_row(name, *map(_number, measures)))
    return "\n".join(lines) + "\n"


def _per_target(cells, modality):
    targets = sorted(cells["target"].unique())
    contestants = ("model mean (z)", "none | metadata | RF", "none | all | XGB",
                   *(f"{method} | all | XGB" for method in GRAPHS), "mean + none | all | RF")  # fmt: skip
    lines = ["Pearson by target:\n", _row("", *targets, "mean"), _row(*["---"] * (len(targets) + 2))]
    if len(targets) == len(PUBLISHED[modality]):
        published = PUBLISHED[modality]
        lines.append(_row("published, upstream", *map(_number, published), _number(float(np.mean(published)))))
    for name in contestants:
        values = cells[cells["contestant"] == name].set_index("target")["pearson"].reindex(targets)
        lines.append(_row(name.replace(" | ", ", "), *map(_number, values), _number(float(values.mean()))))
    return "\n".join(lines) + "\n"


def _paired(cells, with_graph, without, measure):
    """The differences of two contestants, one a target."""
    by_target = cells.set_index(["modality", "target"])
    one, other = (by_target.loc[by_target["contestant"] == name, measure] for name in (with_graph, without))
    return (one - other).dropna().to_numpy()


def _spread(differences):
    return differences.std(ddof=1) / np.sqrt(len(differences))


def _what_graphs_add(cells):
    lines, words = [], []
    for prefix, label in (("", "metadata, similarity and LogME"), ("mean + ", "these and the model's mean")):
        clear = {"better": 0, "worse": 0, "all": 0}
        for regressor in REGRESSORS:
            for measure in ("pearson", "spearman"):
                plain = f"{prefix}none | all | {regressor}"
                found = [_paired(cells, f"{prefix}{name} | all | {regressor}", plain, measure) for name in GRAPHS]
                found = [differences for differences in found if len(differences) > 1]
                entries = [f"{d.mean():+.3f} ± {_spread(d):.3f} ({(d > 0).sum()} of {len(d)})" for d in found]
                lines.append(_row(label, regressor, measure.capitalize(), *entries))
                clear["all"] += len(found)
                clear["better"] += sum(d.mean() > 2 * _spread(d) for d in found)
                clear["worse"] += sum(d.mean() < -2 * _spread(d) for d in found)
        words.append(
            f"Beside {label}, {clear['better']} of {clear['all']} combinations of graph, regressor and measure gain by "
            f"more than two standard errors, and {clear['worse']} lose by as much."
        )
    head = [
        "## What the graph adds\n",
        "Paired differences over all targets of both zoos, mean ± standard error (wins): the same regressor on the "
        "same features, with the vectors and without. " + " ".join(words) + " By chance alone about one in 20 would "
        "pass that line on either side together.\n",
        _row("beside", "regressor", "measure", *GRAPHS),
        _row(*["---"] * 7),
    ]
    return "\n".join(head + lines) + "\n"


def _harder(cells):
    of = cells[cells["protocol"].str.startswith("both unknown")]
    if of.empty:
        return ""
    columns = sorted(of.groupby(["protocol", "modality"]).groups)
    lines = [
        "## Unknown model and unknown dataset\n",
        "Five folds of the models crossed with the targets: neither a score of the model nor one of the dataset is "
        "known (grouped: models of one architecture and pre-training set are unknown together). The five folds' "
        "predictions are ranked together. All features. A graph has the unknown models as nodes with their LogME; "
        "*placed* means that they stay out of it and are placed by their metadata, row by row. Pearson / Spearman:\n",
        _row("contestant", *(f"{modality}, {protocol}" for protocol, modality in columns)),
        _row(*["---"] * (len(columns) + 1)),
    ]
    for name in sorted(of["contestant"].unique(), key=_order):
        rows = of[of["contestant"] == name]
        entries = []
        for protocol, modality in columns:
            part = rows[(rows["protocol"] == protocol) & (rows["modality"] == modality)]
            entries.append(f"{_number(part['pearson'].mean())} / {_number(part['spearman'].mean())}")
        lines.append(_row(name.replace(" | ", ", "), *entries))
    return "\n".join(lines) + "\n"


def _order(name):
    method, _, rest = name.partition(" | ")
    return name not in BASELINES, rest, "placed" in method, method != "none", method


def _history(cells, path):
    """The curve over the share of the history; the figures are in the page, the plot is beside it."""
    drawn = cells[cells["protocol"].isin(["history", "leave one out"])]
    drawn = drawn[drawn["contestant"].isin(_DRAWN)]
    complete = drawn.groupby(["modality", "ratio"])["target"].nunique()
    drawn = drawn.set_index(["modality", "ratio"]).loc[complete[complete == complete.max()].index].reset_index()
    table = drawn.groupby(["modality", "contestant", "ratio"])["pearson"].mean().unstack()
    modalities = table.index.get_level_values(0).unique()
    table = table.reindex([(modality, name) for modality in modalities for name in _DRAWN])
    if table.shape[1] < 2:
        return ""
    image = Path("images") / "transfergraph_history.png"
    _plot(table, path.parent / image)
    lines = [_row("zoo", "contestant", *map(str, table.columns)), _row(*["---"] * (table.shape[1] + 2))]
    lines += [
        _row(modality, _LABELS.get(name, name), *map(_number, values)) for (modality, name), values in table.iterrows()
    ]
    text = (
        "## Less history\n\nMean Pearson by the share of the history that is known, drawn at random (all features; the "
        f"same draw for every contestant).\n\n![Pearson by share of the history]({image.as_posix()})\n\n"
    )
    return text + "\n".join(lines) + "\n"


def _plot(table, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    modalities = list(dict.fromkeys(table.index.get_level_values(0)))
    figure, axes = plt.subplots(1, len(modalities), figsize=(5.5 * len(modalities), 4), squeeze=False, sharex=True)
    for axis, modality in zip(axes[0], modalities, strict=True):
        curves = table.loc[modality].dropna(thresh=2)
        for name, values in curves.reindex([name for name in _DRAWN if name in curves.index]).iterrows():
            values = values.dropna()
            plain = name == "model mean (z)"
            label = _LABELS.get(name, "model mean (z)")
            style = {"color": "black", "linestyle": "--"} if plain else {"marker": "o", "markersize": 3}
            axis.plot(values.index, values, label=label, linewidth=1.5, **style)
        axis.set(title=modality, xlabel="share of the history that is known", ylabel="Pearson, mean of 8 datasets")
        axis.grid(alpha=0.3)
    axes[0, -1].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
