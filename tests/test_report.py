"""The report: what is on the page, what never is, and how it behaves in a browser."""

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, spearmanr
from sklearn.pipeline import Pipeline

from skgat import MetadataEncoder, TransferabilityGAT, cli, persistence, recommend
from skgat._entities import read_entities
from skgat._fitted import inspect_recommender
from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo, make_transfer_records
from skgat.inspection._explain import explain_models
from skgat.report import write_report
from skgat.report._contents import INTERVAL_80, collect, standing
from skgat.report._figures import Scale
from skgat.report._html import element, join

ZOO = load_vision_zoo()
HISTORY = ZOO.records[ZOO.records["dataset"] != "pets"].reset_index(drop=True)
PETS = ZOO.datasets[ZOO.datasets["dataset"] == "pets"]
SMALL = {"max_iter": 5, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0, "device": "cpu"}
MINUS, NOTHING = "\N{MINUS SIGN}", "\N{EN DASH}"
NASTY = "<script>alert('x')</script>"


def fit(records, **settings):
    return Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(**SMALL | settings))]).fit(records)


@pytest.fixture(scope="module")
def recommender():
    return fit(HISTORY)


@pytest.fixture(scope="module")
def page(recommender, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(recommender, PETS, path, k=2, max_records=20)


@pytest.fixture(scope="module")
def text(page):
    return page.read_text(encoding="utf-8")


class _Table(HTMLParser):
    """The cells of the table of an id, and what the page would have a browser do."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.open, self.stack = [], [], False, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "input"):
            self.stack.append(tag)
        if tag == "table":
            self.open = dict(attributes).get("id") == "ranking"
        elif tag == "tr" and self.open:
            self.rows.append([])
        elif tag in ("td", "th") and self.open:
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.open and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, f"{tag} closes something else"
        self.open = self.open and tag != "table"


def test_the_ranking_is_that_of_recommend(recommender, text):
    ranking = recommend(recommender, PETS, k=None)
    rows = _Table(text).rows
    assert rows[0] == ["Rank", "Model", "Predicted score", "80 % interval", "Past results"]
    assert [row[1] for row in rows[1:]] == ranking["model"].tolist()
    scale = Scale.of(ranking["score"])
    half = norm.ppf(0.9) * ranking["std"]
    for row, (_, told), width in zip(rows[1:], ranking.iterrows(), half, strict=True):
        low, high = told["score"] - width, told["score"] + width
        assert row[2:] == [scale.text(told["score"]), f"{scale.text(low)} to {scale.text(high)}", "10"]


def test_the_page_is_well_formed_and_alone(text):
    parsed = _Table(text)
    assert parsed.stack == []
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "action", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", f"{tag} {name}={value}"
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text


def test_ids_of_elements_are_unique_and_links_lead_somewhere(text):
    tags = _Table(text).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = [a["href"][1:] for tag, a in tags if tag == "a"]
    assert set(links) <= set(ids)
    labels = [a["for"] for tag, a in tags if tag == "label"]
    assert labels == ["search"]


def test_the_evidence_is_that_of_explain(recommender, text):
    top = recommend(recommender, PETS, k=2)["model"]
    for number, model in enumerate(top, start=1):
        assert f"<summary>{number}. <bdi>{model}</bdi>" in text
    entity = read_entities(PETS, "dataset", inspect_recommender(recommender), "new")
    told = explain_models(recommender, top.tolist(), entity, max_records=20)[0].records
    strongest = told.loc[told["ranking_effect"].abs().idxmax()]
    assert f"<bdi>{strongest['model']}</bdi> on <bdi>{strongest['dataset']}</bdi>" in text


def test_of_a_known_dataset_the_metadata_are_those_that_are_used(recommender):
    cars = ZOO.datasets[ZOO.datasets["dataset"] == "cars"]
    told = collect(recommender, cars.assign(train_size=5), ["swav"], 1, 3)
    assert dict(told.described)["dataset__train_size"] == cars["train_size"].iloc[0]
    assert told.described == collect(recommender, "cars", ["swav"], 1, 3).described
    evidence = told.explanations[0].metadata.set_index("column")["value"]
    assert evidence["dataset__train_size"] == cars["train_size"].iloc[0]
    unknown = collect(recommender, PETS.assign(train_size=5), ["swav"], 1, 3)
    assert dict(unknown.described)["dataset__train_size"] == 5


def test_known_and_predicted_cells(recommender):
    contents = collect(recommender, "cars", None, 1, 1)
    grid = contents.grid
    assert grid.datasets[0] == "cars"
    assert np.isfinite(grid.known).all()
    assert contents.ranking["known"].notna().all()
    truth = HISTORY.set_index(["model", "dataset"])["score"]
    assert grid.known[3, 2] == truth[grid.models[3], grid.datasets[2]]
    unknown = collect(recommender, PETS, None, 1, 1)
    assert np.isnan(unknown.grid.known[:, 0]).all()
    assert np.isfinite(unknown.grid.known[:, 1:]).all()
    np.testing.assert_allclose(unknown.grid.predicted[:, 0], unknown.ranking["score"], atol=1e-9)


def test_nearest_datasets(recommender):
    told = collect(recommender, PETS, None, 1, 1)
    ranking = told.ranking.set_index("model")["score"]
    assert told.nearest["similarity"].is_monotonic_decreasing
    assert "pets" not in set(told.nearest["dataset"])
    for _, row in told.nearest.head(3).iterrows():
        there = HISTORY[HISTORY["dataset"] == row["dataset"]].set_index("model")["score"]
        assert row["agreement"] == pytest.approx(spearmanr(there, ranking[there.index]).statistic)
        assert row["best"] == there.sort_values(ascending=False).index[:3].tolist()


def test_a_twin_is_the_nearest_dataset(recommender):
    told = collect(recommender, PETS.assign(**_metadata_of("cars")), None, 1, 1)
    assert told.nearest["dataset"].iloc[0] == "cars"
    assert told.nearest["similarity"].iloc[0] == pytest.approx(1.0)
    assert told.nearest["similarity"].iloc[1] < 0.999


def _metadata_of(dataset):
    row = ZOO.datasets[ZOO.datasets["dataset"] == dataset].iloc[0]
    return {name: row[name] for name in ZOO.datasets.columns if name != "dataset"}


def test_the_map_shows_who_suits_whom(recommender):
    grid = collect(recommender, PETS, None, 1, 1).grid
    models, datasets = grid.map()
    assert models.shape == (23, 2)
    assert datasets.shape == (11, 2)
    spread = grid.predicted.std(axis=0)
    left = (grid.predicted - grid.predicted.mean(axis=0)) / spread
    left -= left.mean(axis=1, keepdims=True)
    together = np.corrcoef((models @ datasets.T).ravel(), left.ravel())[0, 1]
    assert together > 0.6


def test_standing():
    values = np.array([[3.0, 1.0], [1.0, 1.0], [2.0, 5.0]])
    np.testing.assert_array_equal(standing(values), [[1.0, 0.25], [0.0, 0.25], [0.5, 1.0]])


def test_the_interval_is_of_80_percent():
    assert norm.cdf(INTERVAL_80) - norm.cdf(-INTERVAL_80) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("values", "told"), [([0.81, 0.84], "0.8123"), ([60.0, 90.0], "81.2"), ([1.0, 1.0], "0.812"), ([0, 5000], "1")]
)
def test_scale(values, told):
    value = {"81.2": 81.23, "0.8123": 0.8123, "0.812": 0.8123, "1": 0.8123}[told]
    assert Scale.of(values).text(value) == told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1e-6, 5e-6], "0.00000123"),
        ([1.23e-6], "0.00000123"),
        ([-3e-9, 0.0], "0.00000123000"),
        ([0.8, 0.8 + 1e-15], "0.000"),
        ([0.8, 0.8 + 1e-8], "0.000001"),
        ([0.0], "0.000"),
        ([1e-300], "0.000001230000"),
    ],
)
def test_the_scale_of_small_scores(values, told):
    assert Scale.of(values).text(1.23e-6) == told


def test_text_is_escaped_once():
    assert element("p", "a<b", element("b", '"&'), class_='"x"', hidden=True, id=None) == (
        '<p class="&quot;x&quot;" hidden>a&lt;b<b>&quot;&amp;</b></p>'
    )
    assert join(["\x00", "\u202e", "\ud800"]) == "\ufffd" * 3


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """Ids and values that try to be markup."""
    rename = {"resnet50": NASTY, "swav": '"><img src=x onerror=alert(1)>', "byol": "\U0001f680 \u202eevil" * 20}
    records = HISTORY.assign(model=HISTORY["model"].replace(rename))
    records["dataset"] = records["dataset"].replace({"cars": "</style></script><b>cars"})
    records["model__family"] = records["model__family"].replace({"resnet": "<i>resnet</i>"})
    path = tmp_path_factory.mktemp("nasty") / "report.html"
    return write_report(fit(records, max_iter=2), PETS.assign(dataset=NASTY), path, k=2, max_records=5)


def test_nothing_of_the_user_is_markup(nasty):
    text = nasty.read_text(encoding="utf-8")
    parsed = _Table(text)
    assert [tag for tag, _ in parsed.tags if tag in ("img", "i", "b")] == []
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert NASTY in [row[1] for row in parsed.rows]
    assert "\u202e" not in text
    assert text.count("&lt;script&gt;") > 3


def test_a_recommender_without_history(tmp_path):
    path = write_report(BiasRegressor().fit(HISTORY), "cars", tmp_path / "bias.html")
    text = path.read_text(encoding="utf-8")
    assert "BiasRegressor cannot tell which results moved a prediction." in text
    assert "does not tell how sure it is" in text
    assert _Table(text).rows[0] == ["Rank", "Model", "Predicted score"]
    assert "predicted</span>" in text


def test_candidates(recommender, tmp_path):
    contents = collect(recommender, PETS, ["swav", "vgg", "resnet50"][::2], 5, 5)
    assert sorted(contents.ranking["model"]) == ["resnet50", "swav"]
    assert [told.model for told in contents.explanations] == contents.ranking["model"].tolist()
    assert contents.grid.map() is None
    models = ZOO.models.head(3).assign(model=["a", "b", "c"])
    contents = collect(recommender, PETS, models, 1, 5)
    assert sorted(contents.ranking["model"]) == ["a", "b", "c"]
    assert contents.ranking["results"].tolist() == [0, 0, 0]
    assert np.isnan(contents.grid.known).all()


def test_ids_that_pandas_takes_for_something_else(tmp_path):
    """Tuples are no levels of an index, and truth values no choice of rows."""
    odd = HISTORY.assign(model=[("m", name) for name in HISTORY["model"]], dataset=HISTORY["dataset"] == "cars")
    path = write_report(fit(odd.drop_duplicates(["model", "dataset"])), True, tmp_path / "odd.html", k=2, max_records=3)
    text = path.read_text(encoding="utf-8")
    assert "vehicles" in text
    assert "(&#x27;m&#x27;, " in text or "('m', " in text


def test_without_metadata(tmp_path):
    gat = TransferabilityGAT(**SMALL).fit(HISTORY[["model", "dataset", "score"]])
    text = write_report(gat, "cars", tmp_path / "bare.html", k=1, max_records=5).read_text(encoding="utf-8")
    assert "Similarity" not in text
    assert "Known score" in text


def test_a_large_history_stays_usable(tmp_path):
    records = make_transfer_records(1000, 30, 0.1, random_state=0).records[["model", "dataset", "score"]]
    gat = TransferabilityGAT(**SMALL | {"max_iter": 1, "kernel_weight": 0.0}).fit(records)
    path = write_report(gat, records["dataset"].iloc[0], tmp_path / "large.html", k=1, max_records=2)
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 3_000_000
    assert len(_Table(text).rows) == 1 + records["model"].nunique()
    assert "Shown are 40 of 1,000 models" in text
    assert "Shown are 20 of 30 datasets" in text
    assert "120 of 1,000 models are shown" in text


def test_the_same_page_twice(recommender, page, tmp_path):
    again = write_report(recommender, PETS, tmp_path / "again.html", k=2, max_records=20)
    assert again.read_bytes() == page.read_bytes()


def test_an_existing_page_is_replaced_or_left(recommender, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before", encoding="utf-8")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_report(BiasRegressor().fit(HISTORY), "cars", path)
    assert path.read_text(encoding="utf-8") == "before"
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [path]
    write_report(BiasRegressor().fit(HISTORY), "cars", path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("dataset", "settings", "message"),
    [
        (["cars", "food"], {}, "dataset names 2 datasets, but a report is about one"),
        ({"colour": 3}, {}, "datasets has the column 'colour', which the recommender did not see in fit"),
        ("cars", {"k": 0}, "Got k=0, but expected an integer of at least 1"),
        ("cars", {"max_records": 0}, "Got max_records=0, but expected an integer of at least 1"),
    ],
)
def test_refusals(recommender, tmp_path, dataset, settings, message):
    with pytest.raises(ValueError, match=message):
        write_report(recommender, dataset, tmp_path / "report.html", **settings)
    assert not list(tmp_path.iterdir())


def test_refused_paths(recommender, tmp_path):
    with pytest.raises(ValueError, match="but there is no folder"):
        write_report(recommender, "cars", tmp_path / "none" / "report.html")
    with pytest.raises(ValueError, match="but that is a folder"):
        write_report(recommender, "cars", tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_place_for_a_page(recommender, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("skgat.report._write.collect", lambda *_: pytest.fail("it began to work"))
    with pytest.raises(ValueError, match=r"Got path '.*pipe', but expected a regular file"):
        write_report(recommender, "cars", tmp_path / "pipe")


# The command


@pytest.fixture(scope="module")
def folder(recommender, tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    persistence.save(recommender, folder / "zoo.skgat")
    PETS.to_csv(folder / "new.csv", index=False)
    ZOO.datasets.to_csv(folder / "many.csv", index=False)
    PETS.assign(colour="red").to_csv(folder / "odd.csv", index=False)
    return folder


def test_the_command(folder, monkeypatch, capsys, text):
    monkeypatch.chdir(folder)
    assert cli.main(["report", "zoo.skgat", "--dataset", "new.csv", "-o", "out.html", "-k", "2"]) == 0
    assert re.fullmatch(r"Wrote out.html \(\d+ kB\)\.\n", capsys.readouterr().out)
    written = Path("out.html").read_text(encoding="utf-8")
    assert _Table(written).rows == _Table(text).rows


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--dataset", "odd.csv", "-o", "a.html"], "the column 'colour'"),
        (["--dataset", "many.csv", "-o", "a.html"], "a report is about one"),
        (["--dataset", "none.csv", "-o", "a.html"], "none.csv"),
        (["--dataset", "nowhere", "-o", "a.html"], "Got --dataset nowhere"),
        (["--dataset", "new.csv", "-o", "no/a.html"], "Got --output no/a.html, but there is no folder"),
        (["--dataset", "new.csv", "-o", "a.html", "-k", "0"], "Got k=0"),
    ],
)
def test_errors_of_the_command(folder, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(folder)
    assert cli.main(["report", "zoo.skgat", *argv]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("a.html").exists()


# In a browser

REQUIRED = os.environ.get("SKGAT_TEST_BROWSER") == "required"


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        executable = None
    if executable is None:
        assert not REQUIRED, "chromium or playwright is missing, though SKGAT_TEST_BROWSER=required"
        pytest.skip("needs chromium and playwright")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser):
    """Open a page; whatever it says on the console, asks from the network or opens as a dialog fails the test."""
    contexts, heard = [], []

    def visit(path, width=1100, **settings):
        context = browser.new_context(viewport={"width": width, "height": 800}, **settings)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(10_000)
        tab.on("console", lambda message: heard.append(message.text))
        tab.on("pageerror", lambda error: heard.append(str(error)))
        tab.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: request.url == path.as_uri() or heard.append(request.url))
        tab.goto(path.as_uri())
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert not heard


def column(tab, number):
    return tab.locator("#ranking tbody tr:visible").locator(f":scope > :nth-child({number})").all_inner_texts()


def numbers(texts):
    return [float(re.match(rf"[{MINUS}\d.,]+", text).group().replace(MINUS, "-").replace(",", "")) for text in texts]


@pytest.mark.parametrize(
    ("name", "number", "first"),
    [("Rank", 1, "descending"), ("Predicted score", 3, "descending"), ("Past results", 5, "descending")],
)
def test_sorting_by_numbers(visit, page, name, number, first):
    tab = visit(page)
    button = tab.get_by_role("button", name=name)
    head = tab.locator("#ranking thead th", has_text=name)
    for direction in (first, "ascending" if first == "descending" else "descending"):
        button.click()
        assert head.get_attribute("aria-sort") == direction
        assert tab.locator("[aria-sort]").count() == 1
        values = numbers(column(tab, number))
        assert values == sorted(values, reverse=direction == "descending")
        assert direction in tab.get_by_role("status").inner_text()


def test_sorting_by_intervals_and_names(visit, page):
    tab = visit(page)
    tab.get_by_role("button", name="80 % interval").click()
    lows = numbers(tab.locator("#ranking .range").all_inner_texts())
    assert lows == sorted(lows, reverse=True)
    tab.get_by_role("button", name="Model").click()
    names = column(tab, 2)
    # Numbers within names count as numbers.
    assert names.index("resnet34") < names.index("resnet50") < names.index("resnet101")
    tab.get_by_role("button", name="Model").click()
    assert column(tab, 2) == names[::-1]


def test_missing_scores_stay_at_the_end(visit, tmp_path):
    history = HISTORY[~((HISTORY["dataset"] == "cars") & HISTORY["model"].isin(["swav", "byol"]))]
    tab = visit(write_report(fit(history), "cars", tmp_path / "cars.html", k=1, max_records=2))
    for _ in range(2):
        tab.get_by_role("button", name="Known score").click()
        known = column(tab, 5)
        assert known[-2:] == [NOTHING, NOTHING]
        assert NOTHING not in known[:-2]
    assert numbers(known[:-2]) == sorted(numbers(known[:-2]))


def test_search(visit, page):
    tab = visit(page)
    search = tab.get_by_label("Search models")
    search.fill("RESNET")
    assert sorted(column(tab, 2)) == ["resnet101", "resnet152", "resnet34", "resnet50"]
    assert tab.get_by_role("status").inner_text() == "4 of 23 models shown."
    search.fill("nothing like it")
    assert column(tab, 2) == []
    search.fill("")
    assert len(column(tab, 2)) == 23
    assert tab.get_by_role("status").inner_text() == ""


def test_keyboard(visit, page):
    tab = visit(page)
    tab.keyboard.press("Tab")
    skip = tab.locator(":focus")
    assert skip.inner_text() == "Skip to the ranking"
    assert skip.bounding_box()["x"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("location.hash") == "#models"
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "search"
    tab.keyboard.type("swav")
    assert column(tab, 2) == ["swav"]
    tab.keyboard.press("Tab")  # the region that scrolls
    for _ in range(3):
        tab.keyboard.press("Tab")
    focus = tab.locator(":focus")
    assert focus.inner_text() == "Predicted score"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press("Space")
    assert tab.locator("#ranking th", has_text="Predicted score").get_attribute("aria-sort") == "descending"
    tab.keyboard.press("Enter")
    assert tab.locator("#ranking th", has_text="Predicted score").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("width", [375, 320, 1100])
def test_no_width_overflows(visit, page, nasty, width):
    for path in (page, nasty):
        tab = visit(path, width)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("#ranking tbody th").first.bounding_box()["width"] >= 60
    assert tab.locator("#ranking tbody th", has_text=NASTY).count() == 1


LUMINANCE = """(selector) => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll(selector)].map((node) => {
    let back = node;
    while (back && getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)") back = back.parentElement;
    const values = [getComputedStyle(node).color, getComputedStyle(back || document.body).backgroundColor].map(light);
    return (Math.max(...values) + 0.05) / (Math.min(...values) + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(visit, page, scheme):
    tab = visit(page, color_scheme=scheme)
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    ratios = tab.evaluate(LUMINANCE, "p, th, td, a, dt, dd, caption, button, summary, .range, .cell")
    assert len(ratios) > 200
    assert min(ratios) >= 4.5


def test_known_and_predicted_look_different_without_colour(visit, page):
    tab = visit(page)
    style = "(node) => [getComputedStyle(node).fontStyle, getComputedStyle(node).borderRadius]"
    known, guess = (tab.locator(f".heat .{kind} .cell").first.evaluate(style) for kind in ("known", "guess"))
    assert known == ["normal", "0px"]
    assert guess == ["italic", "16px"]
    # Ten datasets are known, the new one is not.
    assert tab.locator(".heat .guess").count() == 23
    assert tab.locator(".heat .known").count() == 230


def test_evidence_opens(visit, page):
    tab = visit(page)
    second = tab.locator("details").nth(1)
    assert not second.locator("table").first.is_visible()
    second.locator("summary").click()
    assert second.locator("table").first.is_visible()


def test_markup_in_ids_does_nothing(visit, nasty):
    tab = visit(nasty)
    assert tab.locator("h1").inner_text() == f"Which model for {NASTY}?"
    assert tab.title() == f"Which model for {NASTY}?"
    tab.get_by_label("Search models").fill("<script>")
    assert len(column(tab, 2)) == 1


def test_print_shows_everything(visit, page):
    tab = visit(page)
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("details:not([open])").count() == 0
    tab.emulate_media(media="print")
    assert not tab.get_by_label("Search models").is_visible()


def test_a_page_without_script_is_readable(visit, page):
    tab = visit(page, java_script_enabled=False)
    assert len(column(tab, 2)) == 23
    assert not tab.locator("#search").is_visible()
