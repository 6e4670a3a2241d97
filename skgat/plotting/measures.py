"""How well training-free measures rank models, as a picture."""

__all__ = ["MeasuresDisplay"]

from collections import Counter

import numpy as np
import pandas as pd

from .._frames import as_pandas, column_names, is_frame
from .._ranking import rankable_rows, weighted_kendall_tau
from ..model_selection import check_ids
from ..records import id_codes
from ._canvas import balanced, ink, legend_beside, palette, panels, pyplot
from ._labels import shorten

_KINDS = ("bar", "scatter")
_PREFIX = "pair__"


class MeasuresDisplay:
    """How well each measure ranks the models of each dataset: its weighted Kendall correlation with the scores.

    Make one with :meth:`from_predictions`.

    Parameters
    ----------
    quality : DataFrame
        The weighted Kendall correlation, one row a dataset, one column a measure; NaN where there is none.
    points : DataFrame
        Columns ``measure``, ``value`` and ``score``, both standardised within the dataset.
    references : sequence of str, default=()
        The measures that are there to compare with and get another colour.

    Attributes
    ----------
    bars_ : matplotlib BarContainer or None
    points_ : list of matplotlib PathCollection
    ax_ : matplotlib Axes, or array of Axes
        An array for ``kind="scatter"``.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat.plotting import MeasuresDisplay
    >>> records = pd.DataFrame({
    ...     "model": ["a", "b", "c"],
    ...     "dataset": ["pets"] * 3,
    ...     "score": [0.7, 0.8, 0.9],
    ...     "pair__logme": [0.1, 0.2, 0.3],
    ...     "pair__parc": [3.0, 2.0, 1.0],
    ... })
    >>> MeasuresDisplay.from_predictions(records).quality.mean().to_dict()
    {'logme': 1.0, 'parc': -1.0}
    """

    def __init__(self, *, quality, points, references=()):
        self.quality = quality
        self.points = points
        self.references = references

    @classmethod
    def from_predictions(
        cls, records, *, measures=None, references=(), dataset="dataset", target="score", ax=None, **plot_kwargs
    ):
        """Compare the measures in a frame of records with the scores beside them.

        Parameters
        ----------
        records : frame of records
            With a column for each measure, as :func:`skgat.make_records` makes them from the frame of
            :func:`skgat.transferability.score_zoo`. Rows without a value are left out.
        measures : sequence of str, default=None
            The columns to compare; by default all that are named ``pair__...``.
        references : sequence of str, default=()
            Further columns to compare with, like the predictions of a recommender.
        dataset, target : str
            The columns of the dataset ids and the scores.
        ax : matplotlib Axes, or array of Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : MeasuresDisplay
        """
        pyplot(f"{cls.__name__}.from_predictions")
        if not is_frame(records):
            raise TypeError(f"records must be a frame, got {type(records).__name__}.")
        given = column_names(records)
        if measures is None:
            measures = [name for name in given if str(name).startswith(_PREFIX) and name not in references]
        columns = list(dict.fromkeys([*measures, *references]))
        for name in (dataset, target, *columns):
            if name not in given:
                raise ValueError(f"records has no column {name!r}; its columns are {given[:8]}.")
        if not columns:
            raise ValueError(f"records has no column named {_PREFIX}...; pass the columns to compare as measures.")
        plain = as_pandas(records, "records", columns=[dataset, target, *columns])
        ids, codes = id_codes(check_ids(plain[dataset], f"Column {dataset!r}", "dataset"))
        score = plain[target].to_numpy(dtype=np.float64)
        short = _short_names(columns)
        values = {short[name]: plain[name].to_numpy(dtype=np.float64) for name in columns}
        quality = pd.DataFrame({name: _quality(score, value, codes, len(ids)) for name, value in values.items()}, ids)
        points = pd.concat([_standardised(name, score, value, codes) for name, value in values.items()])
        references = tuple(short[name] for name in references)
        return cls(quality=quality, points=points, references=references).plot(ax, **plot_kwargs)

    def plot(self, ax=None, *, kind="bar"):
        """Draw the measures.

        Parameters
        ----------
        ax : matplotlib Axes, or array of Axes, default=None
            Where to draw, one a measure for ``kind="scatter"``; by default a new figure.
        kind : {"bar", "scatter"}, default="bar"
            One bar a measure, the mean over the datasets with one standard error, best at the top; or one small scatter
            plot a measure, of its values against the scores.

        Returns
        -------
        display : MeasuresDisplay
        """
        if kind not in _KINDS:
            raise ValueError(f"Got kind={kind!r}, but expected one of {list(_KINDS)}.")
        self.bars_, self.points_ = None, []
        if kind == "bar":
            self._draw_bars(ax)
        else:
            self._draw_scatters(ax)
        return self

    def _color(self, name, ax):
        return palette(ax)[1] if name in self.references else palette(ax)[0]

    def _draw_bars(self, ax):
        mean = self.quality.mean().sort_values(ascending=False, kind="stable")
        error = self.quality.sem()[mean.index].fillna(0)
        size = (6, max(1.2 + 0.26 * len(mean), 2))
        self.figure_, (self.ax_,) = panels("MeasuresDisplay.plot", ax, 1, 1, size)
        colors = [self._color(name, self.ax_) for name in mean.index]
        self.bars_ = self.ax_.barh(
            np.arange(len(mean)), mean, xerr=error, color=colors, alpha=0.85, error_kw={"ecolor": ink(self.ax_)}
        )
        self.ax_.set_yticks(np.arange(len(mean)), [shorten(name) for name in mean.index])
        self.ax_.invert_yaxis()
        self.ax_.axvline(0, color=ink(self.ax_), linewidth=0.8)
        self.ax_.grid(axis="x", alpha=0.3)
        self.ax_.set_axisbelow(True)
        n_datasets = int(self.quality.notna().any(axis=1).sum())
        self.ax_.set_xlabel(f"weighted Kendall with the score\n(mean of {n_datasets} datasets, one standard error)")
        self.ax_.set_title("how well each measure ranks the models", fontsize="medium")
        if self.references:
            names = {"measure": mean.index.difference(self.references), "to compare with": self.references}
            handles = [self.bars_[mean.index.get_loc(some[0])] for some in names.values() if len(some)]
            legend_beside(self.ax_, handles, [label for label, some in names.items() if len(some)])

    def _draw_scatters(self, ax):
        names = self.quality.mean().sort_values(ascending=False, kind="stable").index
        n_columns = balanced(len(names), 4)
        self.figure_, self.ax_ = panels(
            "MeasuresDisplay.plot", ax, len(names), n_columns, (2.3, 2.1), sharex=True, sharey=True
        )
        groups = dict(iter(self.points.groupby("measure")))
        alpha = np.clip(40 / np.sqrt(max(len(self.points) / len(names), 1)) / 4, 0.1, 1)
        for place, (panel, name) in enumerate(zip(self.ax_, names, strict=True)):
            # A measure that is the same for all models of each dataset has no points.
            part = groups.get(name, self.points[:0])
            style = {"s": 6, "color": self._color(name, panel), "alpha": alpha, "linewidths": 0}
            self.points_.append(panel.scatter(part["value"], part["score"], **style))
            panel.set_title(f"{shorten(name)}: {self.quality[name].mean():.2f}", fontsize="medium")
            if place % n_columns == 0:
                panel.set_ylabel("score (std. dev.)")
            if place >= len(names) - n_columns:
                panel.set_xlabel("measure (std. dev.)")
        self.figure_.suptitle("weighted Kendall of each measure (axes standardised within datasets)", fontsize="medium")


