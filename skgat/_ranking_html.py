"""How a ranking looks in a notebook."""

__all__ = ["with_bars"]

from html import escape
from types import MethodType

import numpy as np
import pandas as pd

_COLUMNS = ("dataset", "rank", "model", "score", "std")
_WIDTH, _HEIGHT = 180, 16
#: Half of the width of an interval that holds 80 % of a normal distribution, in standard deviations.
_HALF = 1.2815515655446004
#: Blue and vermilion of Okabe and Ito: told apart by all, and seen on white and on black.
_BAR, _INTERVAL = "#56B4E9", "#D55E00"


def with_bars(frame):
    """Give this one frame an HTML form with bars for scores and intervals.

    It stays what it is, a plain frame of pandas, and so do its copies and whatever is made of it: a subclass would have
    to be taken off again wherever types are compared.

    Parameters
    ----------
    frame : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        The same object.
    """
    object.__setattr__(frame, "_repr_html_", MethodType(_to_html, frame))
    return frame


def _to_html(frame):
    if not len(frame) or not set(_COLUMNS) <= set(frame.columns) or not frame.columns.is_unique:
        return pd.DataFrame._repr_html_(frame)
    if not all(pd.api.types.is_numeric_dtype(frame[name]) for name in ("score", "std")):
        return pd.DataFrame._repr_html_(frame)
    if not pd.get_option("display.notebook_repr_html"):
        return None
    most = pd.get_option("display.max_rows") or len(frame)
    shown = frame.iloc[:most]
    bars = _bars(shown)
    heads = "".join(f"<th>{escape(str(name))}</th>" for name in ("", *shown.columns))
    label = "score, 80 % interval" if shown["std"].notna().any() else "score"
    heads += f'<th style="text-align:left">{label} (bars do not start at 0)</th>'
    # Column by column: rows of mixed types would turn integers into floats.
    cells = [[_text(value) for value in shown[name].tolist()] for name in shown.columns]
    rows = [
        f"<tr><th>{_text(name)}</th>{''.join(f'<td>{cell}</td>' for cell in row)}<td>{bar}</td></tr>"
        for name, *row, bar in zip(shown.index, *cells, bars, strict=True)
    ]
    rest = f"<p>{len(frame)} rows, of which the first {most} are shown</p>" if len(frame) > most else ""
    return (
        f'<div><table class="dataframe"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{rest}</div>"
    )


def _text(value):
    if isinstance(value, float):
        return "NaN" if np.isnan(value) else f"{value:.{pd.get_option('display.precision')}f}"
    return escape(str(value))


def _bars(frame):
    """One picture a row; all of a dataset on one scale, which starts below the lowest of them."""
    score = frame["score"].to_numpy(dtype=np.float64)
    half = _HALF * np.nan_to_num(frame["std"].to_numpy(dtype=np.float64))
    groups = frame["dataset"]
    low = pd.Series(score - half).groupby(groups.to_numpy(), dropna=False).transform("min").to_numpy()
    high = pd.Series(score + half).groupby(groups.to_numpy(), dropna=False).transform("max").to_numpy()
    span = np.where(high > low, high - low, 1.0)
    margin = 0.1 * _WIDTH
    ends = np.column_stack([score - half, score, score + half])
    places = margin + (ends - low[:, None]) / span[:, None] * (_WIDTH - margin - 2)
    return [_bar(*row) if np.isfinite(row).all() else "" for row in places]


def _bar(left, middle, right):
    parts = [f'<rect x="0" y="3" width="{middle:.1f}" height="{_HEIGHT - 6}" fill="{_BAR}"/>']
    if right > left:
        centre = _HEIGHT / 2
        parts.append(
            f'<path d="M{left:.1f} {centre}H{right:.1f}M{left:.1f} 4V{_HEIGHT - 4}M{right:.1f} 4V{_HEIGHT - 4}" '
            f'stroke="{_INTERVAL}" stroke-width="2" fill="none"/>'
        )
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="presentation">{"".join(parts)}</svg>'
