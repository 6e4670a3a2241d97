"""What following a recommendation gives away, as a picture."""

__all__ = ["RegretCurveDisplay"]

from numbers import Integral

import numpy as np

from .._ranking import best, best_of_top, rankable_rows
from ..model_selection import check_ids
from ..records import id_codes
from ._canvas import add_curve, add_guide, canvas, pyplot
from ._reading import display_name, read_scored, read_vectors

_MOST_TICKS = 10


class RegretCurveDisplay:
    """How much score is given away by fine-tuning only the first k recommended models, for k = 1, 2, ...

    Make one with :meth:`from_estimator` or :meth:`from_predictions`; draw several on the same axes to compare them. The
    regret is that of :func:`skgat.metrics.top_k_regret`: the mean over the datasets of the best score less the best
    score among the first k. The band is one standard error of that mean. The dashed line is chance: models in an order
    drawn by lot.

    Parameters
    ----------
    k : array of int
    regret : array of float
        The mean regret at each ``k``.
    spread : array of float, default=None
        Its standard error.
    chance : array of float, default=None
        The regret of a random order.
    name : str, default=None
        What the legend calls the curve.

    Attributes
    ----------
    line_ : matplotlib Line2D
    band_ : matplotlib artist or None
    chance_level_ : matplotlib Line2D or None
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skgat.plotting import RegretCurveDisplay
    >>> display = RegretCurveDisplay.from_predictions([0.9, 0.5, 0.7], [1, 2, 3], groups=["pets"] * 3)
    >>> display.regret.round(2)
    array([0.2, 0.2, 0. ])
    """

    def __init__(self, *, k, regret, spread=None, chance=None, name=None):
        self.k = k
        self.regret = regret
        self.spread = spread
        self.chance = chance
        self.name = name

    @classmethod
    def from_estimator(cls, recommender, X, y=None, *, max_k=10, name=None, ax=None, **plot_kwargs):
        """Show the regret of a recommender on held-out records.

        Parameters
        ----------
        recommender : fitted regressor or Pipeline
        X : frame of records
            The groups are taken from its dataset column. The recommender does not see the scores.
        y : array-like of shape (n_records,), default=None
            The scores; by default X's target column.
        max_k : int, default=10
            The largest k, as far as there are so many models.
        name : str, default=None
            What the legend calls the curve; by default the class of the recommender's last step.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : RegretCurveDisplay
        """
        pyplot(f"{cls.__name__}.from_estimator")
        y, datasets, X = read_scored(recommender, X, y)
        name = display_name(recommender, name)
        return cls.from_predictions(
            y, recommender.predict(X), groups=datasets, max_k=max_k, name=name, ax=ax, **plot_kwargs
        )

    @classmethod
    def from_predictions(cls, y_true, y_pred, *, groups, max_k=10, name=None, ax=None, **plot_kwargs):
        """Show the regret of predicted scores.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_rows,)
            True and predicted scores.
        groups : array-like of shape (n_rows,)
            The dataset of each row.
        max_k : int, default=10
            The largest k, as far as there are so many models.
        name : str, default=None
            What the legend calls the curve.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : RegretCurveDisplay
        """
        pyplot(f"{cls.__name__}.from_predictions")
        if not isinstance(max_k, Integral) or isinstance(max_k, bool) or max_k < 1:
            raise ValueError(f"Got max_k={max_k!r}, but expected an integer of at least 1.")
        codes = id_codes(check_ids(groups, "groups", "group"))[1]
        truth, pred, _ = read_vectors(y_true=y_true, y_pred=y_pred, groups=codes)
        rows, lots = (rankable_rows(truth, values, codes) for values in (pred, np.zeros_like(pred)))
        if not len(rows.size):
            raise ValueError("Got no group with at least two rows and scores that differ, but regret needs one.")
        ks = np.arange(1, min(max_k, rows.size.max()) + 1)
        per_group = np.array([best(rows) - best_of_top(rows, k) for k in ks])
        n_groups = len(rows.size)
        spread = per_group.std(axis=1, ddof=1) / np.sqrt(n_groups) if n_groups > 1 else None
        chance = np.array([(best(lots) - best_of_top(lots, k)).mean() for k in ks])
        display = cls(k=ks, regret=per_group.mean(axis=1), spread=spread, chance=chance, name=name)
        return display.plot(ax, **plot_kwargs)

    def plot(self, ax=None, *, name=None, plot_chance_level=True, plot_spread=True, line_kwargs=None):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        name : str, default=None
            What the legend calls the curve; by default the name of the display.
        plot_chance_level : bool, default=True
            Whether to draw the regret of a random order, once for all curves on the axes.
        plot_spread : bool, default=True
            Whether to draw the band of one standard error.
        line_kwargs : dict, default=None
            Further arguments of the line.

        Returns
        -------
        display : RegretCurveDisplay
        """
        self.figure_, self.ax_ = canvas("RegretCurveDisplay.plot", ax)
        ax = self.ax_
        self.chance_level_ = None
        if plot_chance_level and self.chance is not None:
            self.chance_level_ = add_guide(ax, self.k, self.chance, "chance")
        self.line_ = add_curve(ax, self.k, self.regret, self.name if name is None else name, line_kwargs)
        self.band_ = None
        if plot_spread and self.spread is not None:
            low, high = np.maximum(self.regret - self.spread, 0), self.regret + self.spread
            self.band_ = ax.fill_between(self.k, low, high, color=self.line_.get_color(), alpha=0.2, linewidth=0)
        ax.set(xlabel="number of models fine-tuned (k)", ylabel="regret (units of the score)")
        ax.set_title("score given away by fine-tuning the first k", fontsize="medium")
        ax.set_ylim(bottom=0)
        most = int(max(line.get_xdata().max() for line in ax.lines))
        ax.set_xticks(np.arange(1, most + 1, -(-most // _MOST_TICKS)))
        if ax.get_legend_handles_labels()[1]:
            ax.legend(fontsize="small")
        return self