def _short_names(columns):
    """Names without the prefix of pair features, where that leaves them distinct."""
    bare = {name: str(name).removeprefix(_PREFIX) for name in columns}
    often = Counter(bare.values())
    return {name: short if often[short] == 1 else str(name) for name, short in bare.items()}


def _quality(score, value, codes, n_datasets):
    """Weighted Kendall of each dataset; NaN where fewer than two rows or equal scores leave nothing to rank."""
    there = np.isfinite(value) & np.isfinite(score)
    score, value, codes = score[there], value[there], codes[there]
    low, high = np.full(n_datasets, np.inf), np.full(n_datasets, -np.inf)
    np.minimum.at(low, codes, score)
    np.maximum.at(high, codes, score)
    rows = rankable_rows(score, value, codes)
    out = np.full(n_datasets, np.nan)
    out[low < high] = weighted_kendall_tau(rows) if len(rows.size) else []
    return out


def _standardised(name, score, value, codes):
    there = np.isfinite(value) & np.isfinite(score)
    frame = pd.DataFrame({"value": value[there], "score": score[there]})
    within = frame.groupby(codes[there])
    spread = within.transform("std", ddof=0)
    frame = (frame - within.transform("mean")) / spread.where(spread > 0)
    return frame.assign(measure=name).dropna()
