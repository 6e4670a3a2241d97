"""Whether a recommender is as sure as it ought to be, as a picture."""

__all__ = ["CalibrationDisplay"]

import numpy as np
from scipy.stats import norm

from .._fitted import inspect_recommender
from ._canvas import add_curve, add_guide, canvas, pyplot
from ._reading import display_name, read_scored, read_vectors

_LEVELS = np.arange(0.05, 1.0, 0.05)


class CalibrationDisplay:
    """How many scores lie in their predicted interval, against how many ought to.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`; draw several on the same axes to compare them.
    For each nominal level, the curve tells the share of true scores within the central normal interval of that level
    around the prediction. Below the diagonal a recommender is too sure of itself, above it too cautious.

    Parameters
    ----------
    nominal : array of float
        The levels of the intervals.
    coverage : array of float
        The share of true scores in them.
    name : str, default=None
        What the legend calls the curve.

    Attributes
    ----------
    line_ : matplotlib Line2D
    ideal_ : matplotlib Line2D or None
        The diagonal, drawn once for all curves on the axes.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.plotting import CalibrationDisplay
    >>> truth = np.random.default_rng(0).normal(size=1000)
    >>> display = CalibrationDisplay.from_predictions(truth, np.zeros(1000), np.ones(1000))
    >>> bool(abs(display.coverage - display.nominal).max() < 0.05)
    True
    """

    def __init__(self, *, nominal, coverage, name=None):
        self.nominal = nominal
        self.coverage = coverage
        self.name = name

    @classmethod
    def from_estimator(cls, recommender, X, y=None, *, name=None, ax=None, **plot_kwargs):
        """Show the calibration of a recommender on held-out records.

        Parameters
        ----------
        recommender : fitted regressor or Pipeline
            Whose ``predict`` takes ``return_std``.
        X : frame of records
            The recommender does not see the scores.
        y : array-like of shape (n_records,), default=None
            The scores; by default X's target column.
        name : str, default=None
            What the legend calls the curve; by default the class of the recommender's last step.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : CalibrationDisplay
        """
        pyplot(f"{cls.__name__}.from_estimator")
        knowledge = inspect_recommender(recommender)
        if not knowledge.has_std():
            raise ValueError(
                f"A calibration curve needs to know how sure each prediction is, but "
                f"{type(knowledge.regressor).__name__}.predict has no return_std."
            )
        y, _, X = read_scored(recommender, X, y)
        mean, std = knowledge.regressor.predict(knowledge.transform(X), return_std=True)
        return cls.from_predictions(y, mean, std, name=display_name(recommender, name), ax=ax, **plot_kwargs)

    @classmethod
    def from_predictions(cls, y_true, y_pred, y_std, *, name=None, ax=None, **plot_kwargs):
        """Show the calibration of predicted scores.

        Parameters
        ----------
        y_true, y_pred, y_std : array-like of shape (n_rows,)
            True scores, predicted ones, and the standard deviations of these.
        name : str, default=None
            What the legend calls the curve.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : CalibrationDisplay
        """
        pyplot(f"{cls.__name__}.from_predictions")
        truth, pred, std = read_vectors(y_true=y_true, y_pred=y_pred, y_std=y_std)
        if (std < 0).any():
            raise ValueError(f"Got y_std with the value {std.min():g}, but expected no negative numbers.")
        reach = norm.ppf((1 + _LEVELS) / 2)
        inside = np.abs(truth - pred)[:, None] <= std[:, None] * reach
        return cls(nominal=_LEVELS.copy(), coverage=inside.mean(axis=0), name=name).plot(ax, **plot_kwargs)

    def plot(self, ax=None, *, name=None, ref_line=True, line_kwargs=None):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        name : str, default=None
            What the legend calls the curve; by default the name of the display.
        ref_line : bool, default=True
            Whether to draw the diagonal.
        line_kwargs : dict, default=None
            Further arguments of the line.

        Returns
        -------
        display : CalibrationDisplay
        """
        self.figure_, self.ax_ = canvas("CalibrationDisplay.plot", ax, (5, 4.6))
        self.ideal_ = add_guide(self.ax_, [0, 1], [0, 1], "ideal") if ref_line else None
        name = self.name if name is None else name
        self.line_ = add_curve(self.ax_, self.nominal, self.coverage, name, line_kwargs, markersize=4)
        self.ax_.set(xlabel="nominal coverage of the interval", ylabel="share of true scores inside")
        self.ax_.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        self.ax_.set_title("calibration of the intervals\n(above the diagonal: too cautious)", fontsize="medium")
        if self.ax_.get_legend_handles_labels()[1]:
            self.ax_.legend(loc="best", fontsize="small")
        return self
