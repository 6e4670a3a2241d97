"""The page, section by section."""

__all__ = ["make_page"]

import base64
import hashlib
from importlib.resources import files

import numpy as np

from ._contents import INTERVAL_80
from ._figures import Scale, draw_map, effect_bar, interval_bar
from ._grid import heat_map
from ._html import Html, bdi, element, join

_MOST_EVIDENCE = 8
_NOTHING = "\N{EN DASH}"


def make_page(contents):
    """All of the page.

    Parameters
    ----------
    contents : Contents

    Returns
    -------
    str
    """
    style, script = (Html(files(__package__).joinpath(name).read_text("utf-8")) for name in ("page.css", "page.js"))
    # Nothing may be fetched, and no other script may run, whatever an id is called.
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    title = f"Which model for {contents.dataset}?"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", style),
    )
    scale = Scale.of(contents.ranking["score"])
    sections = [section for section in _sections(contents, scale) if section is not None]
    links = [element("li", element("a", heading, href=f"#{key}")) for key, heading, _ in sections]
    body = element(
        "body",
        element("a", "Skip to the ranking", class_="skip", href="#models"),
        _header(contents, scale),
        element("nav", element("ul", *links), aria_label="On this page"),
        element("main", *[_section(*section) for section in sections]),
        _footer(contents),
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _digest(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _section(key, heading, parts):
    return element(
        "section", element("h2", heading, id=f"{key}-heading"), *parts, id=key, aria_labelledby=f"{key}-heading"
    )


def _sections(contents, scale):
    yield "models", "Ranked models", _ranking(contents, scale)
    yield "evidence", "Why these models", _evidence(contents, scale)
    if contents.nearest is not None and len(contents.nearest):
        yield "nearest", "Nearest datasets", _nearest(contents)
    if contents.grid is not None:
        yield "history", "The results around it", heat_map(contents.grid)
        figure = draw_map(contents.grid)
        if figure is not None:
            yield "map", "Map of models and datasets", figure


def _header(contents, scale):
    best = contents.ranking.iloc[0]
    say = ["First to try: ", element("strong", bdi(best["model"])), f", predicted {scale.text(best['score'])}"]
    if np.isfinite(best["std"]):
        low, high = best["score"] - INTERVAL_80 * best["std"], best["score"] + INTERVAL_80 * best["std"]
        say.append(f" (80 % interval {scale.text(low)} to {scale.text(high)})")
    n_known = int(contents.ranking["known"].notna().sum())
    if not contents.is_known:
        about = "No result on this dataset is known; the ranking follows from what describes it and from the history."
    elif n_known:
        about = f"{n_known} of the {len(contents.ranking)} models have been tried on this dataset."
    else:
        about = "This dataset is part of the history."
    parts = [element("h1", "Which model for ", bdi(contents.dataset), "?"), element("p", *say, ".", class_="lead")]
    parts.append(element("p", about))
    if contents.described:
        rows = [
            join([element("dt", bdi(name)), element("dd", bdi(_value(value)))]) for name, value in contents.described
        ]
        parts.append(element("dl", *rows))
    return element("header", *parts)


def _value(value):
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "missing" if missing else f"{value:,.6g}" if isinstance(value, float | np.floating) else str(value)


def _ranking(contents, scale):
    ranking = contents.ranking
    sure = ranking["std"].notna().any()
    tried = ranking["known"].notna().any()
    columns = [("Rank", "ascending", "num"), ("Model", "ascending", None), ("Predicted score", "descending", "num")]
    columns += [("80 % interval", "descending", None)] if sure else []
    columns += [("Known score", "descending", "num")] if tried else []
    columns += [("Past results", "descending", "num results")] if contents.counts["results"] else []
    heads = [
        element(
            "th",
            element("button", name, type="button"),
            scope="col",
            class_=class_,
            data_first=first,
            aria_sort="ascending" if name == "Rank" else None,
        )
        for name, first, class_ in columns
    ]
    wide = INTERVAL_80 * np.nan_to_num(ranking["std"].to_numpy())
    near = INTERVAL_80 * np.nan_to_num(ranking["ranking_std"].to_numpy())
    score = ranking["score"].to_numpy()
    limits = (score - near).min(), (score + near).max()
    rows = []
    for i, row in enumerate(ranking.itertuples()):
        cells = [
            element("td", row.rank, class_="num", data_value=row.rank),
            element("th", bdi(row.model), scope="row"),
            element("td", scale.text(row.score), class_="num", data_value=repr(float(row.score))),
        ]
        if sure:
            bar = interval_bar(row.score, near[i], wide[i], limits)
            text = element(
                "span", f"{scale.text(score[i] - wide[i])} to {scale.text(score[i] + wide[i])}", class_="range"
            )
            cells.append(element("td", bar, text, class_="bar", data_value=repr(float(score[i] - wide[i]))))
        if tried:
            known = np.isfinite(row.known)
            value = repr(float(row.known)) if known else ""
            cells.append(element("td", scale.text(row.known) if known else _NOTHING, class_="num", data_value=value))
        if contents.counts["results"]:
            cells.append(element("td", row.results, class_="num results", data_value=row.results))
        rows.append(element("tr", *cells))
    table = element(
        "table",
        element("caption", f"{len(ranking)} models, best first. Press a heading to sort.", class_="hidden"),
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        id="ranking",
    )
    search = element("label", "Search models", for_="search"), element("input", id="search", type="search")
    tools = element(
        "div", *search, element("span", id="status", role="status", class_="soft"), class_="tools", hidden=True
    )
    told = _how_to_read(sure, near, wide)
    return [
        *told,
        tools,
        element("div", table, class_="scroll", tabindex="0", role="region", aria_label="Ranked models"),
    ]


def _how_to_read(sure, near, wide):
    if not sure:
        return [element("p", "This recommender does not tell how sure it is, so there are no intervals.")]
    text = (
        "The interval holds the score with a chance of 80 %, if the errors are normal and as large as they were on "
        "results that were held out."
    )
    if np.allclose(near, wide):
        return [element("p", text)]
    more = (
        " In the bars the dark part is what matters for the order: how sure the score is relative to the other models. "
        "The light part adds that the level of the dataset is a guess, which all models share; where it has no end it "
        "goes beyond the picture."
    )
    return [element("p", text, more)]


def _evidence(contents, scale):
    if not contents.explanations:
        return [element("p", f"{contents.regressor} cannot tell which results moved a prediction.")]
    intro = (
        "What would be different without one past result, or without one fact about the model or the dataset. Bars "
        "show how it moves the model against the other models on this dataset: to the right up, to the left down. The "
        "effects need not add up, as one result can stand in for another."
    )
    parts = [element("p", intro)]
    for number, told in enumerate(contents.explanations, start=1):
        heading = element("summary", f"{number}. ", bdi(told.model), f", predicted {scale.text(told.score)}")
        parts.append(element("details", heading, *_tables(told, scale), open=number == 1))
    return parts


def _tables(told, scale):
    records, metadata = (
        part.iloc[np.argsort(-part["ranking_effect"].abs().to_numpy(), kind="stable")[:_MOST_EVIDENCE]]
        for part in (told.records, told.metadata)
    )
    largest = max(part["ranking_effect"].abs().max() for part in (records, metadata) if len(part)) or 1.0
    small = Scale.of([largest, 0.0])
    tables = []
    if len(records):
        rows = [
            element(
                "tr",
                element("th", bdi(row.model), " on ", bdi(row.dataset), scope="row"),
                element("td", scale.text(row.score), class_="num"),
                *_effect(row, largest, small),
            )
            for row in records.itertuples()
        ]
        tables.append(_small_table("Past results", ("Result", "Score"), rows))
    if len(metadata):
        rows = [
            element(
                "tr",
                element("th", bdi(row.column), scope="row"),
                element("td", bdi(_value(row.value))),
                *_effect(row, largest, small),
            )
            for row in metadata.itertuples()
        ]
        tables.append(_small_table("Facts about the model and the dataset", ("Fact", "Value"), rows))
    return tables


def _effect(row, largest, small):
    return [
        element("td", small.signed(row.ranking_effect), class_="num"),
        element("td", effect_bar(row.ranking_effect, largest), class_="bar"),
    ]


def _small_table(caption, names, rows):
    heads = [element("th", name, scope="col", class_="num" if name == "Score" else None) for name in names]
    heads += [
        element("th", "Effect", scope="col", class_="num"),
        element("th", element("span", "Bar", class_="hidden"), scope="col"),
    ]
    table = element(
        "table", element("caption", caption), element("thead", element("tr", *heads)), element("tbody", *rows)
    )
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _nearest(contents):
    told = contents.nearest["similarity"].notna().any()
    rows = []
    for row in contents.nearest.itertuples():
        best = join([part for name in row.best for part in (", ", bdi(name))][1:])
        cells = [element("th", bdi(row.dataset), scope="row")]
        cells += [element("td", f"{row.similarity:.2f}", class_="num")] if told else []
        cells += [element("td", f"{row.agreement:.2f}" if np.isfinite(row.agreement) else _NOTHING, class_="num")]
        rows.append(element("tr", *cells, element("td", best)))
    names = [("Dataset", None), *([("Similarity", "num")] if told else []), ("Agreement", "num"), ("Best there", None)]
    heads = [element("th", name, scope="col", class_=class_) for name, class_ in names]
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows))
    intro = (
        "Similarity compares what describes the datasets, from 0 to 1, as the recommender weighs it. " if told else ""
    )
    agreement = (
        "Agreement is the rank correlation of the predicted scores with the results on that dataset, from -1 to 1."
    )
    return [
        element("p", intro, agreement),
        element("div", table, class_="scroll", tabindex="0", role="region", aria_label="Nearest datasets"),
    ]


def _footer(contents):
    from .. import __version__

    counts = [f"{number:,} {name}" for name, number in contents.counts.items() if number is not None]
    text = f"Written by skgat {__version__} with {contents.regressor}, from a history of {', '.join(counts)}."
    if not counts:
        text = f"Written by skgat {__version__} with {contents.regressor}."
    return element("footer", element("p", text, class_="soft"))
