"""What all displays share of matplotlib: where to draw, and in which colours."""

__all__ = [
    "DARK_PALETTE",
    "MARKERS",
    "PALETTE",
    "add_curve",
    "add_guide",
    "balanced",
    "canvas",
    "faded",
    "ink",
    "legend_beside",
    "luminance",
    "name_ticks",
    "palette",
    "panels",
    "pyplot",
]

import numpy as np

from ._labels import lay_out, plain, shorten

#: Colours that those who see fewer of them can tell apart: those of Okabe and Ito, in place of the two of them that
#: fade on white a violet and a brown.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#9D37F4", "#934226")
#: The same for black, the brightest first.
DARK_PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#0072B2")
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


def balanced(n, most):
    """How many columns, at most so many, leave the fewest places of a grid empty without adding a row."""
    n_rows = -(-n // most)
    return -(-n // n_rows)


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


def faded(color):
    """The colour, two fifths opaque."""
    from matplotlib.colors import to_rgba

    return to_rgba(color, 0.4)


def luminance(colors):
    """How bright colours look, from 0 to 1, one number a row of red, green and blue."""
    return np.asarray(colors)[..., :3] @ [0.299, 0.587, 0.114]


def palette(ax):
    """The colours for the ground of the axes, dark or light."""
    from matplotlib.colors import to_rgba

    own, below = to_rgba(ax.get_facecolor()), to_rgba(ax.figure.get_facecolor())
    # On a transparent ground only the ink tells what lies below.
    ground = own if own[3] > 0 else below
    dark = luminance(ground) < 0.5 if ground[3] > 0 else luminance(to_rgba(ink(ax))) > 0.5
    return DARK_PALETTE if dark else PALETTE


def add_curve(ax, x, y, label, line_kwargs=None, **defaults):
    """Draw a curve in the next colour of the palette, counting the curves that are there already."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    count = sum(line.get_gid() == _CURVE for line in ax.lines)
    colors = palette(ax)
    style = {
        "color": colors[count % len(colors)],
        "marker": MARKERS[count % len(MARKERS)],
        "linestyle": _DASHES[count % len(_DASHES)],
        "label": plain(label),
        **defaults,
        **normalize_kwargs(line_kwargs, Line2D),
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


def legend_beside(ax, *arguments, **options):
    """Put the legend to the right of the axes, like a colour bar, where it covers nothing."""
    place = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "frameon": False}
    return ax.legend(*arguments, fontsize="small", title_fontsize="small", **place, **options)


def name_ticks(ax, columns, rows):
    """Write the names of columns and rows at the axes, as many of them as there is room for.

    Parameters
    ----------
    ax : matplotlib Axes
    columns, rows : sequence
        The names at x = 0, 1, ... and y = 0, 1, ...
    """
    small = {"fontsize": "small" if max(len(columns), len(rows)) <= 30 else "x-small"}
    ax.set_xticks(*_thinned(columns, _MOST_TICKS), rotation=90, **small)
    ax.set_yticks(*_thinned(rows, _MOST_TICKS), **small)
    lay_out(ax)
    box = ax.get_window_extent()
    line = 1.15 * ax.get_yticklabels()[0].get_fontsize() * ax.figure.dpi / 72
    ax.set_xticks(*_thinned(columns, min(_MOST_TICKS, box.width / line)), rotation=90, **small)
    ax.set_yticks(*_thinned(rows, min(_MOST_TICKS, box.height / line)), **small)


def _thinned(names, most):
    """Positions and names of no more ticks than can be read."""
    step = -(-len(names) // max(int(most), 1))
    places = np.arange(0, len(names), step)
    return places, [shorten(names[place]) for place in places]
