"""Numbers as text, as bars and as places on a map."""

__all__ = ["Scale", "draw_map", "effect_bar", "interval_bar"]

from dataclasses import dataclass

import numpy as np

from ._html import element

_WIDTH, _HEIGHT = 200, 18
_MAP_WIDTH, _MAP_HEIGHT, _MARGIN = 500, 400, 28
_LABEL_HEIGHT, _LETTER = 15, 7.0
_NAMED_MODELS, _MOST_LETTERS = 10, 24

#: Of scores that differ by no more than this part of them, the difference is that of calculating them.
_ROUNDING = 1e-12
_MOST_DECIMALS = 12


@dataclass(frozen=True)
class Scale:
    """As many decimals as tell scores apart, and no more."""

    decimals: int

    @classmethod
    def of(cls, values):
        """The scale of some scores."""
        values = np.asarray(values, dtype=np.float64)
        width, size = float(np.ptp(values)), float(np.abs(values).max())
        if width <= _ROUNDING * size:
            return cls(min(max(3, 2 - _magnitude(size)), _MOST_DECIMALS))
        # Small numbers may have as many digits as others, after all their zeros.
        most = min(max(6, 5 - _magnitude(size)), _MOST_DECIMALS)
        return cls(int(np.clip(2 - _magnitude(width), 0, most)))

    def text(self, value):
        """A score."""
        return f"{value:,.{self.decimals}f}".replace("-", "\N{MINUS SIGN}")

    def signed(self, value):
        """A difference of scores."""
        return f"{value:+,.{self.decimals}f}".replace("-", "\N{MINUS SIGN}")


def _magnitude(number):
    """The place of the first digit: 0 for those from 1 to 10, and for 0."""
    return int(np.floor(np.log10(number))) if number > 0 else 0


def interval_bar(score, near, wide, limits):
    """The interval of a score: the part that is about the order within the whole."""
    low, high = limits
    unit = (_WIDTH - 4) / (high - low) if high > low else 0.0

    def place(value):
        return float(np.clip(2 + (value - low) * unit, 0, _WIDTH))

    parts = [
        _rect(place(score - half), place(score + half), inset, class_)
        for half, inset, class_ in ((wide, 6, "band"), (near, 4, "core"))
    ]
    mark = element("rect", x=_number(place(score) - 1.5), y=0, width=3, height=_HEIGHT, class_="at")
    return _bar([*parts, mark])


def effect_bar(effect, largest):
    """A bar from the middle to the right for what raises, to the left for what lowers."""
    middle = _WIDTH / 2
    end = middle + effect / largest * (middle - 2)
    axis = element("line", x1=_number(middle), x2=_number(middle), y1=0, y2=_HEIGHT, class_="axis")
    return _bar([_rect(min(middle, end), max(middle, end), 3, "up" if effect >= 0 else "down"), axis])


def _bar(parts):
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    return element("svg", *parts, viewBox=box, preserveAspectRatio="none", aria_hidden="true", focusable="false")


def _rect(left, right, inset, class_):
    width = max(right - left, 1.0)
    return element("rect", x=_number(left), y=inset, width=_number(width), height=_HEIGHT - 2 * inset, class_=class_)


def _number(value):
    return f"{value:.1f}".removesuffix(".0")


