"""The figures of the theory page, from fitted recommenders."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from scipy.stats import weightedtau

from skgat.plotting._canvas import MARKERS, PALETTE, ink

__all__ = ["attention_figure", "decoder_figure", "graph_figure", "levels_figure", "parts_figure"]


def graph_figure(records, models, datasets, unknown):
    """Some models and datasets with the results between them, and an unknown dataset without any."""
    fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
    places = {"model": np.linspace(0, 1, len(models)), "dataset": np.linspace(0, 1, len(datasets) + 1)}
    table = records.pivot(index="model", columns="dataset", values="score").loc[models, datasets]
    centred = table - table.mean()
    norm = TwoSlopeNorm(0, centred.min().min(), centred.max().max())
    colours = plt.get_cmap("RdBu")
    for row, y_model in zip(centred.to_numpy(), places["model"], strict=True):
        for value, y_dataset in zip(row, places["dataset"], strict=False):
            ax.plot([0, 1], [y_model, y_dataset], color=colours(norm(value)), lw=2.5, zorder=1)
        ax.plot([0, 1], [y_model, 1], color=ink(ax), lw=1, ls=":", alpha=0.6, zorder=0)
    for x, names, ys, colour, side in (
        (0, models, places["model"], PALETTE[0], "right"),
        (1, [*datasets, unknown], places["dataset"], PALETTE[1], "left"),
    ):
        ax.scatter(np.full(len(ys), x), ys, s=140, color=colour, edgecolor=ink(ax), zorder=2)
        for name, y in zip(names, ys, strict=True):
            shift = -0.04 if side == "right" else 0.04
            ax.text(x + shift, y, name + (" (unknown)" if name == unknown else ""), ha=side, va="center")
    ax.set(xlim=(-0.45, 1.45), ylim=(-0.08, 1.12))
    ax.text(0, 1.1, "models", ha="center", va="bottom")
    ax.text(1, 1.1, "datasets", ha="center", va="bottom")
    ax.axis("off")
    scale = fig.colorbar(plt.cm.ScalarMappable(norm, colours), ax=ax, shrink=0.8, location="bottom", aspect=40)
    scale.set_label("score, less the mean of these models on the dataset")


def attention_figure(gat, layer=0):
    """How much each dataset listens to the result of each model, times the number of results."""
    weights = gat.attention()
    weights = weights[(weights["layer"] == layer) & weights["target"].isin(gat.datasets_)]
    table = weights.pivot_table(index="target", columns="source", values="weight", aggfunc="mean")
    relative = table * table.notna().sum(axis=1).to_numpy()[:, None]
    order = relative.mean().sort_values(ascending=False).index
    fig, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
    image = ax.imshow(relative[order], cmap="viridis", aspect="auto")
    ax.set_xticks(range(len(order)), order, rotation=90)
    ax.set_yticks(range(len(table)), table.index)
    ax.set(xlabel="model that is listened to", ylabel="dataset that listens")
    fig.colorbar(image, ax=ax).set_label("attention (1 = equal shares)")


def levels_figure(gat):
    """How alike the states of two nodes are at each level."""
    _, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    n_levels = gat.n_layers + 1
    for colour, marker, side in zip(PALETTE, MARKERS, ("model", "dataset"), strict=False):
        levels = gat.network_.levels[side]
        parts = np.split(levels, n_levels, axis=2)
        ax.plot(range(n_levels), [_likeness(part) for part in parts], color=colour, marker=marker, label=f"{side}s")
    ax.set(xlabel="level (0: before any message)", ylabel="mean cosine similarity\nof two nodes")
    ax.set_ylim(top=1.05)
    ax.set_xticks(range(n_levels))
    ax.legend()


def _likeness(states):
    units = states / np.linalg.norm(states, axis=2, keepdims=True)
    similar = units @ units.transpose(0, 2, 1)
    rows, columns = np.triu_indices(states.shape[1], 1)
    return similar[:, rows, columns].mean()


def decoder_figure(rankings):
    """Where each model stands for two unknown datasets, one panel a decoder."""
    _, axes = plt.subplots(1, len(rankings), figsize=(7.5, 4.6), sharey=True, layout="constrained")
    for ax, (title, table) in zip(axes, rankings.items(), strict=True):
        ranks = table.rank(ascending=False)
        for _, (left, right) in ranks.iterrows():
            moved = left != right
            ax.plot([0, 1], [left, right], color=PALETTE[1] if moved else PALETTE[0], lw=1.5, marker="o", ms=4)
        ax.set_xticks([0, 1], table.columns)
        ax.set(title=title, xlim=(-0.25, 1.25))
    axes[0].set_ylabel("predicted rank of each model")
    axes[0].invert_yaxis()


def parts_figure(predictions, truth, dataset):
    """Predicted against true scores, one panel a way to predict."""
    _, axes = plt.subplots(1, len(predictions), figsize=(8, 3.2), sharex=True, sharey=True, layout="constrained")
    for colour, ax, (title, values) in zip(PALETTE, axes, predictions.items(), strict=False):
        ax.scatter(truth, values, color=colour, s=28)
        ax.set_title(f"{title}\nweighted Kendall {weightedtau(truth, values)[0]:.2f}", fontsize=10)
        ax.set_xlabel(f"true score on {dataset}")
    axes[0].set_ylabel("predicted score")
