"""Scores of all models on all datasets as a picture."""

__all__ = ["TransferabilityMatrixDisplay"]

import numpy as np
import pandas as pd

from .._fitted import as_ids, inspect_recommender
from .._frames import as_pandas, column_names, is_frame
from ..recommend import recommend
from ..records import lookup_ids
from ._canvas import canvas, faded, ink, luminance, name_ticks, pyplot
from ._labels import plain


class TransferabilityMatrixDisplay:
    """The scores of models on datasets as a matrix of colours.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`. Models are rows, the best on average at the top;
    datasets are columns, those with the highest scores on the left; a hatched cell has no score. A matrix in which all
    columns fade alike is additive; what breaks the order is the interaction of model and dataset.

    Parameters
    ----------
    scores : DataFrame
        One row a model, one column a dataset, in the order in which they are shown; NaN where there is no score.
    known : DataFrame of bool, default=None
        Of the same shape: which cells have a known result and get a dot.
    name : str, default="score"
        What the colours tell.

    Attributes
    ----------
    im_ : matplotlib AxesImage
    known_ : matplotlib PathCollection or None
        The dots.
    colorbar_ : matplotlib Colorbar or None
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skgat.datasets import load_vision_zoo
    >>> from skgat.plotting import TransferabilityMatrixDisplay
    >>> display = TransferabilityMatrixDisplay.from_predictions(load_vision_zoo().records)
    >>> display.scores.shape
    (23, 11)
    """

    def __init__(self, *, scores, known=None, name="score"):
        self.scores = scores
        self.known = known
        self.name = name

    @classmethod
    def from_estimator(cls, recommender, X=None, *, ax=None, **plot_kwargs):
        """Show what a recommender predicts, with dots where it knows a result.

        Parameters
        ----------
        recommender : fitted regressor or Pipeline
        X : frame of records, default=None
            The pairs to predict, scores not needed; by default all known models on all known datasets.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : TransferabilityMatrixDisplay
        """
        pyplot(f"{cls.__name__}.from_estimator")
        knowledge = inspect_recommender(recommender)
        if X is None:
            if knowledge.ids["dataset"] is None:
                raise ValueError("The recommender does not tell which datasets it knows; pass the pairs as X.")
            cells = recommend(recommender, list(knowledge.ids["dataset"]), k=None)
        else:
            pairs = _read(X, "X", knowledge.names, ("model", "dataset"))
            cells = pairs.assign(score=np.asarray(recommender.predict(X), dtype=np.float64))
        scores = _table(cells)
        known = None if knowledge.pairs is None else _marked(scores, *knowledge.pairs)
        return cls(scores=scores, known=known, name="predicted score").plot(ax, **plot_kwargs)

    @classmethod
    def from_predictions(
        cls, records, *, known=None, model="model", dataset="dataset", target="score", ax=None, **plot_kwargs
    ):
        """Show scores that are there already, measured or predicted.

        Parameters
        ----------
        records : frame of records
            A pair that occurs more than once is shown as the mean of its scores.
        known : frame of pairs, default=None
            Records whose cells get a dot.
        model, dataset, target : str
            The columns of the model ids, the dataset ids and the scores.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : TransferabilityMatrixDisplay
        """
        pyplot(f"{cls.__name__}.from_predictions")
        names = {"model": model, "dataset": dataset, "score": target}
        scores = _table(_read(records, "records", names, names))
        if known is not None:
            pairs = _read(known, "known", names, ("model", "dataset"))
            known = _marked(scores, as_ids(pairs["model"]), as_ids(pairs["dataset"]))
        return cls(scores=scores, known=known, name=target).plot(ax, **plot_kwargs)

    def plot(self, ax=None, *, cmap="viridis", colorbar=True, mark_known=True):
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        cmap : str or matplotlib Colormap, default="viridis"
        colorbar : bool, default=True
        mark_known : bool, default=True
            Whether known cells get a dot.

        Returns
        -------
        display : TransferabilityMatrixDisplay
        """
        n_models, n_datasets = self.scores.shape
        size = (np.clip(2.8 + 0.24 * n_datasets, 4.5, 14), np.clip(2.0 + 0.2 * n_models, 3.2, 12))
        self.figure_, self.ax_ = canvas("TransferabilityMatrixDisplay.plot", ax, size)
        values = self.scores.to_numpy(dtype=np.float64)
        self.im_ = self.ax_.imshow(np.ma.masked_invalid(values), cmap=cmap, aspect="auto", interpolation="nearest")
        self.colorbar_ = self.figure_.colorbar(self.im_, ax=self.ax_, label=plain(self.name)) if colorbar else None
        marked = mark_known and self.known is not None
        self._write(values, marked)
        self.known_ = self._mark(values) if marked else None
        return self

    def _write(self, values, marked):
        """Title and names, and what the ground of a cell without a score looks like."""
        keys = ["dots: known results"] if marked else []
        if np.isnan(values).any():
            keys.append("hatched: no score")
            self.ax_.patch.set(hatch="/////", edgecolor=faded(ink(self.ax_)), linewidth=0)
        title = "{} models on {} datasets".format(*values.shape)
        self.ax_.set_title("\n".join([title, ", ".join(keys)]) if keys else title, fontsize="medium")
        self.ax_.set(xlabel="dataset", ylabel="model")
        name_ticks(self.ax_, self.scores.columns, self.scores.index)

    def _mark(self, values):
        rows, columns = np.nonzero(self.known.to_numpy())
        shade = self.im_.norm(values[rows, columns])
        # A dot stands out from the colour of its cell, whatever the colour map.
        box = self.ax_.get_window_extent()
        cell = min(box.width / values.shape[1], box.height / values.shape[0]) * 72 / self.figure_.dpi
        colors = np.where(luminance(self.im_.cmap(shade))[:, None] > 0.5, 0.0, 1.0) * np.ones(3)
        return self.ax_.scatter(columns, rows, s=np.clip(0.3 * cell, 0.8, 4) ** 2, c=colors, linewidths=0)


def _read(frame, what, names, roles):
    """The columns of some roles under the names of their roles."""
    if not is_frame(frame):
        raise TypeError(f"{what} must be a frame of records, got {type(frame).__name__}.")
    given = column_names(frame)
    for role in roles:
        if names[role] not in given:
            raise ValueError(f"{what} has no column {names[role]!r}; its columns are {given[:8]}.")
    plain = as_pandas(frame, what, columns=[names[role] for role in roles])
    return pd.DataFrame({role: plain[names[role]].to_numpy() for role in roles})


def _table(cells):
    if not len(cells):
        raise ValueError("Got no pairs, but expected at least 1 row.")
    table = cells.pivot_table(index="model", columns="dataset", values="score", aggfunc="mean", sort=False)
    # What has no score at all is left out of it.
    table = table.reindex(index=_distinct(cells["model"]), columns=_distinct(cells["dataset"]))
    if not table.notna().to_numpy().any():
        raise ValueError("Got no score that is a number, but expected at least 1.")
    by_model, by_dataset = (table.mean(axis=axis).sort_values(ascending=False, kind="stable").index for axis in (1, 0))
    return table.loc[by_model, by_dataset]


def _distinct(ids):
    return pd.Index(ids.dropna().unique(), name=ids.name, tupleize_cols=False)


def _marked(scores, models, datasets):
    rows, columns = lookup_ids(as_ids(scores.index), models), lookup_ids(as_ids(scores.columns), datasets)
    shown = (rows >= 0) & (columns >= 0)
    marks = np.zeros(scores.shape, dtype=bool)
    marks[rows[shown], columns[shown]] = True
    return pd.DataFrame(marks & scores.notna().to_numpy(), index=scores.index, columns=scores.columns)