def draw_map(grid):
    """Models and datasets in the plane, the dataset of the report marked; None where there are too few."""
    places = grid.map()
    if places is None:
        return None
    points = np.vstack(places)
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    size = np.array([_MAP_WIDTH, _MAP_HEIGHT]) - 2 * _MARGIN
    models, datasets = (_MARGIN + (side - low) / span * size for side in places)
    across, down = map(_number, _MARGIN - low / span * size)
    marks = [
        element("line", x1=across, x2=across, y1=0, y2=_MAP_HEIGHT, class_="axis"),
        element("line", y1=down, y2=down, x1=0, x2=_MAP_WIDTH, class_="axis"),
        *[_model_mark(x, y, number, grid) for number, (x, y) in enumerate(models)],
        *[_dataset_mark(x, y, number, grid) for number, (x, y) in reversed(list(enumerate(datasets)))],
    ]
    named = [(x, y, grid.datasets[i], "new" if i == 0 else "dataset") for i, (x, y) in enumerate(datasets)]
    named += [(x, y, grid.models[i], "model") for i, (x, y) in enumerate(models[:_NAMED_MODELS])]
    box = f"0 0 {_MAP_WIDTH} {_MAP_HEIGHT}"
    name = f"Map of {len(models)} models and {len(datasets)} datasets; the star is {grid.datasets[0]}"
    picture = element("svg", *marks, *_labels(named, points=np.vstack([models, datasets])), viewBox=box, class_="map",
                      role="img", aria_label=name)  # fmt: skip
    return [element("p", _ABOUT_MAP, *_part_of(grid)), element("figure", picture)]


_ABOUT_MAP = (
    "The star is this dataset, diamonds are the other datasets, circles are models (the best ranked are larger and "
    "have names). Seen from the crossing of the lines, a model lies towards the datasets that it suits more than other "
    "models do, and datasets in one direction want the same models. The plane holds the two leading directions of what "
    "the recommender has learned, which is never all of it. "
)


def _part_of(grid):
    parts = []
    for shown, total, what in ((grid.models, grid.n_models, "models"), (grid.datasets, grid.n_datasets, "datasets")):
        if len(shown) < total:
            parts.append(f"{len(shown)} of {total:,} {what} are shown. ")
    return parts


def _model_mark(x, y, number, grid):
    title = element("title", f"Model {grid.models[number]}, number {number + 1} of those shown")
    best = number < _NAMED_MODELS
    return element(
        "circle", title, cx=_number(x), cy=_number(y), r=6 if best else 4, class_="model best" if best else "model"
    )


def _dataset_mark(x, y, number, grid):
    title = element("title", f"{'This dataset' if number == 0 else 'Dataset'}: {grid.datasets[number]}")
    angles = np.arange(10 if number == 0 else 4) * 2 * np.pi / (10 if number == 0 else 4) - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 13.0, 5.5) if number == 0 else np.full(4, 7.0)
    corners = np.column_stack([x + radii * np.cos(angles), y + radii * np.sin(angles)])
    outline = "M" + "L".join(f"{_number(a)} {_number(b)}" for a, b in corners) + "Z"
    return element("path", title, d=outline, class_="new" if number == 0 else "dataset")


def _labels(named, points):
    """The names for which there is room: right of the point, left of it, above or below."""
    taken = np.column_stack([points - 5, points + 5])
    labels = []
    for x, y, name, what in named:
        text = str(name) if len(str(name)) <= _MOST_LETTERS else f"{str(name)[: _MOST_LETTERS - 1]}…"
        width, gap = _LETTER * len(text), 15 if what == "new" else 9
        tries = (
            (x + gap, y), (x - gap - width, y), (x - width / 2, y - gap - 4), (x - width / 2, y + gap + 4)
        )  # fmt: skip
        for left, middle in tries:
            box = np.array([left, middle - _LABEL_HEIGHT / 2, left + width, middle + _LABEL_HEIGHT / 2])
            inside = box[0] >= 2 and box[1] >= 2 and box[2] <= _MAP_WIDTH - 2 and box[3] <= _MAP_HEIGHT - 2
            apart = (
                (taken[:, 2] <= box[0]) | (box[2] <= taken[:, 0]) | (taken[:, 3] <= box[1]) | (box[3] <= taken[:, 1])
            )
            if inside and apart.all():
                taken = np.vstack([taken, box])
                place = {"x": _number(left), "y": _number(middle), "dominant_baseline": "central"}
                labels.append(element("text", text, **place, class_=f"name-{what}"))
                break
    return labels
