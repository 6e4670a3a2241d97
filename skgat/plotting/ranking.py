"""The recommended models of each dataset as a picture."""

__all__ = ["RankingDisplay"]

from numbers import Integral

import numpy as np
from scipy.stats import norm

from .._candidates import Request, rank_candidates
from .._frames import as_pandas, column_names, is_frame
from ._canvas import MARKERS, balanced, palette, panels, pyplot
from ._labels import shorten

_COLUMNS = ("dataset", "rank", "model", "score")

#: In narrow panels the names of more letters than this have a line of the title to themselves.
_LONG_NAME = 16


class RankingDisplay:
    """The recommended models of one or more datasets, best at the top, each with the interval of its score.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`. Scores are points, not bars: an axis that started
    at zero would hide the differences, and a bar that starts elsewhere would exaggerate them. The interval is that of a
    score relative to the other models, where the recommender tells it apart (``ranking_std``): how good an unknown
    dataset is for all models alike is hardly known, and does not matter for the choice.

    Parameters
    ----------
    ranking : DataFrame
        As :func:`skgat.recommend` returns it: ``dataset``, ``rank``, ``model``, ``score`` and, if there is one,
        ``std``. A column ``ranking_std``, if there is one, takes the place of ``std``.

    Attributes
    ----------
    points_ : list of matplotlib ErrorbarContainer
        One a dataset.
    ax_ : matplotlib Axes, or array of Axes
        An array if there is more than one dataset.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skgat import recommend
    >>> from skgat.baselines import BiasRegressor
    >>> from skgat.datasets import load_vision_zoo
    >>> from skgat.plotting import RankingDisplay
    >>> ranking = recommend(BiasRegressor().fit(load_vision_zoo().records), ["pets", "cars"], k=3)
    >>> len(RankingDisplay.from_predictions(ranking).ax_)
    2
    """

    def __init__(self, *, ranking):
        self.ranking = ranking

    @classmethod
    def from_estimator(
        cls,
        recommender,
        datasets,
        models=None,
        *,
        k=10,
        strategy="mean",
        exclude_known=False,
        context=None,
        random_state=None,
        exploration=1.0,
        ax=None,
        **plot_kwargs,
    ):
        """Rank the models for each dataset and show the best.

        Parameters
        ----------
        recommender : fitted regressor or Pipeline
        datasets, models, strategy, exclude_known, context, random_state, exploration
            As in :func:`skgat.recommend`.
        k : int or None, default=10
            At most so many models for each dataset; None for all.
        ax : matplotlib Axes, or array of Axes, default=None
            Where to draw, one a dataset; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : RankingDisplay
        """
        pyplot(f"{cls.__name__}.from_estimator")
        if k is not None and (not isinstance(k, Integral) or isinstance(k, bool) or k < 1):
            raise ValueError(f"Got k={k!r}, but expected an integer of at least 1, or None for all candidates.")
        request = Request(None, strategy, exclude_known, random_state, exploration, relative=True)
        ranking = rank_candidates(recommender, datasets, models, context, request)
        return cls(ranking=ranking if k is None else ranking[ranking["rank"] <= k]).plot(ax, **plot_kwargs)

    @classmethod
    def from_predictions(cls, ranking, *, ax=None, **plot_kwargs):
        """Show a ranking that is there already.

        Parameters
        ----------
        ranking : frame
            As :func:`skgat.recommend` returns it.
        ax : matplotlib Axes, or array of Axes, default=None
            Where to draw, one a dataset; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : RankingDisplay
        """
        pyplot(f"{cls.__name__}.from_predictions")
        if not is_frame(ranking):
            raise TypeError(f"ranking must be a frame as recommend returns it, got {type(ranking).__name__}.")
        missing = [name for name in _COLUMNS if name not in column_names(ranking)]
        if missing:
            raise ValueError(f"ranking has no column {missing[0]!r}; expected a frame as recommend returns it.")
        return cls(ranking=as_pandas(ranking, "ranking")).plot(ax, **plot_kwargs)

    def plot(self, ax=None, *, interval=0.95):
        """Draw the ranking.

        Parameters
        ----------
        ax : matplotlib Axes, or array of Axes, default=None
            Where to draw, one a dataset; by default a new figure.
        interval : float or None, default=0.95
            Which central interval the lines show, from the standard deviation; None for no lines.

        Returns
        -------
        display : RankingDisplay
        """
        if interval is not None and not 0 < interval < 1:
            raise ValueError(f"Got interval={interval!r}, but expected a number between 0 and 1, or None.")
        if not len(self.ranking):
            raise ValueError("The ranking has no rows, but expected at least 1 model.")
        parts = dict(iter(self.ranking.groupby("dataset", sort=False)))
        most = max(len(part) for part in parts.values())
        n_columns = balanced(len(parts), 3)
        narrow = n_columns > 1
        # Long names take room beside the points, not of that for them.
        letters = max(len(shorten(model)) for model in self.ranking["model"])
        width = 4.2 + 0.075 * max(letters - 15, 0) if narrow else 6.0
        size = (width, np.clip(1.2 + 0.28 * most, 2.2, 9))
        self.figure_, axes = panels("RankingDisplay.plot", ax, len(parts), n_columns, size)
        self.points_ = [
            self._draw(panel, name, part, interval, narrow)
            for panel, (name, part) in zip(axes, parts.items(), strict=True)
        ]
        self.ax_ = axes[0] if len(parts) == 1 else axes
        return self

    @staticmethod
    def _draw(ax, name, part, interval, narrow):
        part = part.sort_values("rank")
        places = np.arange(len(part))
        column = next((name for name in ("ranking_std", "std") if name in part), None)
        std = part[column].to_numpy(dtype=np.float64) if column else np.full(len(part), np.nan)
        shown = interval is not None and np.isfinite(std).all()
        points = ax.errorbar(
            part["score"],
            places,
            xerr=norm.ppf((1 + interval) / 2) * std if shown else None,
            fmt=MARKERS[0],
            color=palette(ax)[0],
            elinewidth=2,
            alpha=0.9,
        )
        labels = [f"{rank}. {shorten(model)}" for rank, model in zip(part["rank"], part["model"], strict=True)]
        ax.set_yticks(places, labels)
        ax.set_ylim(len(part) - 0.5, -0.5)
        ax.grid(axis="x", alpha=0.3)
        gap = "\n" if narrow and len(str(name)) > _LONG_NAME else " "
        ax.set_title(f"best models for{gap}{shorten(name)}", fontsize="medium")
        gap = "\n" if narrow else " "
        of_what = f"{gap}relative to other models" if column == "ranking_std" else ""
        ax.set_xlabel("predicted score" + (f"\n({100 * interval:g} % interval{of_what})" if shown else ""))
        return points
