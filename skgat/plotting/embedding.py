"""Learned states of models and datasets as a picture."""

__all__ = ["EmbeddingDisplay"]

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.utils import check_array

from .._fitted import inspect_recommender
from .._frames import as_pandas, is_frame
from ..graph import additive_effects
from ._canvas import MARKERS, PALETTE, canvas, ink, legend_beside, palette, pyplot
from ._labels import place_labels, plain, shorten

_METHODS = ("pca", "tsne")
_MOST_GROUPS = len(PALETTE)


class EmbeddingDisplay:
    """Models, or datasets, as points in a plane: those that the recommender takes to be alike lie together.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    coordinates : DataFrame
        One row an id, two columns whose names go to the axes.
    color : Series, default=None
        A number or a group for each id. Numbers get a colour bar, groups a legend.
    kind : str, default="model"
        What the points are.

    Attributes
    ----------
    points_ : list of matplotlib PathCollection
        One a group.
    labels_ : list of matplotlib Annotation
        The ids for which there was room.
    colorbar_ : matplotlib Colorbar or None
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skgat.plotting import EmbeddingDisplay
    >>> table = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 8)), index=list("abcde"))
    >>> EmbeddingDisplay.from_predictions(table).coordinates.shape
    (5, 2)
    """

    def __init__(self, *, coordinates, color=None, kind="model"):
        self.coordinates = coordinates
        self.color = color
        self.kind = kind

    @classmethod
    def from_estimator(
        cls, recommender, kind="model", *, method="pca", color="effect", random_state=0, ax=None, **plot_kwargs
    ):
        """Show the embeddings of a fitted recommender.

        Parameters
        ----------
        recommender : fitted regressor or Pipeline
            One of whose steps has a method ``embeddings``, like :class:`skgat.TransferabilityGAT`.
        kind : {"model", "dataset"}, default="model"
            What the points are.
        method : {"pca", "tsne"}, default="pca"
            How the embeddings are brought into the plane.
        color : "effect", array-like of shape (n_ids,) or None, default="effect"
            A number or a group for each id, in the order of the embeddings; by default its additive effect on the
            score: how much better it does than the average, other things equal.
        random_state : int, default=0
            For ``method="tsne"``.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
        """
        pyplot(f"{cls.__name__}.from_estimator")
        knowledge = inspect_recommender(recommender)
        steps = [knowledge.regressor, *reversed(knowledge.transformers)]
        source = next((step for step in steps if hasattr(step, "embeddings")), None)
        if source is None:
            raise ValueError(f"{type(knowledge.regressor).__name__} has no embeddings to show.")
        table = source.embeddings(kind)
        if isinstance(color, str) and color == "effect":
            color = _effects(source, kind)
        return cls.from_predictions(
            table, kind=kind, method=method, color=color, random_state=random_state, ax=ax, **plot_kwargs
        )

    @classmethod
    def from_predictions(
        cls, embeddings, *, kind="model", method="pca", color=None, random_state=0, ax=None, **plot_kwargs
    ):
        """Show embeddings that are there already.

        Parameters
        ----------
        embeddings : frame or array of shape (n_ids, n_components)
            The index of a pandas frame holds the ids.
        kind : str, default="model"
            What the points are.
        method : {"pca", "tsne"}, default="pca"
            How the embeddings are brought into the plane.
        color : array-like of shape (n_ids,), default=None
            A number or a group for each id; the name of a Series goes to the colour bar or the legend.
        random_state : int, default=0
            For ``method="tsne"``.
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        **plot_kwargs
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
        """
        pyplot(f"{cls.__name__}.from_predictions")
        if method not in _METHODS:
            raise ValueError(f"Got method={method!r}, but expected one of {list(_METHODS)}.")
        frame = as_pandas(embeddings, "embeddings") if is_frame(embeddings) else pd.DataFrame(np.asarray(embeddings))
        values = check_array(frame, dtype=np.float64, ensure_min_samples=3, input_name="embeddings")
        points, names = _pca(values) if method == "pca" else _tsne(values, random_state)
        coordinates = pd.DataFrame(points, index=frame.index, columns=names)
        if color is not None:
            name = getattr(color, "name", None)
            color = pd.Series(np.asarray(color), name=name)
            if len(color) != len(frame):
                raise ValueError(f"Got {len(color)} values in color for {len(frame)} ids, but expected one each.")
            color.index = frame.index
        return cls(coordinates=coordinates, color=color, kind=kind).plot(ax, **plot_kwargs)

    def plot(self, ax=None, *, cmap="viridis", annotate="auto", size=36):
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default a new figure.
        cmap : str or matplotlib Colormap, default="viridis"
            For colours that are numbers.
        annotate : bool or "auto", default="auto"
            Whether to write the ids beside the points, as far as there is room; by default for no more than 100 points.
        size : float, default=36
            Area of a point, in square points.

        Returns
        -------
        display : EmbeddingDisplay
        """
        self.figure_, self.ax_ = canvas("EmbeddingDisplay.plot", ax, (7, 5))
        self.colorbar_ = None
        x, y = self.coordinates.to_numpy().T
        if self.color is None:
            self.points_ = [self.ax_.scatter(x, y, s=size, color=palette(self.ax_)[0])]
        elif pd.api.types.is_numeric_dtype(self.color) and not pd.api.types.is_bool_dtype(self.color):
            # The outline keeps the ends of the colour map from fading into the ground.
            outline = {"edgecolors": ink(self.ax_), "linewidths": 0.5}
            values = self.color.to_numpy(dtype=np.float64)
            self.points_ = [self.ax_.scatter(x, y, s=size, c=values, cmap=cmap, **outline)]
            label = "" if self.color.name is None else plain(self.color.name)
            self.colorbar_ = self.figure_.colorbar(self.points_[0], ax=self.ax_, label=label)
        else:
            self.points_ = self._draw_groups(x, y, size)
        first, second = self.coordinates.columns
        self.ax_.set(xlabel=first, ylabel=second, title=f"embeddings of {len(x)} {self.kind}s")
        wanted = len(x) <= 100 if annotate == "auto" else annotate
        self.labels_ = place_labels(self.ax_, x, y, self.coordinates.index) if wanted else []
        return self

    def _draw_groups(self, x, y, size):
        groups = self.color.astype(object).where(self.color.notna(), "(none)").astype(str)
        names = list(groups.value_counts().index)
        if len(names) > _MOST_GROUPS:
            # There are no more colours that can be told apart.
            kept = names[: _MOST_GROUPS - 1]
            groups, names = groups.where(groups.isin(kept), "(others)"), [*kept, "(others)"]
        drawn = []
        for name, color, marker in zip(names, palette(self.ax_), MARKERS, strict=False):
            rows = (groups == name).to_numpy()
            # Legends leave out what begins with an underscore.
            label = shorten(f" {name}" if name.startswith("_") else name)
            drawn.append(self.ax_.scatter(x[rows], y[rows], s=size, color=color, marker=marker, label=label))
        legend_beside(self.ax_, title=plain(self.color.name))
        return drawn


def _pca(values):
    pca = PCA(2, svd_solver="full") if min(values.shape) > 1 else PCA(1)
    with np.errstate(invalid="ignore"):
        points = pca.fit_transform(values)
    # Where nothing varies, a component has no share of it.
    shares = np.nan_to_num(pca.explained_variance_ratio_)
    names = [f"component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)]
    if points.shape[1] == 1:
        return np.column_stack([points, np.zeros(len(points))]), [*names, ""]
    return points, names


def _tsne(values, random_state):
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(values) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="random", random_state=random_state).fit_transform(values)
    return points, ["t-SNE 1", "t-SNE 2"]


def _effects(source, kind):
    graph = getattr(source, "graph_", None)
    if graph is None:
        return None
    _, of_models, of_datasets = additive_effects(graph)
    return pd.Series(of_models if kind == "model" else of_datasets, name="additive effect on the score")
