"""What a notebook shows of a ranking and of estimators."""

import copy
import pickle
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal
from scipy.stats import norm
from sklearn.base import BaseEstimator

import skgat
from skgat import baselines, embedding, recommend
from skgat._ranking_html import with_bars
from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo

ROOT = Path(skgat.__file__).parent.parent
RECORDS = load_vision_zoo().records


class Unsure(BiasRegressor):
    """An additive model that is less sure of some models."""

    def predict(self, X, return_std=False):
        mean = super().predict(X)
        return (mean, X[self.model].map(len).to_numpy() / 10.0) if return_std else mean


@pytest.fixture
def ranking():
    return recommend(Unsure().fit(RECORDS), ["pets", "cars"], k=3)


def plain(frame):
    """The same values in a frame that has never been near a notebook."""
    return pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns}).infer_objects()


class _Cells(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.rows, self.shapes = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "svg":
            self.shapes.append({})
        elif tag == "rect":
            self.shapes[-1]["score"] = float(attributes["width"])
        elif tag == "path":
            self.shapes[-1]["interval"] = tuple(map(float, re.match(r"M(\S+) \S+?H([\d.]+)", attributes["d"]).groups()))

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_it_is_a_plain_frame(ranking):
    assert type(ranking) is pd.DataFrame
    assert_frame_equal(ranking, plain(ranking))
    assert_frame_equal(plain(ranking), ranking)
    assert ranking.equals(plain(ranking))
    assert ranking.attrs == {}
    assert ranking.dtypes.astype(str).tolist() == plain(ranking).dtypes.astype(str).tolist()


@pytest.mark.parametrize(
    "use",
    [
        copy.copy,
        copy.deepcopy,
        pd.DataFrame.copy,
        lambda frame: pickle.loads(pickle.dumps(frame)),
        lambda frame: pd.concat([frame.iloc[:2], frame.iloc[2:]]),
        lambda frame: frame.astype({"rank": "int64"}),
        lambda frame: pd.DataFrame(frame),
        lambda frame: frame.query("rank > 0"),
        lambda frame: frame.merge(frame)[list(frame.columns)],
    ],
    ids=["copy", "deepcopy", "own copy", "pickle", "concat", "astype", "frame", "query", "merge"],
)
def test_what_is_made_of_it_is_as_of_any_frame(ranking, use):
    made = use(ranking)
    assert type(made) is pd.DataFrame
    assert_frame_equal(made, use(plain(ranking)))


def test_files_and_other_libraries(ranking, tmp_path):
    joblib.dump(ranking, tmp_path / "ranking.joblib")
    assert_frame_equal(joblib.load(tmp_path / "ranking.joblib"), ranking)
    assert ranking.to_csv() == plain(ranking).to_csv()
    assert ranking.to_html() == plain(ranking).to_html()
    assert repr(ranking) == repr(plain(ranking))
    assert pl.from_pandas(ranking).equals(pl.from_pandas(plain(ranking)))


def test_the_table_holds_the_values(ranking):
    cells = _Cells(ranking._repr_html_())
    assert cells.rows[0][:-1] == ["", "dataset", "rank", "model", "score", "std"]
    for row, (name, told) in zip(cells.rows[1:], ranking.iterrows(), strict=True):
        expected = [str(name), told["dataset"], str(told["rank"]), told["model"]]
        assert row[:-1] == [*expected, f"{told['score']:.6f}", f"{told['std']:.6f}"]


def test_the_bars_are_in_proportion(ranking):
    shapes = _Cells(ranking._repr_html_()).shapes
    assert len(shapes) == len(ranking)
    for dataset, part in ranking.groupby("dataset"):
        drawn = [shapes[i] for i in part.index]
        middle = np.array([shape["score"] for shape in drawn])
        low, high = np.array([shape["interval"] for shape in drawn]).T
        slope, start = np.polyfit(part["score"], middle, 1)
        assert slope > 0, dataset
        np.testing.assert_allclose(middle, start + slope * part["score"], atol=0.2)
        np.testing.assert_allclose(high - middle, slope * norm.ppf(0.9) * part["std"], atol=0.3)
        np.testing.assert_allclose(middle - low, slope * norm.ppf(0.9) * part["std"], atol=0.3)
        assert low.min() > 0
        assert high.max() < 180


def test_without_std_there_are_scores_alone():
    cells = _Cells(recommend(BiasRegressor().fit(RECORDS), "pets", k=4)._repr_html_())
    assert cells.rows[1][5] == "NaN"
    assert all(set(shape) == {"score"} for shape in cells.shapes)
    assert [shape["score"] for shape in cells.shapes] == sorted((s["score"] for s in cells.shapes), reverse=True)


def test_ids_are_escaped():
    records = RECORDS.assign(model=RECORDS["model"].replace({"swav": "<script>alert(1)</script>"}))
    html = recommend(Unsure().fit(records), "pets", k=None)._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_what_is_done_to_the_frame_is_shown(ranking):
    ranking["cost"] = range(6)
    assert _Cells(ranking._repr_html_()).rows[0][6] == "cost"
    ranking.loc[0, "model"] = "other"
    assert _Cells(ranking._repr_html_()).rows[1][3] == "other"
    del ranking["std"]
    assert ranking._repr_html_() == plain(ranking)._repr_html_()


def test_an_empty_ranking_is_shown_as_any_frame():
    ranking = recommend(Unsure().fit(RECORDS), "pets", k=1)
    empty = with_bars(ranking.iloc[:0])
    assert empty._repr_html_() == pd.DataFrame(empty)._repr_html_()


def test_long_rankings_are_cut_and_options_hold():
    ranking = recommend(Unsure().fit(RECORDS), "pets", k=None)
    with pd.option_context("display.max_rows", 5):
        html = ranking._repr_html_()
    assert len(_Cells(html).shapes) == 5
    assert "23 rows, of which the first 5 are shown" in html
    with pd.option_context("display.notebook_repr_html", False):
        assert ranking._repr_html_() is None


ESTIMATORS = sorted(
    {
        value
        for package in (skgat, baselines, embedding)
        for value in (getattr(package, name) for name in package.__all__)
        if isinstance(value, type) and issubclass(value, BaseEstimator)
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_estimators_link_to_their_page(kind):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    estimator = kind()
    link = estimator._get_doc_link()
    found = re.fullmatch(rf"{re.escape(project['urls']['Documentation'])}/_generated/api/skgat\.([\w.]+)\.html", link)
    value = skgat
    for name in found.group(1).split("."):
        assert name in value.__all__
        value = getattr(value, name)
    assert value is kind
    assert f'href="{link}"' in estimator._repr_html_()


def test_every_estimator_is_looked_at():
    assert len(ESTIMATORS) >= 9


def test_estimators_of_others_do_not_link():
    assert Unsure()._get_doc_link() == ""
