"""Names in plots: no longer than there is room for, and beside points where there is any."""

__all__ = ["lay_out", "place_labels", "plain", "shorten"]

import numpy as np

#: Of the names of models the beginning tells the family and the end the variant.
_MOST_LETTERS = 30
#: Where a name may stand relative to its point, in points, and how it is aligned; tried in this order.
_PLACES = (
    ((6, 0), "left", "center"),
    ((-6, 0), "right", "center"),
    ((0, 6), "center", "bottom"),
    ((0, -6), "center", "top"),
)


def shorten(name):
    """A name as plots write it: both ends of a long one, and dollars as they are."""
    text = str(name)
    if len(text) > _MOST_LETTERS:
        text = f"{text[: _MOST_LETTERS // 2]}…{text[-(_MOST_LETTERS // 2 - 1) :]}"
    return plain(text)


def plain(text):
    """A text as it is, where dollars would begin a formula; None stays none."""
    return None if text is None else str(text).replace("$", r"\$")


def lay_out(ax):
    """Find out where everything is going to be, without drawing it."""
    # What holds the axes may be a part of a figure; its own figure is the whole, as that of a whole is itself.
    ax.figure.figure.draw_without_rendering()


def place_labels(ax, x, y, names):
    """Write each name beside its point where it covers no other name and no point; leave out those without a place.

    Parameters
    ----------
    ax : matplotlib Axes
    x, y : array of shape (n_points,)
    names : sequence

    Returns
    -------
    labels : list of matplotlib Annotation
    """
    ax.margins(0.12)
    lay_out(ax)
    points = ax.transData.transform(np.column_stack([x, y]))
    frame = ax.get_window_extent()
    radius = 3 * ax.figure.dpi / 72
    taken = np.column_stack([points - radius, points + radius])
    labels = []
    for name, here in zip(names, zip(x, y, strict=True), strict=True):
        label = ax.annotate(
            shorten(name), here, xytext=(0, 0), textcoords="offset points", fontsize="x-small", annotation_clip=True
        )
        for offset, horizontal, vertical in _PLACES:
            label.set(position=offset, ha=horizontal, va=vertical)
            box = label.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not _overlaps(box, taken):
                taken = np.vstack([taken, [box.x0, box.y0, box.x1, box.y1]])
                labels.append(label)
                break
        else:
            label.remove()
    return labels


def _overlaps(box, taken):
    apart = (taken[:, 2] <= box.x0) | (box.x1 <= taken[:, 0]) | (taken[:, 3] <= box.y0) | (box.y1 <= taken[:, 1])
    return not apart.all()
