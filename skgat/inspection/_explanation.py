"""The outcome of :func:`skgat.inspection.explain`."""

__all__ = ["Explanation"]

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Explanation:
    """What moved the prediction of a pair.

    Attributes
    ----------
    model, dataset : id
        The pair.
    score : float
        The predicted score.
    std : float
        Its standard deviation.
    frame : pandas.DataFrame
        One row a piece of evidence, the strongest first within each kind:

        - ``kind``: ``"record"``, a past result, or ``"metadata"``, a column that describes the model or the dataset;
        - ``model``, ``dataset``: whom the result is of, or whom the column describes (the other one is None);
        - ``column``, ``value``: of metadata;
        - ``score``: of a past result;
        - ``effect``: the predicted score minus what it is without this evidence;
        - ``ranking_effect``: the same, relative to the average effect on all models that are compared: what moves the
          level of all models alike cannot move the order;
        - ``attention``: the average weight that the model (or the dataset) of the pair gives to its own result; NaN for
          results of neither;
        - ``similarity``: how close the result is to the pair in the eyes of the recommender, at most 1.
    n_records : int
        The number of results in the history. If the frame holds fewer, a quick estimate chose them.
    """

    model: object
    dataset: object
    score: float
    std: float
    frame: pd.DataFrame
    n_records: int

    @property
    def records(self):
        """The past results in ``frame``, with their columns."""
        return self._of_kind("record", ["model", "dataset", "score", *_EFFECTS, "attention", "similarity"])

    @property
    def metadata(self):
        """The metadata in ``frame``, with their columns."""
        return self._of_kind("metadata", ["model", "dataset", "column", "value", *_EFFECTS])

    def _of_kind(self, kind, columns):
        return self.frame.loc[self.frame["kind"] == kind, columns].reset_index(drop=True)

    def plot(self, ax=None, **plot_kwargs):
        """Draw the strongest evidence.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Arguments of :meth:`skgat.plotting.ExplanationDisplay.plot`.

        Returns
        -------
        display : ExplanationDisplay
        """
        from ..plotting import ExplanationDisplay

        return ExplanationDisplay(explanation=self).plot(ax, **plot_kwargs)


_EFFECTS = ("effect", "ranking_effect")
