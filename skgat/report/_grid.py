"""The table of results, known and predicted, in colours."""

__all__ = ["heat_map"]

import numpy as np

from ._contents import standing
from ._figures import Scale
from ._html import bdi, element

_MOST_ROWS, _MOST_COLUMNS = 40, 20
_N_COLORS = 10


def heat_map(grid):
    """A table of models by datasets; known and predicted cells differ in shape and in script.

    Parameters
    ----------
    grid : Grid

    Returns
    -------
    list of elements
    """
    rows = _rows(len(grid.models))
    models, datasets = grid.models[rows], grid.datasets[:_MOST_COLUMNS]
    known, predicted = grid.known[rows, : len(datasets)], grid.predicted[rows, : len(datasets)]
    is_known = np.isfinite(known)
    values = np.where(is_known, known, predicted)
    shades = np.minimum((standing(values) * _N_COLORS).astype(np.int64), _N_COLORS - 1)
    scales = [Scale.of(column) for column in values.T]
    heads = [element("td", element("span", "Model", class_="hidden"))]
    heads += [
        element("th", element("span", bdi(name)), scope="col", class_="new" if i == 0 else None)
        for i, name in enumerate(datasets)
    ]
    body = [
        element(
            "tr",
            element("th", bdi(model), scope="row"),
            *[
                _cell(value, scale, *told)
                for value, scale, *told in zip(values[i], scales, shades[i], is_known[i], strict=True)
            ],
        )
        for i, model in enumerate(models)
    ]
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *body), class_="heat")
    region = element(
        "div", table, class_="scroll", tabindex="0", role="region", aria_label="Results, known and predicted"
    )
    return [element("p", *_about(grid, len(models), len(datasets))), _key(), region]


def _rows(n):
    """All, or the first two thirds of what is shown and an even choice from the rest."""
    if n <= _MOST_ROWS:
        return np.arange(n)
    first = 2 * _MOST_ROWS // 3
    return np.concatenate([np.arange(first), np.linspace(first, n - 1, _MOST_ROWS - first).astype(np.int64)])


def _cell(value, scale, shade, known):
    hidden = [] if known else [element("span", " predicted", class_="hidden")]
    inner = element("span", scale.text(value), *hidden, class_=f"cell h{shade}")
    return element("td", inner, class_="known" if known else "guess")


def _about(grid, n_models, n_datasets):
    parts = ["Models from the best ranked down; datasets from this one on to those less and less like it. "]
    if n_models < grid.n_models:
        parts.append(
            f"Shown are {n_models} of {grid.n_models:,} models: the best ranked, then some at even steps down the "
            "ranking. "
        )
    if n_datasets < grid.n_datasets:
        parts.append(f"Shown are {n_datasets} of {grid.n_datasets:,} datasets, the nearest. ")
    return parts


def _key():
    ramp = element(
        "span", *[element("span", class_=f"h{i}") for i in range(_N_COLORS)], class_="ramp", aria_hidden="true"
    )
    cells = []
    for class_, text in (("known", " a known result"), ("guess", " a prediction")):
        sample = element("span", element("span", "0.8", class_="cell h8"), class_=f"key {class_}", aria_hidden="true")
        cells += [sample, text, ". "]
    return element("p", *cells, "Colour, for each dataset apart: worst", ramp, "best of the models shown.")
