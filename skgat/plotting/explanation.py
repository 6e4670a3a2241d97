"""What moved a prediction as a picture."""

__all__ = ["ExplanationDisplay"]

from numbers import Integral, Real

import numpy as np

from ._canvas import ink, palette, panels
from ._labels import plain, shorten

_EFFECTS = {"effect": "effect on the predicted score", "ranking_effect": "effect relative to the other models"}
_KINDS = {"record": "Past results", "metadata": "Metadata"}


class ExplanationDisplay:
    """The strongest evidence for a prediction: bars to the right raised it, bars to the left lowered it.

    Past results and metadata are two panels with one scale, so that a long bar means as much in both.

    Parameters
    ----------
    explanation : Explanation
        As :func:`skgat.inspection.explain` returns it.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        One a panel.
    ax_ : array of matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skgat import TransferabilityGAT
    >>> from skgat.datasets import load_vision_zoo
    >>> from skgat.inspection import explain
    >>> from skgat.plotting import ExplanationDisplay
    >>> records = load_vision_zoo().records[["model", "dataset", "score"]]
    >>> gat = TransferabilityGAT(max_iter=5, n_estimators=1, random_state=0).fit(records)
    >>> explanation = explain(gat, "resnet50", "pets", max_records=20)
    >>> len(ExplanationDisplay.from_predictions(explanation, k=5).bars_[0])
    5
    """

    def __init__(self, *, explanation):
        self.explanation = explanation

    @classmethod
    def from_predictions(cls, explanation, *, ax=None, **plot_kwargs):
        """Show an explanation.

        Parameters
        ----------
        explanation : Explanation
            As :func:`skgat.inspection.explain` returns it.
        ax : array of matplotlib Axes, default=None
            Where to draw, one a panel; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : ExplanationDisplay
        """
        return cls(explanation=explanation).plot(ax, **plot_kwargs)

    def plot(self, ax=None, *, k=10, effect="effect"):
        """Draw the evidence.

        Parameters
        ----------
        ax : array of matplotlib Axes, default=None
            Where to draw, one for past results and one for metadata (if there are any); by default a new figure.
        k : int, default=10
            The most bars in a panel.
        effect : {"effect", "ranking_effect"}, default="effect"
            What the bars show: how the evidence moves the score, or the score relative to the other models.

        Returns
        -------
        display : ExplanationDisplay
        """
        if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
            raise ValueError(f"Got k={k!r}, but expected an integer of at least 1.")
        if effect not in _EFFECTS:
            raise ValueError(f"Got effect={effect!r}, but expected one of {list(_EFFECTS)}.")
        frame = self.explanation.frame
        parts = {kind: _strongest(frame[frame["kind"] == kind], effect, k) for kind in _KINDS}
        parts = {kind: part for kind, part in parts.items() if len(part)}
        most = max(len(part) for part in parts.values())
        size = (5.0, max(1.4 + 0.3 * most, 2.4))
        self.figure_, self.ax_ = panels("ExplanationDisplay.plot", ax, len(parts), 2, size, sharex=True)
        self.bars_ = [
            self._draw(axes, kind, part, effect) for axes, (kind, part) in zip(self.ax_, parts.items(), strict=True)
        ]
        pair = f"{shorten(self.explanation.model)} on {shorten(self.explanation.dataset)}"
        self.figure_.suptitle(f"{pair}: predicted {self.explanation.score:.4g}")
        return self

    def _draw(self, ax, kind, part, effect):
        values = part[effect].to_numpy()
        places = np.arange(len(part))
        raised, lowered = palette(ax)[:2]  # the side says the same again
        bars = ax.barh(places, values, color=np.where(values >= 0, raised, lowered))
        ax.set_yticks(places, self._names(kind, part))
        ax.invert_yaxis()
        ax.axvline(0, color=ink(ax), linewidth=0.8)
        ax.set_title(_KINDS[kind])
        ax.set_xlabel(_EFFECTS[effect])
        return bars

    def _names(self, kind, part):
        if kind == "record":
            rows = zip(part["model"], part["dataset"], part["score"], strict=True)
            return [f"{shorten(model)} on {shorten(dataset)}: {score:.4g}" for model, dataset, score in rows]
        return [plain(f"{c} = {_short(v)}") for c, v in zip(part["column"], part["value"], strict=True)]


def _strongest(part, effect, k):
    return part.iloc[np.argsort(-part[effect].abs().to_numpy(), kind="stable")[:k]]


def _short(value):
    if value is None:
        return "missing"
    text = f"{value:.4g}" if isinstance(value, Real) and not isinstance(value, Integral | bool) else str(value)
    return text if len(text) <= 24 else f"{text[:23]}…"
