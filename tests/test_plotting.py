"""The displays: what they compute, and what they draw."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, weightedtau
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

mpl.use("Agg")
import matplotlib.pyplot as plt

from skgat import MetadataEncoder, TransferabilityGAT, plotting, recommend
from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo
from skgat.inspection import Explanation, explain
from skgat.metrics import top_k_regret
from skgat.plotting import (
    CalibrationDisplay,
    EmbeddingDisplay,
    ExplanationDisplay,
    MeasuresDisplay,
    RankingDisplay,
    RegretCurveDisplay,
    TransferabilityMatrixDisplay,
)
from skgat.plotting._canvas import PALETTE
from skgat.plotting._labels import place_labels

ZOO = load_vision_zoo()
RECORDS = ZOO.records
UNKNOWN = RECORDS["dataset"].isin(["pets", "cars", "food"])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def bias():
    return BiasRegressor().fit(RECORDS[~UNKNOWN])


@pytest.fixture(scope="module")
def gat():
    small = TransferabilityGAT(max_iter=5, hidden_dim=8, n_heads=2, n_estimators=1, random_state=0)
    return Pipeline([("encode", MetadataEncoder()), ("gat", small)]).fit(RECORDS[~UNKNOWN])


def texts(labels):
    return [label.get_text() for label in labels]


# The matrix


def test_matrix_of_records_has_the_best_at_the_top_left():
    display = TransferabilityMatrixDisplay.from_predictions(RECORDS)
    table = RECORDS.pivot_table(index="model", columns="dataset", values="score")
    by_model = list(table.mean(axis=1).sort_values(ascending=False).index)
    assert list(display.scores.index) == by_model == texts(display.ax_.get_yticklabels())
    assert display.scores.columns[0] == table.mean().idxmax()
    pd.testing.assert_frame_equal(
        display.scores.sort_index().sort_index(axis=1), table, check_names=False, check_like=True
    )
    np.testing.assert_allclose(display.im_.get_array(), display.scores)
    assert display.known_ is None
    assert display.colorbar_.ax.get_ylabel() == "score"


def test_matrix_of_a_recommender_marks_what_it_knows(bias):
    display = TransferabilityMatrixDisplay.from_estimator(bias)
    cell = display.scores.loc["resnet50", "dtd"]
    assert cell == pytest.approx(bias.predict(pd.DataFrame({"model": ["resnet50"], "dataset": ["dtd"]}))[0])
    assert display.known.to_numpy().all()
    assert len(display.known_.get_offsets()) == display.scores.size
    assert display.colorbar_.ax.get_ylabel() == "predicted score"


def test_matrix_of_given_pairs(bias):
    pairs = RECORDS.loc[RECORDS["dataset"].isin(["pets", "dtd"]), ["model", "dataset"]].iloc[3:]
    display = TransferabilityMatrixDisplay.from_estimator(bias, pairs, colorbar=False)
    assert display.colorbar_ is None
    assert display.known.loc[:, "dtd"].sum() == (pairs["dataset"] == "dtd").sum()
    assert not display.known["pets"].any()
    assert display.im_.get_array().mask.sum() == display.scores.isna().to_numpy().sum() == 46 - len(pairs)
    rows, columns = np.nonzero(display.known.to_numpy())
    np.testing.assert_array_equal(display.known_.get_offsets(), np.column_stack([columns, rows]))


def test_matrix_averages_a_pair_that_occurs_twice():
    twice = pd.DataFrame({"m": ["a", "a", "b"], "d": ["x"] * 3, "s": [1.0, 2.0, 5.0]})
    display = TransferabilityMatrixDisplay.from_predictions(twice, known=twice[:1], model="m", dataset="d", target="s")
    assert display.scores["x"].to_dict() == {"b": 5.0, "a": 1.5}
    assert display.known["x"].to_dict() == {"b": False, "a": True}
    assert "dots" in display.ax_.get_title()
    assert display.plot(mark_known=False).known_ is None


@pytest.mark.parametrize(("name", "shown"), [(None, ""), ("$ or €", r"\$ or €")])
def test_matrix_of_scores_with_any_name_or_none(name, shown):
    display = TransferabilityMatrixDisplay(scores=pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "b"]), name=name).plot()
    assert display.colorbar_.ax.get_ylabel() == shown


def test_matrix_dots_stand_out_from_their_cells(bias):
    display = TransferabilityMatrixDisplay.from_estimator(bias)
    gray = [0.299, 0.587, 0.114]
    values = display.scores.to_numpy()[tuple(np.nonzero(display.known.to_numpy()))]
    cells = display.im_.cmap(display.im_.norm(values))[:, :3] @ gray
    assert (np.abs(cells - display.known_.get_facecolors()[:, :3] @ gray) > 0.45).all()


def test_matrix_thins_the_names_of_many_models():
    many = pd.DataFrame({"model": range(500), "dataset": "x", "score": np.arange(500.0)})
    display = TransferabilityMatrixDisplay.from_predictions(many)
    names = texts(display.ax_.get_yticklabels())
    assert len(names) <= 60
    assert names[1] == str(display.scores.index[display.ax_.get_yticks()[1]])


def test_matrix_keeps_what_has_no_score():
    holes = pd.DataFrame(
        {
            "model": ["a", "a", "b", "b", "none"],
            "dataset": ["x", "y", "x", "empty", "y"],
            "score": [1.0, 3.0, 2.0, np.nan, np.nan],
        }
    )
    display = TransferabilityMatrixDisplay.from_predictions(holes, known=holes)
    assert list(display.scores.index) == ["a", "b", "none"], "what has no mean is the last"
    assert list(display.scores.columns) == ["y", "x", "empty"]
    np.testing.assert_array_equal(display.im_.get_array().mask, [[0, 0, 1], [1, 0, 1], [1, 1, 1]])
    assert len(display.known_.get_offsets()) == 3
    assert "hatched: no score" in display.ax_.get_title()


def test_matrix_of_ids_that_are_tuples():
    ids = pd.Series([("m", 1), ("m", 2)], dtype=object)
    display = TransferabilityMatrixDisplay.from_predictions(
        pd.DataFrame({"model": ids, "dataset": "x", "score": [1, 2]})
    )
    assert list(display.scores.index) == [("m", 2), ("m", 1)]


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_matrix_of_other_frames(library):
    module = pytest.importorskip(library)
    plain = RECORDS[["model", "dataset", "score"]]
    frame = module.from_pandas(plain) if library == "polars" else module.Table.from_pandas(plain)
    shown = TransferabilityMatrixDisplay.from_predictions(frame).scores
    pd.testing.assert_frame_equal(shown, TransferabilityMatrixDisplay.from_predictions(plain).scores)


def test_matrix_refuses(bias):
    with pytest.raises(ValueError, match=r"records has no column 'accuracy'; its columns are \['model'"):
        TransferabilityMatrixDisplay.from_predictions(RECORDS, target="accuracy")
    with pytest.raises(TypeError, match="X must be a frame of records, got list"):
        TransferabilityMatrixDisplay.from_estimator(bias, [["resnet50", "pets"]])
    with pytest.raises(ValueError, match="Got no pairs, but expected at least 1 row"):
        TransferabilityMatrixDisplay.from_predictions(RECORDS[:0])
    with pytest.raises(ValueError, match="Got no score that is a number"):
        TransferabilityMatrixDisplay.from_predictions(RECORDS[:2].assign(score=np.nan))
    plain = Ridge().fit([[0.0, 1.0], [1.0, 2.0]], [0.0, 1.0])
    with pytest.raises(ValueError, match="does not tell which datasets it knows; pass the pairs as X"):
        TransferabilityMatrixDisplay.from_estimator(plain)


# The ranking


def test_ranking_is_what_recommend_returns(gat):
    display = RankingDisplay.from_estimator(gat, "dtd", k=4)
    ranking = recommend(gat, "dtd", k=4)
    pd.testing.assert_frame_equal(display.ranking[list(ranking.columns)], ranking)
    labels = [f"{rank}. {model}" for rank, model in zip(ranking["rank"], ranking["model"], strict=True)]
    assert texts(display.ax_.get_yticklabels()) == labels
    low, high = display.ax_.get_ylim()
    assert low > high  # the best is at the top
    line, _, (bars,) = display.points_[0]
    np.testing.assert_allclose(line.get_xdata().astype(float), ranking["score"])
    assert display.ax_.get_title() == "best models for dtd"
    half = np.diff([segment[:, 0] for segment in bars.get_segments()], axis=1).ravel() / 2
    order = gat[-1].ranking_std(gat[0].transform(ranking[["model", "dataset"]]))
    np.testing.assert_allclose(half, norm.ppf(0.975) * order)
    assert "95 % interval relative to other models" in display.ax_.get_xlabel()


def test_rankings_of_long_names_stay_within_the_figure():
    """Side by side, with all that is written at them."""
    names = [f"an organisation/a dataset with a long name {number}" for number in range(3)]
    rows = [(name, rank, f"an organisation/a model with a name as long as that {rank}") for name in names
            for rank in range(1, 5)]  # fmt: skip
    ranking = pd.DataFrame(rows, columns=["dataset", "rank", "model"]).assign(
        score=lambda frame: 1 - 0.1 * frame["rank"], std=0.1, ranking_std=0.05
    )
    display = RankingDisplay.from_predictions(ranking)
    display.figure_.draw_without_rendering()
    within = display.figure_.bbox
    for ax in display.ax_:
        for text in (ax.title, ax.xaxis.label, *ax.get_yticklabels()):
            box = text.get_window_extent()
            assert within.x0 <= box.x0, text
            assert box.x1 <= within.x1, text
        assert ax.get_window_extent().width > 2 * display.figure_.dpi


def test_ranking_interval_of_a_frame():
    ranking = pd.DataFrame({"dataset": "x", "rank": [1, 2], "model": ["a", "b"], "score": [2.0, 1], "std": [0.5, 1]})
    display = RankingDisplay.from_predictions(ranking, interval=0.5)
    half = np.diff([segment[:, 0] for segment in display.points_[0][2][0].get_segments()], axis=1).ravel() / 2
    np.testing.assert_allclose(half, norm.ppf(0.75) * np.array([0.5, 1]))
    assert display.ax_.get_xlabel() == "predicted score\n(50 % interval)"
    assert not display.plot(interval=None).points_[0].has_xerr


def test_ranking_of_several_datasets_has_a_panel_each(bias):
    display = RankingDisplay.from_estimator(bias, ["dtd", "pets", "cars", "food"], k=3)
    assert [ax.get_title().split()[-1] for ax in display.ax_] == ["dtd", "pets", "cars", "food"]
    assert len(display.figure_.axes) == 4
    assert not display.points_[0].has_xerr  # BiasRegressor does not say how sure it is
    assert display.ax_[0].get_xlabel() == "predicted score"
    _, axes = plt.subplots(2, 2)
    assert display.plot(axes).figure_ is axes[0, 0].figure
    with pytest.raises(ValueError, match="Got 1 axes as ax, but expected 4, one for each panel"):
        display.plot(axes[0, 0])


def test_ranking_with_fewer_models_than_asked_for(bias):
    display = RankingDisplay.from_estimator(bias, "dtd", ["byol", "swav"], k=10)
    assert len(display.ranking) == 2
    assert len(RankingDisplay.from_estimator(bias, "dtd", k=None).ranking) == 23


def test_ranking_refuses(bias):
    with pytest.raises(ValueError, match="Got k=0, but expected an integer of at least 1, or None"):
        RankingDisplay.from_estimator(bias, "dtd", k=0)
    with pytest.raises(ValueError, match="Got interval=2, but expected a number between 0 and 1, or None"):
        RankingDisplay.from_predictions(recommend(bias, "dtd"), interval=2)
    with pytest.raises(ValueError, match="ranking has no column 'rank'"):
        RankingDisplay.from_predictions(RECORDS)
    with pytest.raises(TypeError, match="ranking must be a frame as recommend returns it, got dict"):
        RankingDisplay.from_predictions({})
    with pytest.raises(ValueError, match="The ranking has no rows"):
        RankingDisplay.from_predictions(recommend(bias, "dtd")[:0])


# The embeddings


def test_embedding_of_models_keeps_their_distances(gat):
    display = EmbeddingDisplay.from_estimator(gat)
    table = gat[-1].embeddings("model")
    centred = table - table.mean()
    _, values, axes = np.linalg.svd(centred.to_numpy(), full_matrices=False)
    np.testing.assert_allclose(np.abs(display.coordinates), np.abs(centred @ axes[:2].T), rtol=1e-5, atol=1e-7)
    assert list(display.coordinates.index) == list(table.index)
    share = values[0] ** 2 / (values**2).sum()
    assert display.ax_.get_xlabel() == f"component 1 ({share:.0%} of the variance)"
    assert display.colorbar_.ax.get_ylabel() == "additive effect on the score"
    effects = display.color
    means = RECORDS[~UNKNOWN].groupby("model")["score"].mean()
    assert effects.idxmax() == means.idxmax()
    assert set(texts(display.labels_)) <= set(table.index)


def test_embedding_colours():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(40, 6))
    plain = EmbeddingDisplay.from_predictions(table, kind="dataset")
    assert plain.colorbar_ is None
    assert plain.ax_.get_title() == "embeddings of 40 datasets"
    groups = pd.Series(np.arange(40) % 8, name="family").astype(str)
    grouped = EmbeddingDisplay.from_predictions(table, color=groups)
    legend = grouped.ax_.get_legend()
    assert texts(legend.get_texts()) == ["0", "1", "2", "3", "4", "(others)"]
    assert legend.get_title().get_text() == "family"
    assert [len(points.get_offsets()) for points in grouped.points_] == [5] * 5 + [15]
    np.testing.assert_allclose(grouped.points_[1].get_offsets(), grouped.coordinates[groups.to_numpy() == "1"])
    flags = EmbeddingDisplay.from_predictions(table, color=[True] * 39 + [None])
    assert texts(flags.ax_.get_legend().get_texts()) == ["True", "(none)"]
    hidden = EmbeddingDisplay.from_predictions(table, color=["_old"] * 39 + ["new"])
    assert [text.strip() for text in texts(hidden.ax_.get_legend().get_texts())] == ["_old", "new"]


def test_embedding_by_tsne_depends_on_the_seed_alone(gat):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (
        EmbeddingDisplay.from_estimator(gat, "dataset", method="tsne", random_state=seed).coordinates
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first, other)
    assert len(first) == 8
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_embedding_of_one_column_lies_on_a_line():
    display = EmbeddingDisplay.from_predictions(np.arange(4.0)[:, None])
    assert (display.coordinates.iloc[:, 1] == 0).all()
    np.testing.assert_allclose(np.abs(np.diff(display.coordinates.iloc[:, 0])), 1)


def test_embeddings_that_do_not_vary_have_no_share_of_the_variance():
    display = EmbeddingDisplay.from_predictions(np.ones((5, 3)))
    assert display.ax_.get_xlabel() == "component 1 (0% of the variance)"


def test_labels_cover_neither_each_other_nor_points():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 80))
    _, ax = plt.subplots()
    ax.scatter(x, y)
    labels = place_labels(ax, x, y, [f"model number {i}" for i in range(80)])
    boxes = np.array([label.get_window_extent().extents for label in labels])
    assert 10 < len(labels) < 80
    assert len(ax.texts) == len(labels)
    for box in boxes:
        meets = (boxes[:, 0] < box[2]) & (box[0] < boxes[:, 2]) & (boxes[:, 1] < box[3]) & (box[1] < boxes[:, 3])
        assert meets.sum() == 1
        points = ax.transData.transform(np.column_stack([x, y]))
        assert not ((points > box[:2]) & (points < box[2:])).all(axis=1).any()


def test_embedding_refuses(bias, gat):
    with pytest.raises(ValueError, match="BiasRegressor has no embeddings to show"):
        EmbeddingDisplay.from_estimator(bias)
    with pytest.raises(ValueError, match="Got kind='pair', but expected"):
        EmbeddingDisplay.from_estimator(gat, "pair")
    with pytest.raises(ValueError, match=r"Got method='umap', but expected one of \['pca', 'tsne'\]"):
        EmbeddingDisplay.from_estimator(gat, method="umap")
    with pytest.raises(ValueError, match="Got 2 values in color for 23 ids, but expected one each"):
        EmbeddingDisplay.from_estimator(gat, color=[1, 2])
    with pytest.raises(ValueError, match="minimum of 3 is required"):
        EmbeddingDisplay.from_predictions(np.eye(2))


# The regret curve


def test_regret_is_that_of_the_metric(bias):
    held_out = RECORDS[UNKNOWN]
    display = RegretCurveDisplay.from_estimator(bias, held_out, max_k=7)
    truth, groups = held_out["score"], held_out["dataset"]
    pred = bias.predict(held_out.drop(columns="score"))
    for values, curve in ((pred, display.regret), (np.zeros(len(pred)), display.chance)):
        expected = [top_k_regret(truth, values, groups=groups, k=k) for k in range(1, 8)]
        np.testing.assert_allclose(curve, expected)
    first = [top_k_regret(truth[groups == g], pred[groups == g], groups=groups[groups == g], k=1) for g in set(groups)]
    assert display.spread[0] == pytest.approx(np.std(first, ddof=1) / np.sqrt(3))
    np.testing.assert_allclose(display.line_.get_ydata(), display.regret)
    np.testing.assert_array_equal(display.line_.get_xdata(), np.arange(1, 8))
    assert texts(display.ax_.get_legend().get_texts()) == ["chance", "BiasRegressor"]


def test_regret_curves_share_axes(bias):
    held_out = RECORDS[UNKNOWN]
    first = RegretCurveDisplay.from_estimator(bias, held_out)
    truth, groups = held_out["score"], held_out["dataset"]
    second = RegretCurveDisplay.from_predictions(truth, -truth, groups=groups, name="worst", ax=first.ax_)
    assert second.ax_ is first.ax_
    assert second.chance_level_ is None  # it is there already
    assert [first.line_.get_color(), second.line_.get_color()] == list(PALETTE[:2])
    assert texts(first.ax_.get_legend().get_texts()) == ["chance", "BiasRegressor", "worst"]
    assert (second.regret[:5] >= first.regret[:5]).all()
    assert first.ax_.get_ylim()[0] == 0


def test_regret_of_scores_given_apart_and_options(bias):
    held_out = RECORDS[UNKNOWN]
    inside = RegretCurveDisplay.from_estimator(bias, held_out)
    apart = RegretCurveDisplay.from_estimator(bias, held_out.drop(columns="score"), held_out["score"])
    np.testing.assert_allclose(inside.regret, apart.regret)
    bare = inside.plot(plot_chance_level=False, plot_spread=False, name="ours", line_kwargs={"color": "red"})
    assert bare.band_ is None
    assert bare.chance_level_ is None
    assert len(bare.ax_.lines) == 1
    assert bare.line_.get_color() == "red"
    assert bare.line_.get_label() == "ours"


def test_regret_ends_with_the_number_of_models_and_one_dataset_has_no_band():
    display = RegretCurveDisplay.from_predictions([1.0, 2, 3], [3, 2, 1], groups=["x"] * 3)
    np.testing.assert_allclose(display.regret, [2, 1, 0])
    np.testing.assert_allclose(display.chance, [1, 1 / 3, 0])
    assert display.spread is None
    assert display.band_ is None


def test_regret_does_not_show_the_scores_to_the_recommender():
    class Cheat(BiasRegressor):
        def predict(self, X):
            assert "score" not in X.columns
            return super().predict(X)

    RegretCurveDisplay.from_estimator(Cheat().fit(RECORDS[~UNKNOWN]), RECORDS[UNKNOWN])


def test_regret_refuses(bias):
    with pytest.raises(ValueError, match="Got max_k=0, but expected an integer of at least 1"):
        RegretCurveDisplay.from_predictions([1, 2], [1, 2], groups=[0, 0], max_k=0)
    with pytest.raises(ValueError, match="Got no group with at least two rows"):
        RegretCurveDisplay.from_predictions([1, 2], [1, 2], groups=[0, 1])
    with pytest.raises(ValueError, match="X has no target column 'score' and y is None"):
        RegretCurveDisplay.from_estimator(bias, RECORDS.drop(columns="score"))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        RegretCurveDisplay.from_predictions([1, 2], [1], groups=[0, 0])
    with pytest.raises(ValueError, match=r"y_pred has shape \(2, 1\), but expected one number a row"):
        RegretCurveDisplay.from_predictions([1, 2], [[1], [2]], groups=[0, 0])


# The calibration curve


def test_calibration_of_known_noise():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=20_000), rng.uniform(0.5, 2, size=20_000)
    truth = rng.normal(mean, std)
    right, sure, careful = (CalibrationDisplay.from_predictions(truth, mean, f * std) for f in (1, 0.5, 2))
    np.testing.assert_allclose(right.coverage, right.nominal, atol=0.015)
    expected = 2 * norm.cdf(0.5 * norm.ppf((1 + sure.nominal) / 2)) - 1
    np.testing.assert_allclose(sure.coverage, expected, atol=0.015)
    assert (careful.coverage > careful.nominal).all()
    np.testing.assert_allclose(right.ideal_.get_xydata(), [[0, 0], [1, 1]])


def test_calibration_of_a_recommender(gat):
    held_out = RECORDS[UNKNOWN]
    display = CalibrationDisplay.from_estimator(gat, held_out)
    mean, std = gat.predict(held_out.drop(columns="score"), return_std=True)
    half = list(np.round(display.nominal, 2)).index(0.5)
    inside = np.abs(held_out["score"] - mean) <= norm.ppf(0.75) * std
    assert display.coverage[half] == pytest.approx(inside.mean())
    again = CalibrationDisplay.from_estimator(gat, held_out, ax=display.ax_, name="again")
    assert again.ideal_ is None
    assert texts(display.ax_.get_legend().get_texts()) == ["ideal", "TransferabilityGAT", "again"]
    np.testing.assert_allclose(again.line_.get_ydata(), display.line_.get_ydata())


def test_calibration_of_exact_predictions():
    display = CalibrationDisplay.from_predictions([1.0, 2.0], [1.0, 3.0], [0.0, 0.0], ref_line=False)
    np.testing.assert_allclose(display.coverage, 0.5)
    assert display.ideal_ is None
    assert display.ax_.get_legend() is None


def test_calibration_refuses(bias):
    with pytest.raises(ValueError, match=r"BiasRegressor\.predict has no return_std"):
        CalibrationDisplay.from_estimator(bias, RECORDS)
    with pytest.raises(ValueError, match="Got y_std with the value -1, but expected no negative numbers"):
        CalibrationDisplay.from_predictions([1, 2], [1, 2], [1, -1])
    with pytest.raises(ValueError, match="Input y_pred contains NaN"):
        CalibrationDisplay.from_predictions([1, 2], [1, np.nan], [1, 1])


# The measures


def measured(n_datasets=6, n_models=7, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "model": np.tile(np.arange(n_models), n_datasets),
            "dataset": np.repeat(np.arange(n_datasets), n_models),
            "score": rng.normal(size=n_models * n_datasets),
        }
    )
    noise = rng.normal(size=(3, len(frame)))
    return frame.assign(
        pair__good=frame["score"] + 0.1 * noise[0], pair__poor=noise[1], history=frame["score"] + noise[2]
    )


def test_measures_are_judged_by_weighted_kendall():
    records = measured()
    display = MeasuresDisplay.from_predictions(records, references=["history"])
    for name, column in {"good": "pair__good", "poor": "pair__poor", "history": "history"}.items():
        for dataset, part in records.groupby("dataset"):
            expected = weightedtau(part["score"], part[column])[0]
            assert display.quality.loc[dataset, name] == pytest.approx(expected)
    names = texts(display.ax_.get_yticklabels())
    assert names == list(display.quality.mean().sort_values(ascending=False).index)
    assert names[0] == "good"
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], display.quality.mean()[names])
    colors = [mpl.colors.to_hex(bar.get_facecolor()).upper() for bar in display.bars_]
    assert colors == [PALETTE[name == "history"] for name in names]
    (segments,) = [bars.get_segments() for bars in display.bars_.errorbar[2]]
    width = np.diff([segment[:, 0] for segment in segments], axis=1).ravel()
    np.testing.assert_allclose(width, 2 * display.quality[names].std() / np.sqrt(6))
    assert "mean of 6 datasets" in display.ax_.get_xlabel()


def test_measures_of_the_same_name_are_both_there():
    records = measured().assign(good=lambda frame: -frame["score"])
    names = ["pair__good", "pair__poor", "good", "good"]
    display = MeasuresDisplay.from_predictions(records, measures=names, references=["good"])
    assert list(display.quality) == ["pair__good", "poor", "good"]
    assert (display.quality["pair__good"] > 0).all()
    assert (display.quality["good"] < 0).all()
    assert display.references == ("good",)


def test_measures_as_scatter():
    records = measured()
    display = MeasuresDisplay.from_predictions(records, measures=["pair__good", "history"], kind="scatter")
    assert [ax.get_title().split(":")[0] for ax in display.ax_] == ["good", "history"]
    within = records.groupby("dataset")[["pair__good", "score"]]
    expected = (records[["pair__good", "score"]] - within.transform("mean")) / within.transform("std", ddof=0)
    np.testing.assert_allclose(display.points_[0].get_offsets(), expected)
    assert display.bars_ is None


@pytest.mark.parametrize("display", ["ranking", "matrix", "measures"])
def test_long_names_leave_room_for_what_is_drawn(display):
    records = measured()
    names = {name: rf"organisation/a-$\\family-of-networks-{'x' * 60}-{name}" for name in records["model"].unique()}
    records["model"] = records["model"].map(names)
    if display == "ranking":
        fitted = BiasRegressor().fit(records[["model", "dataset", "score"]])
        drawn = plotting.RankingDisplay.from_estimator(fitted, list(records["dataset"].unique()[:3]), k=None)
        axes, labels = drawn.ax_, drawn.ax_[0].get_yticklabels()
    elif display == "matrix":
        drawn = plotting.TransferabilityMatrixDisplay.from_predictions(records)
        axes, labels = [drawn.ax_], drawn.ax_.get_yticklabels()
    else:
        records[f"pair__{'long' * 20}"] = records["pair__good"]
        drawn = MeasuresDisplay.from_predictions(records)
        axes, labels = [drawn.ax_], drawn.ax_.get_yticklabels()
    drawn.figure_.canvas.draw()
    for ax in axes:
        assert ax.get_window_extent().width > 0.25 * drawn.figure_.bbox.width / len(axes)
    assert max(len(label.get_text()) for label in labels) < 40
    if display != "measures":
        # Both ends are there: what family it is of, and which of them it is.
        assert {label.get_text()[-3:] for label in labels} == {name[-3:] for name in names.values()}


def test_a_measure_that_says_nothing_has_no_points():
    records = measured().assign(pair__flat=1.0)
    display = MeasuresDisplay.from_predictions(records, measures=["pair__good", "pair__flat"], kind="scatter")
    drawn = zip(display.ax_, display.points_, strict=True)
    sizes = {ax.get_title().split(":")[0]: len(dots.get_offsets()) for ax, dots in drawn}
    assert sizes == {"good": len(records), "flat": 0}


def test_measures_leave_out_what_is_missing():
    records = measured()
    records.loc[:2, "pair__poor"] = np.nan
    records.loc[records["dataset"] == 1, "pair__poor"] = np.nan
    records.loc[records["dataset"] == 2, "score"] = 1.0
    quality = MeasuresDisplay.from_predictions(records).quality
    rest = records[(records["dataset"] == 0) & records["pair__poor"].notna()]
    assert quality.loc[0, "poor"] == pytest.approx(weightedtau(rest["score"], rest["pair__poor"])[0])
    assert quality.isna().to_dict("list") == {
        "good": [False, False, True, False, False, False],
        "poor": [False, True, True, False, False, False],
    }


def test_measures_refuse():
    records = measured()
    with pytest.raises(ValueError, match=r"records has no column named pair__\.\.\.; pass the columns"):
        MeasuresDisplay.from_predictions(records[["model", "dataset", "score"]])
    with pytest.raises(ValueError, match="records has no column 'logme'"):
        MeasuresDisplay.from_predictions(records, measures=["logme"])
    with pytest.raises(ValueError, match=r"Got kind='violin', but expected one of \['bar', 'scatter'\]"):
        MeasuresDisplay.from_predictions(records, kind="violin")
    with pytest.raises(TypeError, match="records must be a frame, got list"):
        MeasuresDisplay.from_predictions([])


# All of them


def drawn(bias, gat):
    held_out = RECORDS[UNKNOWN]
    return [
        TransferabilityMatrixDisplay.from_estimator(bias),
        RankingDisplay.from_estimator(gat, "dtd"),
        EmbeddingDisplay.from_estimator(gat),
        RegretCurveDisplay.from_estimator(bias, held_out),
        CalibrationDisplay.from_estimator(gat, held_out),
        MeasuresDisplay.from_predictions(measured()),
        ExplanationDisplay.from_predictions(explain(gat, "resnet50", "dtd", max_records=5)),
    ]


def test_every_display_draws_again_on_other_axes(bias, gat):
    displays = drawn(bias, gat)
    assert {type(display).__name__ for display in displays} == set(plotting.__all__)
    for display in displays:
        figure, ax = plt.subplots(1, np.size(display.ax_))
        assert display.plot(ax) is display
        assert np.all(display.ax_ == ax)
        assert display.figure_ is figure
        before = display.figure_
        assert display.plot().figure_ is not before
        plt.close("all")


def test_every_display_draws_on_a_part_of_a_figure(bias, gat):
    for display in drawn(bias, gat):
        figure = plt.figure(figsize=(14, 5))
        part, _ = figure.subfigures(1, 2)
        ax = part.subplots(1, np.size(display.ax_))
        assert display.plot(ax).figure_ is part
        figure.canvas.draw()
        plt.close("all")


@pytest.mark.parametrize("short", [True, False])
def test_curves_take_the_short_names_of_arguments(bias, gat, short):
    style = {"c": "red", "ls": "--", "ms": 9} if short else {"color": "red", "linestyle": "--", "markersize": 9}
    for display in (
        RegretCurveDisplay.from_estimator(bias, RECORDS[UNKNOWN], line_kwargs=style),
        CalibrationDisplay.from_estimator(gat, RECORDS[UNKNOWN], line_kwargs=style),
    ):
        line = display.line_
        assert (line.get_color(), line.get_linestyle(), line.get_markersize()) == ("red", "--", 9)


def told(figure):
    """What every text of a figure looks like once it is drawn."""
    figure.canvas.draw()
    found = [text._preprocess_math(text.get_text()) for text in figure.findobj(mpl.text.Text)]
    assert not any(is_formula for _, is_formula in found)
    return [text for text, _ in found]


def test_dollars_are_no_formula(bias):
    odd = "$x^{$ 5"
    truth, groups = RECORDS[UNKNOWN]["score"], RECORDS[UNKNOWN]["dataset"]
    pred = bias.predict(RECORDS[UNKNOWN])
    rows = pd.DataFrame({"column": ["a", odd], "value": [odd, 3], "kind": "metadata", "effect": [0.1, -0.1]})
    explanation = Explanation(odd, odd, score=0.5, std=0.1, frame=rows, n_records=0)
    numbers, groups_of = pd.Series(np.arange(5.0), name=odd), pd.Series(list("aabbc"), name=odd)
    points = np.random.default_rng(0).normal(size=(5, 3))
    drawings = {
        odd: [
            RegretCurveDisplay.from_predictions(truth, pred, groups=groups, name=odd),
            CalibrationDisplay.from_predictions(truth, pred, np.ones(len(truth)), name=odd),
            EmbeddingDisplay.from_predictions(points, color=numbers),
            EmbeddingDisplay.from_predictions(points, color=groups_of),
            TransferabilityMatrixDisplay.from_predictions(RECORDS.rename(columns={"score": odd}), target=odd),
        ],
        f"a = {odd}": [ExplanationDisplay.from_predictions(explanation)],
        f"{odd} = 3": [ExplanationDisplay.from_predictions(explanation)],
    }
    for expected, displays in drawings.items():
        for display in displays:
            assert expected in told(display.figure_)


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_every_text_can_be_read_on_its_ground(style, bias, gat):
    with plt.style.context(style):
        for display in drawn(bias, gat):
            display.figure_.canvas.draw()
            ground = mpl.colors.to_rgb(display.figure_.get_facecolor())
            for text in display.figure_.findobj(mpl.text.Text):
                if text.get_visible() and text.get_text():
                    assert np.abs(np.subtract(mpl.colors.to_rgb(text.get_color()), ground)).max() > 0.5
            for line in display.figure_.findobj(mpl.lines.Line2D):
                if line.get_gid() == "skgat-guide":
                    assert np.abs(np.subtract(mpl.colors.to_rgb(line.get_color()), ground)).max() > 0.5


def test_displays_leave_recommender_and_records_alone(bias):
    before, held_out = clone(bias).fit(RECORDS[~UNKNOWN]).predict(RECORDS), RECORDS[UNKNOWN].copy()
    RegretCurveDisplay.from_estimator(bias, held_out)
    TransferabilityMatrixDisplay.from_estimator(bias, held_out)
    pd.testing.assert_frame_equal(held_out, RECORDS[UNKNOWN])
    np.testing.assert_array_equal(bias.predict(RECORDS), before)


def test_without_matplotlib_the_extra_is_named(monkeypatch, bias):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    message = r"{} needs matplotlib, which comes with the extra 'plot': pip install 'skgat\[plot\]'"
    with pytest.raises(ImportError, match=message.format("RegretCurveDisplay.from_estimator")):
        RegretCurveDisplay.from_estimator(bias, RECORDS)
    with pytest.raises(ImportError, match=message.format("CalibrationDisplay.plot")):
        CalibrationDisplay(nominal=[0.5], coverage=[0.5]).plot()


def test_importing_the_displays_imports_no_matplotlib():
    code = "import sys, skgat; skgat.plotting.RankingDisplay; print('matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
