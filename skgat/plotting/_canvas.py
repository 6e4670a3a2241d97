"""What all displays share of matplotlib: where to draw, and in which colours."""

__all__ = ["MARKERS", "PALETTE", "add_curve", "add_guide", "canvas", "ink", "panels", "pyplot", "thinned_ticks"]

import numpy as np

#: Colours that those who see fewer of them can tell apart, on white and on black (Okabe and Ito, without the two that
#: vanish on either).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Shape says again what colour says.
MARKERS = ("o", "s", "^", "D", "v", "P")

#: Curves that lie on each other show through.
_DASHES = ("-", "-.", ":")

_CURVE, _GUIDE = "skgat-curve", "skgat-guide"
_MOST_TICKS = 60


def pyplot(caller):
    """Import ``matplotlib.pyplot``, or say which extra it comes with."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which comes with the extra 'plot': pip install 'skgat[plot]'."
        ) from error
    return plt


def canvas(caller, ax, figsize=None):
    """The figure and the axes to draw on: those given, or new ones."""
    plt = pyplot(caller)
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax.figure, ax


def panels(caller, ax, n, n_columns, panel_size, **subplots):
    """The figure and ``n`` axes: those given, or a new grid of which the unused places are empty."""
    plt = pyplot(caller)
    if ax is None:
        n_rows = -(-n // n_columns)
        size = (panel_size[0] * n_columns, panel_size[1] * n_rows)
        figure, grid = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained", **subplots)
        for unused in grid.flat[n:]:
            unused.remove()
        for lowest in grid.flat[max(n - n_columns, 0) : n]:
            lowest.tick_params(labelbottom=True)
        return figure, grid.ravel()[:n]
    given = np.asarray(ax, dtype=object).ravel()
    if len(given) != n:
        raise ValueError(f"Got {len(given)} axes as ax, but expected {n}, one for each panel; or pass None.")
    return given[0].figure, given


def ink(ax):
    """The colour that the style writes in, dark or light."""
    return ax.xaxis.label.get_color()


def add_curve(ax, x, y, label, line_kwargs=None):
    """Draw a curve in the next colour of the palette, counting the curves that are there already."""
    count = sum(line.get_gid() == _CURVE for line in ax.lines)
    style = {
        "color": PALETTE[count % len(PALETTE)],
        "marker": MARKERS[count % len(MARKERS)],
        "linestyle": _DASHES[count % len(_DASHES)],
        "label": label,
        **(line_kwargs or {}),
    }
    (line,) = ax.plot(x, y, **style)
    line.set_gid(_CURVE)
    return line


def add_guide(ax, x, y, label):
    """Draw a dashed line to compare with, unless one of the same name is there already; the line or None."""
    if any(line.get_gid() == _GUIDE and line.get_label() == label for line in ax.lines):
        return None
    (line,) = ax.plot(x, y, color=ink(ax), linestyle="--", linewidth=1, alpha=0.7, label=label, zorder=1)
    line.set_gid(_GUIDE)
    return line


def thinned_ticks(names, most=_MOST_TICKS):
    """Positions and names of no more ticks than can be read."""
    step = -(-len(names) // most)
    places = np.arange(0, len(names), step)
    return places, [str(names[place]) for place in places]
