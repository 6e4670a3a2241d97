"""What is learned in place of the scores, and the way back."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logit
from scipy.stats import norm

from skgat import TransferabilityGAT, presets
from skgat.baselines import BiasRegressor
from skgat.datasets import make_transfer_records
from skgat.gat.targets import fit_target
from skgat.graph import build_graph
from skgat.records import read_pairs

KINDS = ["none", "zscore", "rank", "logit", "balanced"]
SMALL = {"max_iter": 60, "hidden_dim": 16, "n_estimators": 1, "random_state": 0}


def make_graph(frame, sample_weight=None):
    return build_graph(read_pairs(BiasRegressor(), frame, sample_weight=sample_weight, reset=True, scores=True))


def table(scores):
    """Records of a dict {dataset: scores of models 0, 1, ...}."""
    rows = [(i, dataset, score) for dataset, column in scores.items() for i, score in enumerate(column)]
    return pd.DataFrame(rows, columns=["model", "dataset", "score"])


def nothing(graph):
    return np.zeros((graph.n_datasets, 0))


@pytest.fixture(scope="module")
def records():
    """Scores between 0 and 1, of datasets with levels and spreads of their own."""
    rng = np.random.default_rng(3)
    quality, levels = rng.normal(size=12), rng.uniform(0.3, 0.9, 10)
    scores = levels + 0.04 * (1 + np.arange(10) % 3) / 2 * (quality[:, None] + 0.2 * rng.normal(size=(12, 10)))
    frame = pd.DataFrame(np.clip(scores, 0.02, 0.98)).rename_axis("model").reset_index()
    frame = frame.melt("model", var_name="dataset", value_name="score")
    frame["dataset"] = frame["dataset"].astype(int)
    return frame.assign(dataset__level=levels[frame["dataset"]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigmoid", [False, True])
def test_inverse_undoes_the_transform(kind, sigmoid):
    graph = make_graph(table({"x": [0.2, 0.4, 0.9], "y": [0.5, 0.55, 0.6], "z": [0.1, 0.7, 0.3]}))
    target, scale = fit_target(kind, graph, nothing(graph), sigmoid)
    values, std = scale.inverse(target, np.ones(graph.n_edges), graph.edge_datasets, np.zeros((graph.n_edges, 0)))
    assert (std > 0).all()
    if kind not in ("rank", "balanced"):
        assert_allclose(values, graph.scores)
    else:
        for dataset in range(graph.n_datasets):
            inside = graph.edge_datasets == dataset
            assert_allclose(np.argsort(values[inside]), np.argsort(graph.scores[inside]))
    if sigmoid:
        assert target.min() >= 0.0
        assert target.max() <= 1.0


@settings(deadline=None, max_examples=50)
@given(
    scores=st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=2, max_size=12, unique=True),
    data=st.data(),
)
def test_the_target_is_standardised_and_comes_back(scores, data):
    weights = data.draw(st.lists(st.floats(0.1, 10.0), min_size=len(scores), max_size=len(scores)))
    graph = make_graph(table({"x": scores}), np.array(weights))
    target, scale = fit_target("none", graph, nothing(graph))
    assert np.average(target, weights=graph.weights) == pytest.approx(0.0, abs=1e-6)
    assert np.average(target**2, weights=graph.weights) == pytest.approx(1.0, rel=1e-6)
    values, _ = scale.inverse(target, np.ones(len(target)), graph.edge_datasets, np.zeros((len(target), 0)))
    assert_allclose(values, graph.scores, rtol=1e-9, atol=1e-9 * np.abs(scores).max())


def test_ranks_by_hand():
    graph = make_graph(table({"x": [0.3, 0.1, 0.3, 0.8], "y": [5.0, 7.0]}))
    target, scale = fit_target("rank", graph, nothing(graph))
    # Ties share the middle of their places: 0.1 is first, the two 0.3 are 2.5th, 0.8 is fourth of 4 (+ 1).
    expected = norm.ppf([2.5 / 5, 1 / 5, 2.5 / 5, 4 / 5, 1 / 3, 2 / 3])
    assert_allclose(target * scale.scale + scale.center, expected)


def moments_by_hand(graph):
    """Level and spread of each dataset: one factor after the other of level + spread x (effect + rest), ten times."""
    weights = graph.weights / graph.weights.mean()
    edges = list(zip(graph.edge_models, graph.edge_datasets, graph.scores, weights, strict=True))
    datasets, models = range(graph.n_datasets), range(graph.n_models)
    overall = sum(w * y for _, _, y, w in edges) / sum(w for *_, w in edges)
    mass = [sum(w for _, d, _, w in edges if d == dataset) for dataset in datasets]
    levels = [
        overall + sum(w * (y - overall) for _, d, y, w in edges if d == dataset) / (mass[dataset] + 2.0)
        for dataset in datasets
    ]
    spread = np.sqrt(sum(w * (y - levels[d]) ** 2 for _, d, y, w in edges) / sum(w for *_, w in edges))
    spreads = [spread for _ in datasets]
    for _ in range(10):
        effects = []
        for model in models:
            own = [(w, (y - levels[d]) / spreads[d]) for m, d, y, w in edges if m == model]
            effects.append(sum(w * z for w, z in own) / (sum(w for w, _ in own) + 1.0))
        effects = [effect - np.mean(effects) for effect in effects]
        middle = np.mean([level - overall for level in levels])
        levels = [
            overall
            + (sum(w * (y - overall - spreads[d] * effects[m]) for m, d, y, w in edges if d == dataset) + 0.3 * middle)
            / (mass[dataset] + 0.3)
            for dataset in datasets
        ]
        squares = [sum(w * (y - levels[d]) ** 2 for _, d, y, w in edges if d == dataset) for dataset in datasets]
        rests = [(m, w, ((y - levels[d]) / spreads[d] - effects[m]) ** 2) for m, d, y, w in edges]
        average = sum(w * rest for _, w, rest in rests) / sum(w for *_, w in edges)
        own = []
        for model in models:
            mine = [(w, rest) for m, w, rest in rests if m == model]
            own.append((sum(w * rest for w, rest in mine) + average) / (sum(w for w, _ in mine) + 1.0))
        middle = sum(w * own[m] for m, _, _, w in edges) / sum(w for *_, w in edges)
        own = [0.3 * one / middle for one in own]
        expected = [sum(w * (effects[m] ** 2 + own[m]) for m, d, _, w in edges if d == dataset) for dataset in datasets]
        ratios = [one / other for one, other in zip(squares, expected, strict=True)]
        typical = np.exp(sum(m * np.log(ratio) for m, ratio in zip(mass, ratios, strict=True)) / sum(mass))
        prior = 2.0 * (np.var(effects) + 0.3)
        spreads = [
            np.sqrt((one + prior * typical) / (other + prior)) for one, other in zip(squares, expected, strict=True)
        ]
    return np.array(levels), np.array(spreads)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["zscore", "balanced"])
def test_level_and_spread_by_hand(kind, weighted):
    rng = np.random.default_rng(1)
    frame = table({i: 3.0 * i + (1 + i) * rng.normal(size=7) for i in range(5)})
    frame = frame[rng.random(len(frame)) < 0.6]
    graph = make_graph(frame, rng.uniform(0.2, 3.0, len(frame)) if weighted else None)
    target, scale = fit_target(kind, graph, nothing(graph))
    levels, spreads = moments_by_hand(graph)
    assert_allclose(scale.levels, levels)
    assert_allclose(scale.spreads, spreads)
    expected = (graph.scores - levels[graph.edge_datasets]) / spreads[graph.edge_datasets]
    if kind == "balanced":
        standard = expected.copy()
        for dataset in range(graph.n_datasets):
            rows = np.flatnonzero(graph.edge_datasets == dataset)
            places = graph.scores[rows].argsort().argsort() + 1
            share = 0.25 * np.sqrt(len(rows) / (len(rows) + 2))
            expected[rows] += share * norm.ppf(places / (len(rows) + 1))
        # The way back is a line through the origin: what a step of the target is worth on average.
        slope = (graph.weights * expected * standard).sum() / (graph.weights * expected**2).sum()
        assert scale.slope == pytest.approx(slope)
        assert 0.5 < slope < 1.0
    assert_allclose(target * scale.scale + scale.center, expected)


def test_a_dataset_on_which_only_good_models_were_tried_is_not_an_easy_one():
    rng = np.random.default_rng(0)
    quality = np.linspace(-1.0, 1.0, 20)
    rows = [(m, d, 0.5 + 0.1 * quality[m] + 0.01 * rng.normal()) for d in range(12) for m in range(20)]
    frame = pd.DataFrame(rows, columns=["model", "dataset", "score"])
    frame = frame[(frame["dataset"] > 0) | (frame["model"] >= 15)]
    graph = make_graph(frame)
    _, scale = fit_target("zscore", graph, nothing(graph))
    mean = frame.loc[frame["dataset"] == 0, "score"].mean()
    assert mean - 0.5 > 0.07
    assert abs(scale.levels[0] - 0.5) < 0.02
    assert scale.spreads[0] > 1.5 * frame.loc[frame["dataset"] == 0, "score"].std()


def test_typical_models_alone_do_not_make_a_dataset_narrow():
    """Where the two models that fail now and then were not tried, the others lie as close together as elsewhere."""
    rng = np.random.default_rng(0)
    scores = 0.8 + 0.02 * rng.normal(size=(20, 30))
    scores[:2] = rng.uniform(0.1, 0.8, (2, 30))
    frame = table({dataset: list(column) for dataset, column in enumerate(scores.T)})
    tried = (frame["dataset"] != 29) | ((frame["model"] >= 2) & (frame["model"] < 12))
    graph = make_graph(frame[tried])
    _, scale = fit_target("zscore", graph, nothing(graph))
    others = np.exp(np.log(scale.spreads[:29]).mean())
    assert 0.85 * others < scale.spreads[29] < 1.1 * others


class TestRange:
    """Shares and percentages stay what they are."""

    FAR = np.array([-9.0, -3.0, -1.2, -0.4, 0.0, 0.3, 1.1, 3.0, 9.0])

    @pytest.mark.parametrize("kind", ["balanced", "zscore", "rank"])
    @pytest.mark.parametrize("unit", [1.0, 100.0])
    def test_is_kept_and_so_is_the_order(self, kind, unit):
        graph = make_graph(table({"x": [0.1 * unit, 0.8 * unit, unit], "y": [0.0, 0.5 * unit, 0.9 * unit]}))
        _, scale = fit_target(kind, graph, nothing(graph))
        for code in (0, 1):
            codes = np.full(len(self.FAR), code)
            values, std = scale.inverse(self.FAR, np.ones(len(codes)), codes, np.zeros((len(codes), 0)))
            assert (values > 0).all()
            assert (values < unit).all()
            assert (np.diff(values) > 0).all()
            assert_allclose(std, std[0])

    def test_what_lies_well_inside_is_not_moved(self):
        graph = make_graph(table({"x": [0.3, 0.5, 0.7], "y": [0.2, 0.5, 0.9]}))
        _, scale = fit_target("zscore", graph, nothing(graph))
        values = np.array([-1.0, 0.0, 1.0])
        found, _ = scale.inverse(values, values, np.zeros(3, dtype=int), np.zeros((3, 0)))
        assert_allclose(found, scale.levels[0] + scale.spreads[0] * (values * scale.scale + scale.center))

    def test_by_hand(self):
        graph = make_graph(table({"x": [0.0, 0.5, 1.0]}))
        _, scale = fit_target("zscore", graph, nothing(graph))
        level, spread = scale.levels[0], scale.spreads[0]
        margin = 0.05 * spread
        beyond = np.array([0.0, margin, 2.0])
        asked = (1.0 + beyond - level) / spread
        found, _ = scale.inverse((asked - scale.center) / scale.scale, beyond, np.zeros(3, dtype=int), np.zeros((3, 0)))
        assert_allclose(found, [1 - margin / 2, 1 - margin / 3, 1 - margin**2 / (2 * margin + 2.0)])

    @pytest.mark.parametrize("scores", [[-0.1, 0.4, 0.9], [20.0, 40.0, 101.0]])
    def test_other_scores_have_none(self, scores):
        graph = make_graph(table({"x": scores}))
        _, scale = fit_target("balanced", graph, nothing(graph))
        assert scale.limits is None
        codes = np.zeros(len(self.FAR), dtype=int)
        values, _ = scale.inverse(self.FAR, self.FAR, codes, np.zeros((len(codes), 0)))
        assert_allclose(np.diff(values) / np.diff(self.FAR), scale.spreads[0] * scale.slope * scale.scale)

    def test_the_same_perfect_score_everywhere_is_predicted_as_it_is(self, records):
        perfect = records.assign(score=1.0)
        gat = TransferabilityGAT(**SMALL | {"max_iter": 2}).fit(perfect)
        assert_allclose(gat.predict(perfect), 1.0, rtol=1e-12)

    def test_a_score_beyond_it_lifts_it(self, records):
        gat = TransferabilityGAT(**SMALL | {"max_iter": 2}).fit(records)
        assert gat.target_scale_.limits == (0.0, 1.0)
        beyond = records.iloc[[0]].assign(model=99, score=1.5)
        assert gat.partial_fit(beyond).target_scale_.limits == (0.0, 100.0)


def test_logit_of_percent_is_logit_of_shares():
    shares = table({"x": [0.2, 0.4, 0.9], "y": [0.5, 0.55, 0.6]})
    percent = shares.assign(score=shares["score"] * 100)
    results = []
    for frame in (shares, percent):
        graph = make_graph(frame)
        results.append(fit_target("logit", graph, nothing(graph)))
    (one, of_shares), (other, of_percent) = results
    assert_allclose(one, other)
    assert (of_shares.bounds, of_percent.bounds) == ((0.0, 1.0), (0.0, 100.0))
    assert_allclose(one * of_shares.scale + of_shares.center, logit([0.2, 0.4, 0.9, 0.5, 0.55, 0.6]))


def test_perfect_scores_have_a_finite_logit():
    graph = make_graph(table({"x": [0.0, 1.0, 0.5]}))
    target, scale = fit_target("logit", graph, nothing(graph))
    assert_allclose(target * scale.scale + scale.center, logit([0.005, 0.995, 0.5]), atol=1e-12)


@pytest.mark.parametrize(("scores", "said"), [([-0.1, 0.5], "-0.1 to 0.5"), ([3.0, 101.0], "3 to 101")])
def test_logit_refuses_scores_that_are_no_shares(scores, said):
    frame = table({"x": scores, "y": scores})
    message = rf'target_transform="logit" expects scores between 0 and 1 \(or 0 and 100\), but they run from {said}\.'
    with pytest.raises(ValueError, match=message):
        TransferabilityGAT(target_transform="logit", **SMALL).fit(frame)


def test_logit_keeps_the_range_of_its_fit():
    frame = table({"x": [0.2, 0.4, 0.9], "y": [0.5, 0.55, 0.6]})
    gat = TransferabilityGAT(target_transform="logit", **SMALL).fit(frame)
    before = gat.predict(frame)
    message = r"was fitted to scores between 0 and 1, but the score of model 1 on dataset 'z' is 1.01\."
    with pytest.raises(ValueError, match=message):
        gat.partial_fit(pd.DataFrame({"model": [0, 1], "dataset": "z", "score": [0.5, 1.01]}))
    assert_array_equal(gat.predict(frame), before)


def test_a_sigmoid_keeps_the_range_of_its_fit():
    frame = table({"x": [0.2, 0.4, 0.9], "y": [0.5, 0.55, 0.6]})
    gat = presets.g4trf(max_iter=5, hidden_dim=4, random_state=0).fit(frame)
    bounds = gat.target_scale_.bounds
    gat.partial_fit(pd.DataFrame({"model": [0], "dataset": ["z"], "score": [1.01]}))
    assert gat.target_scale_.bounds == bounds == (0.0, 1.0)


def test_level_and_spread_of_an_unknown_dataset_follow_its_features():
    rng = np.random.default_rng(0)
    place = np.linspace(-1.5, 1.5, 20)
    frame = table({int(i): 10 + 2 * x + np.exp(0.5 * x) * rng.normal(size=30) for i, x in enumerate(place)})
    graph = make_graph(frame)
    _, scale = fit_target("zscore", graph, place[:, None])
    new = np.array([-1.0, 0.0, 1.0])
    level, spread, error = scale.of_datasets(np.full(3, -1), new[:, None])
    assert_allclose(level, 10 + 2 * new, atol=0.6)
    # A spread is that of the models' effects and the rest together; what a step of the target is worth is the scores'.
    assert_allclose(np.log(spread * scale.slope * scale.scale), 0.5 * new, atol=0.25)
    assert_allclose(error, scale.placement.errors[0])
    assert 0.0 < error[0] < 0.6
    known_level, known_spread, none = scale.of_datasets(np.array([4, 4, 4]), new[:, None])
    assert not none.any()
    assert_allclose(known_level, scale.levels[4])
    assert_allclose(known_spread, scale.spreads[4])


def test_the_spread_that_is_expected_of_an_unknown_dataset_is_the_mean_of_the_others():
    rng = np.random.default_rng(0)
    frame = table({i: (1 + 3 * (i % 2)) * rng.normal(size=30) for i in range(40)})
    _, scale = fit_target("zscore", make_graph(frame), np.zeros((40, 0)))
    _, spread, _ = scale.of_datasets(np.array([-1]), np.zeros((1, 0)))
    assert spread[0] == pytest.approx(scale.spreads.mean(), rel=0.02)
    assert spread[0] > 1.2 * np.exp(np.log(scale.spreads).mean())


class TestFewScores:
    """Levels that are told by the scores of a dataset and by its features."""

    @pytest.fixture
    def hidden(self):
        """All scores of 20 models on 30 datasets whose level follows their place, and which of them are known."""
        rng = np.random.default_rng(0)
        place = np.linspace(-1.5, 1.5, 30)
        quality = rng.normal(size=20)
        frame = table({i: 10 + 2 * x + 0.5 * (quality + 0.5 * rng.normal(size=20)) for i, x in enumerate(place)})
        known = (frame["dataset"] % 3 > 0) | (frame["model"] == frame["dataset"] % 20)
        return frame, known, place[:, None]

    def levels(self, frame, features):
        return fit_target("zscore", make_graph(frame), features)[1].levels

    def test_a_single_score_is_weighed_against_similar_datasets(self, hidden):
        frame, known, features = hidden
        whole = self.levels(frame, features)
        few = np.arange(30) % 3 == 0
        told = self.levels(frame[known], features) - whole
        blind = self.levels(frame[known], features[:, :0]) - whole
        assert np.sqrt(np.mean(told[few] ** 2)) < 0.7 * np.sqrt(np.mean(blind[few] ** 2))

    def test_where_all_models_were_tried_the_scores_say_all(self, hidden):
        frame, known, features = hidden
        assert_allclose(self.levels(frame[known], features)[1::3], self.levels(frame[known], features[:, :0])[1::3])

    def test_features_that_tell_nothing_change_hardly_anything(self, hidden):
        frame, known, features = hidden
        noise = np.random.default_rng(1).normal(size=(30, 2))
        whole = self.levels(frame, features)
        blind = self.levels(frame[known], features[:, :0]) - whole
        told = self.levels(frame[known], noise) - whole
        assert np.sqrt(np.mean(told**2)) < 1.1 * np.sqrt(np.mean(blind**2))


def rmse(gat, frame):
    return float(np.sqrt(np.mean((gat.predict(frame) - frame["score"]) ** 2)))


@pytest.fixture(scope="module")
def errors(records):
    """Error on known pairs and on two unknown datasets, by transform; the scores in shares and in percent."""
    seen, unseen = records[records["dataset"] > 1], records[records["dataset"] <= 1]
    found = {}
    for kind in KINDS:
        for unit in (1.0, 100.0):
            scaled = [frame.assign(score=frame["score"] * unit) for frame in (seen, unseen)]
            gat = TransferabilityGAT(target_transform=kind, **SMALL | {"max_iter": 100}).fit(scaled[0])
            found[kind, unit] = [rmse(gat, frame) / unit for frame in scaled]
    return found


@pytest.mark.parametrize("kind", KINDS[1:])
def test_predictions_come_back_in_the_scale_of_the_scores(errors, records, kind):
    spread = records["score"].std()
    for found, plain in zip(errors[kind, 1.0], errors["none", 1.0], strict=True):
        assert found < plain + 0.15 * spread
        assert found < 0.5 * spread


@pytest.mark.parametrize("kind", KINDS)
def test_percent_are_learned_as_shares_are(errors, kind):
    assert_allclose(errors[kind, 100.0], errors[kind, 1.0], rtol=0.02)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 100.0)])
def test_logit_stays_within_the_bounds(low, high):
    rng = np.random.default_rng(0)
    frame = table({f"d{i}": high - (high - low) * rng.exponential(0.002, 8).clip(0, 1) for i in range(6)})
    frame["dataset__x"] = frame["dataset"].map({f"d{i}": float(i) for i in range(6)})
    gat = TransferabilityGAT(target_transform="logit", **SMALL).fit(frame)
    far = frame.assign(dataset="new", dataset__x=40.0)
    for rows in (frame, far):
        scores, std = gat.predict(rows, return_std=True)
        assert scores.min() >= low
        assert scores.max() <= high
        assert (std >= 0).all()
        assert np.isfinite(std).all()


@pytest.mark.parametrize("make", [presets.scg4trf, presets.g4trf])
def test_shares_a_little_above_one_are_no_percentages_for_a_sigmoid(make):
    zoo = make_transfer_records(12, 8, fill=0.9, random_state=0).records[["model", "dataset", "score"]]
    low = zoo["score"].min()
    for most in (1.0, 1.02):
        records = zoo.assign(score=0.5 + (most - 0.5) * (zoo["score"] - low) / np.ptp(zoo["score"]))
        found = make(max_iter=100, random_state=0).fit(records).predict(records)
        assert np.corrcoef(found, records["score"])[0, 1] > 0.5
        assert np.abs(found - records["score"]).mean() < 0.1
