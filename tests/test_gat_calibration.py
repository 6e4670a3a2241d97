"""Honest errors: folds that a member does not hear of, what follows from them, and where the unknown is placed."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.utils import check_random_state

from skgat import MetadataEncoder, TransferabilityGAT
from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo, make_transfer_records
from skgat.gat import fitting
from skgat.gat.calibration import _FEW_ERRORS, draw_folds, errors_on_held, noise_of, scarcity, try_folds
from skgat.gat.inference import CASES
from skgat.gat.kernel import solve
from skgat.gat.placement import _LENGTHS, _MEAN, _RIDGES, place
from skgat.gat.strengths import choose_strengths
from skgat.gat.targets import _dataset_moments, fit_target, normal_scale
from skgat.graph import SIDES, build_graph
from skgat.records import read_pairs

TINY = {"max_iter": 12, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0}
KINDS = ["balanced", "zscore", "rank", "none", "logit"]


def make_frame(n_models=20, n_datasets=15, fill=0.8, seed=0):
    zoo = make_transfer_records(n_models, n_datasets, fill=fill, random_state=seed)
    frame = MetadataEncoder().fit_transform(zoo.records)
    return frame.assign(score=frame["score"].clip(0.01, 0.99))


def build(frame):
    return build_graph(read_pairs(BiasRegressor(), frame, reset=True, scores=True))


@pytest.fixture(scope="module")
def graph():
    return build(make_frame())


def standardised(table):
    return (table - table.mean(axis=0)) / np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0)


def folds_of(graph, n_folds=4, kind="balanced", seed=0):
    return draw_folds(graph, n_folds, kind, standardised(graph.dataset_features), seed)


class TestFolds:
    def test_a_member_hears_of_the_rest_and_of_nothing_else(self, graph):
        for fold in folds_of(graph):
            assert 0.05 < fold.held.mean() < 0.4
            assert fold.graph.n_edges == (~fold.held).sum()
            heard = set(zip(fold.graph.edge_models, fold.graph.edge_datasets, strict=True))
            held = set(zip(graph.edge_models[fold.held], graph.edge_datasets[fold.held], strict=True))
            assert not heard & held
            assert len(heard | held) == graph.n_edges
            assert not fold.target[fold.held].any()
            assert_allclose(fold.graph.scores, graph.scores[~fold.held])
            assert_allclose(fold.graph.pair_features, graph.pair_features[~fold.held])

    def test_whole_nodes_are_held_out_and_different_ones_by_different_members(self, graph):
        lost = {side: [] for side in SIDES}
        for fold in folds_of(graph, n_folds=6):
            for side in SIDES:
                nodes = np.arange(getattr(graph, f"n_{side}s"))
                (gone,) = np.flatnonzero(~np.isin(nodes, getattr(fold.graph, f"edge_{side}s"))[None])[None]
                assert 1 <= len(gone) <= 3
                lost[side].append(tuple(gone))
        for side in SIDES:
            assert len({node for gone in lost[side] for node in gone}) >= 6

    def test_the_seed_draws_them(self, graph):
        first, again, other = (np.stack([fold.held for fold in folds_of(graph, seed=seed)]) for seed in (0, 0, 1))
        assert (first == again).all()
        assert (first != other).any()

    @pytest.mark.parametrize("kind", KINDS)
    def test_held_scores_have_no_part_in_what_is_learned(self, graph, kind):
        for number, fold in enumerate(folds_of(graph, kind=kind)):
            scores = np.where(fold.held, np.random.default_rng(number).uniform(0.01, 0.99, graph.n_edges), graph.scores)
            other = folds_of(replace(graph, scores=scores), kind=kind)[number]
            assert (other.held == fold.held).all()
            assert other.target.tobytes() == fold.target.tobytes()
            for name in ("levels", "spreads"):
                assert getattr(other.scale, name).tobytes() == getattr(fold.scale, name).tobytes()
            assert (other.scale.center, other.scale.scale) == (fold.scale.center, fold.scale.scale)

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_units_are_those_of_what_is_heard(self, graph, kind):
        fold = folds_of(graph, kind=kind)[0]
        target, scale = fit_target(kind, fold.graph, standardised(graph.dataset_features))
        assert_allclose(fold.target[~fold.held], target)
        assert_allclose(fold.scale.levels, scale.levels)
        if kind in ("balanced", "zscore", "rank"):
            # A dataset without a record is placed by its features.
            (gone,) = set(range(graph.n_datasets)) - set(fold.graph.edge_datasets)
            # Its spread is the most likely one there; of an unknown dataset the mean one is expected.
            levels, spreads = _dataset_moments(fold.graph)
            features = standardised(graph.dataset_features)
            seen = np.arange(graph.n_datasets) != gone
            placement, _, _ = place(features[seen], np.column_stack([levels, np.log(spreads)])[seen])
            guess = placement.predict(features[[gone]])[0]
            assert_allclose([scale.levels[gone], np.log(scale.spreads[gone])], guess)

    def test_few_records_are_all_needed(self):
        frame = make_frame(6, 6, fill=1.0)
        assert folds_of(build(frame[:19])) is None
        assert folds_of(build(frame[:20])) is not None

    def test_neither_the_network_nor_the_regression_hears_of_them(self):
        """Other scores on what the only member does not hear of: the same weights, and the same guesses."""
        frame = make_frame(10, 9)
        graph = build(frame)
        seed = check_random_state(0).randint(np.iinfo(np.int32).max)
        rng = np.random.default_rng(1)
        estimators, guesses = [], []
        for shuffled in (False, True):
            params = TINY | {"n_estimators": 1, "kernel_weight": 0.0}
            told = frame.sort_values(["dataset", "model"]).reset_index(drop=True)
            (fold,) = folds_of(graph, n_folds=1, seed=seed)
            if shuffled:
                told.loc[fold.held, "score"] = rng.uniform(0.0, 1.0, fold.held.sum())
            estimator = TransferabilityGAT(**params).fit(told)
            estimators.append(estimator)
            task = fitting.prepare(estimator, estimator.graph_)
            (fold,) = folds_of(estimator.graph_, n_folds=1, seed=seed)
            target = fit_target("none", graph, None)[0]
            strengths = choose_strengths(graph, task.features, target, 0)
            head = fitting._tell(task, fold, solve(graph, task.features, target, strengths))
            guesses.append(head.predict_edges(estimator.graph_, task.features["pair"]))
        one, other = estimators
        assert (one.graph_.scores != other.graph_.scores).sum() == fold.held.sum()
        assert one.loss_curve_ == other.loss_curve_
        for name, value in one.network_.weights.items():
            assert value.tobytes() == other.network_.weights[name].tobytes(), name
        assert guesses[0].tobytes() == guesses[1].tobytes()
        # What is held out is what the errors are taken from.
        assert other.noise_["pair"] > 1.5 * one.noise_["pair"]


class TestNoise:
    def test_scarcity_by_hand(self):
        assert_allclose(scarcity([0, 1, 3, 9, 199]), [1.0, 2.0, 1.5, 1.2, 1.01])

    def test_a_scarce_node_is_less_certain(self):
        frame = make_frame(12, 12, fill=1.0)
        rare = frame["dataset"] == frame["dataset"].iloc[0]
        frame = frame[~rare | (rare & (frame["model"] < "model_03"))]
        gat = TransferabilityGAT(**TINY | {"kernel_weight": 1.0}).fit(frame)
        std = pd.Series(gat.ranking_std(frame) / gat.target_scale_.spreads[gat.graph_.edge_datasets])
        by_dataset = std.groupby(frame["dataset"].to_numpy()).mean()
        ratio = by_dataset.iloc[0] / by_dataset.iloc[1:].mean()
        # 1 + 2 / (1 + 3) against 1 + 2 / (1 + 12).
        assert ratio == pytest.approx(np.sqrt(1.5 / (1 + 2 / 13)), rel=0.02)

    def test_errors_by_hand(self, graph):
        """Where every case is met often: the sizes of the errors over their growth, one by one."""
        big = build(make_frame(40, 30, fill=0.9, seed=1))
        folds = folds_of(big, n_folds=40, kind="none")
        target, scale = fit_target("none", big, standardised(big.dataset_features))
        rng = np.random.default_rng(0)
        predictions = [rng.normal(size=big.n_edges) for _ in folds]
        disagreement = rng.uniform(0.0, 0.1, big.n_edges)
        found = {case: [] for case in CASES}
        for fold, values in zip(folds, predictions, strict=True):
            for edge in np.flatnonzero(fold.held):
                n_model = (fold.graph.edge_models == big.edge_models[edge]).sum()
                n_dataset = (fold.graph.edge_datasets == big.edge_datasets[edge]).sum()
                case = {(1, 1): "pair", (1, 0): "dataset", (0, 1): "model", (0, 0): "both"}[n_model > 0, n_dataset > 0]
                guess = (values[edge] * fold.scale.scale + fold.scale.center - scale.center) / scale.scale
                growth = scarcity(n_model) * scarcity(n_dataset)
                found[case].append(((target[edge] - guess) / np.sqrt(growth), disagreement[edge]))
        expected, easier = {}, {"pair": [], "dataset": ["pair"], "model": ["pair"], "both": ["dataset", "model"]}
        for case, parts in found.items():
            errors, apart = np.array(parts).T
            assert len(errors) >= 40
            variance = normal_scale(errors) ** 2 - apart.mean()
            if easier[case]:
                least = max(expected[name] for name in easier[case]) ** 2
                variance = (len(errors) * variance + _FEW_ERRORS * least) / (len(errors) + _FEW_ERRORS)
                variance = max(variance, least)
            expected[case] = np.sqrt(variance)
        noise, ranking = noise_of(try_folds(big, target, scale, folds, predictions, disagreement))
        assert_allclose([noise[case] for case in CASES], [expected[case] for case in CASES])
        assert all(np.isfinite(value) for value in ranking.values())

    def test_errors_where_level_and_spread_are_told(self, graph):
        folds = folds_of(graph, kind="zscore")
        target, scale = fit_target("zscore", graph, standardised(graph.dataset_features))
        rng = np.random.default_rng(0)
        predictions = [rng.normal(size=graph.n_edges) for _ in folds]
        found = errors_on_held(graph, target, scale, folds, predictions, told=True)
        expected = []
        for fold, values in zip(folds, predictions, strict=True):
            for edge in np.flatnonzero(fold.held):
                dataset = graph.edge_datasets[edge]
                standard = (graph.scores[edge] - scale.levels[dataset]) / scale.spreads[dataset]
                expected.append((standard - values[edge] * fold.scale.scale - fold.scale.center) / scale.scale)
        assert_allclose(found, expected)
        untold = errors_on_held(graph, target, scale, folds, predictions) - found
        assert np.abs(untold).max() > 0.1
        trial = try_folds(graph, target, scale, folds, predictions, np.zeros(graph.n_edges))
        assert_allclose(trial.untold, untold, atol=1e-12)
        assert_allclose(trial.truth, np.concatenate([target[fold.held] for fold in folds]))

    @pytest.mark.parametrize("kind", ["balanced", "zscore", "rank"])
    def test_what_all_models_on_a_dataset_have_in_common_is_no_error_of_the_ranking(self, graph, kind):
        folds = folds_of(graph, kind=kind)
        target, scale = fit_target(kind, graph, standardised(graph.dataset_features))
        rng = np.random.default_rng(0)
        errors = []
        for shift in (0.0, 3.0):
            levels = shift * rng.normal(size=graph.n_datasets)[graph.edge_datasets]
            predictions = [fold.target + levels for fold in folds]
            trial = try_folds(graph, target, scale, folds, predictions, np.zeros(graph.n_edges))
            errors.append(noise_of(trial))
        (plain, ranking), (shifted, ranking_of_shifted) = errors
        assert shifted["pair"] > 1.5 * plain["pair"]
        assert ranking_of_shifted["dataset"] == pytest.approx(ranking["dataset"], rel=0.25)

    @pytest.mark.parametrize("seed", range(4))
    def test_who_knows_less_is_not_more_certain(self, seed):
        """Not even where a case was met on a handful of edges that happen to be easy."""
        gat = TransferabilityGAT(**TINY | {"random_state": seed}).fit(make_frame(7, 6, fill=0.8, seed=seed))
        for noise in (gat.noise_, gat.ranking_noise_):
            assert 0 < noise["pair"] <= noise["dataset"] <= noise["both"]
            assert noise["pair"] <= noise["model"] <= noise["both"]

    def test_a_case_that_was_not_met_takes_the_error_of_those_in_which_more_is_known(self):
        frame = make_frame(4, 4, fill=1.0)
        frame = pd.concat([frame, frame.assign(model=frame["model"] + "'")])
        gat = TransferabilityGAT(**TINY).fit(frame[frame["dataset"] < "dataset_4"])
        assert gat.noise_["dataset"] == gat.noise_["pair"]
        assert gat.noise_["both"] == gat.noise_["model"]

    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_of_a_handful_of_records_it_is_what_is_left_of_them(self, share):
        frame = make_frame(4, 4, fill=1.0)
        params = TINY | {"target_transform": "none", "feature_dropout": 0.0}
        gat = TransferabilityGAT(kernel_weight=share, **params).fit(frame)
        rest = (gat.predict(frame) - frame["score"]) / frame["score"].std(ddof=0)
        assert gat.noise_["pair"] == pytest.approx(np.sqrt((rest**2).mean()), rel=1e-4)
        assert set(gat.noise_.values()) == set(gat.ranking_noise_.values()) == {gat.noise_["pair"]}


class TestNormalScale:
    def test_of_normal_errors_it_is_their_deviation(self):
        errors = 3.0 * np.random.default_rng(0).normal(size=20_000)
        assert normal_scale(errors) == pytest.approx(3.0, rel=0.02)
        assert normal_scale(-errors) == normal_scale(errors)

    @pytest.mark.parametrize("freedom", [2, 3, 5, 10])
    def test_of_heavy_tails_the_intervals_cover_what_they_say(self, freedom):
        errors = np.random.default_rng(freedom).standard_t(freedom, size=20_000)
        size = normal_scale(errors)
        inner, outer = (np.mean(np.abs(errors) < size * norm.ppf(level)) for level in (0.9, 0.975))
        assert 0.799 <= inner <= 0.841
        assert outer <= 0.951
        assert inner == pytest.approx(0.84, abs=1e-3) or outer == pytest.approx(0.95, abs=1e-3)

    def test_of_light_tails_the_inner_interval_covers_enough(self):
        errors = np.random.default_rng(0).uniform(-1.0, 1.0, 20_000)
        assert np.mean(np.abs(errors) < normal_scale(errors) * norm.ppf(0.9)) == pytest.approx(0.8, abs=0.002)

    def test_of_a_few_it_is_the_root_mean_square(self):
        assert normal_scale(np.array([3.0, -4.0])) == pytest.approx(np.sqrt(12.5))
        assert np.isnan(normal_scale(np.zeros(0)))


@pytest.mark.untraced
class TestCoverage:
    """Intervals of the normal distribution around predictions for what was held out of the zoo."""

    @pytest.fixture(scope="class")
    @staticmethod
    def off():
        """Errors in units of the standard deviation, by what is unknown."""
        found = []
        for seed in range(6):
            zoo = make_transfer_records(24, 44, fill=0.7, random_state=seed, noise=0.03)
            rng, records = np.random.default_rng(seed), zoo.records
            new = {
                side: records[side].isin(rng.choice(records[side].unique(), count, replace=False))
                for side, count in (("model", 4), ("dataset", 14))
            }
            held = new["model"] | new["dataset"] | (rng.random(len(records)) < 0.4)
            encoder = MetadataEncoder().fit(records[~held])
            gat = TransferabilityGAT(max_iter=60, hidden_dim=16, random_state=seed)
            gat.fit(encoder.transform(records[~held]))
            asked = encoder.transform(records[held])
            scores, std = gat.predict(asked, return_std=True)
            case = np.array(CASES)[(1 * new["dataset"] + 2 * new["model"])[held]]
            found.append(pd.DataFrame({"case": case, "off": np.abs(asked["score"] - scores) / std}))
        return pd.concat(found, ignore_index=True)

    def covered(self, off, share):
        return float((off["off"] < norm.ppf(0.5 + share / 2)).mean())

    @pytest.mark.parametrize("case", ["pair", "dataset"])
    def test_four_of_five_are_in_the_interval_for_four_of_five(self, off, case):
        part = off[off["case"] == case]
        assert len(part) > 500
        assert 0.75 < self.covered(part, 0.8) < 0.85
        assert 0.9 < self.covered(part, 0.95) < 0.98

    def test_of_all_together(self, off):
        assert 0.75 < self.covered(off, 0.8) < 0.85
        assert 0.9 < self.covered(off, 0.95) < 0.98

    @pytest.mark.parametrize("case", ["model", "both"])
    def test_the_few_models_that_are_unknown_are_covered_about_as_well(self, off, case):
        assert 0.65 < self.covered(off[off["case"] == case], 0.8) < 0.9


class TestPlacement:
    @pytest.fixture(scope="class")
    @staticmethod
    def values():
        rng = np.random.default_rng(0)
        features = rng.normal(size=(25, 2))
        smooth = np.sin(features[:, 0]) + 0.5 * features[:, 1] + 0.1 * rng.normal(size=25)
        return features, np.column_stack([3.0 + smooth, rng.normal(size=25)])

    def fitted(self, features, values, length, ridge):
        """Kernel ridge regression with a free constant: a bordered system, solved at once."""
        n_nodes = len(values)
        near = np.exp(-((features[:, None] - features) ** 2).mean(axis=2) / (2 * length**2))
        ones = np.ones((n_nodes, 1))
        system = np.block([[near + ridge * np.eye(n_nodes), ones], [ones.T, np.zeros((1, 1))]])
        *coefficients, constant = np.linalg.solve(system, np.append(values, 0.0))

        def predict(others):
            similar = np.exp(-((others[:, None] - features) ** 2).mean(axis=2) / (2 * length**2))
            return similar @ np.array(coefficients) + constant

        return predict

    def left_out(self, features, values, length, ridge):
        rest = []
        for node in range(len(values)):
            others = np.arange(len(values)) != node
            predict = self.fitted(features[others], values[others], length, ridge)
            rest.append(values[node] - predict(features[[node]])[0])
        return np.array(rest)

    def test_beliefs_and_errors_are_those_of_refitting(self, values):
        features, table = values
        found, others, trust = place(features, table)
        new = np.random.default_rng(1).normal(size=(6, 2))
        choices = list(product(_LENGTHS, _RIDGES))
        for column in range(2):
            truth = table[:, column]
            errors = np.array(
                [
                    (truth - truth.mean()) * 25 / 24,
                    *(self.left_out(features, truth, length, ridge) for length, ridge in choices),
                ]
            )
            prior = np.array([_MEAN, *[(1 - _MEAN) / len(choices)] * len(choices)])
            likelihood = np.mean(errors**2, axis=1) ** (-25 / 2)
            weights = prior * likelihood / (prior @ likelihood)
            assert trust[column] == pytest.approx(1 - weights[0], abs=1e-9)
            assert_allclose(others[:, column], truth - weights @ errors)
            widened = student.ppf(0.95, len(features) - 1) / norm.ppf(0.95)
            assert found.errors[column] == pytest.approx(widened * np.sqrt(np.mean((weights @ errors) ** 2)))
            told = [np.full(6, truth.mean()), *(self.fitted(features, truth, *choice)(new) for choice in choices)]
            assert_allclose(found.predict(new)[:, column], weights @ told)
        # Smooth values are told by the features to a good part, and noise hardly.
        assert found.errors[0] < 0.5 * table[:, 0].std()
        assert trust[0] > 0.99
        assert trust[1] < 0.5

    def test_of_what_luck_gives_little_is_believed(self):
        """On noise the best of all choices often beats the mean on left-out nodes."""
        rng = np.random.default_rng(2)
        trusts = [place(rng.normal(size=(8, 3)), rng.normal(size=(8, 1)))[2][0] for _ in range(40)]
        assert np.mean(trusts) < 0.35

    def test_a_little_more_or_less_evidence_changes_little(self):
        """What is said goes over from the mean to the regressions without a jump."""
        rng = np.random.default_rng(0)
        features, noise = rng.normal(size=(9, 2)), rng.normal(size=9)
        told = [place(features, (share * features[:, 0] + noise)[:, None])[2][0] for share in np.linspace(-2, 2, 401)]
        assert min(told) < 0.5
        assert max(told) > 0.9
        assert np.abs(np.diff(told)).max() < 0.1

    def test_equal_values_are_their_mean(self):
        found, others, _ = place(np.arange(8.0).reshape(4, 2), np.full((4, 1), 7.0))
        assert_allclose(found.predict(np.ones((3, 2))), 7.0)
        assert_allclose(others, 7.0)
        assert_allclose(found.errors, 0.0)

    @pytest.mark.parametrize("n_features", [0, 2])
    def test_where_features_tell_nothing_it_is_the_mean(self, n_features):
        values = np.array([[1.0], [2.0], [6.0]])
        found, *_ = place(np.zeros((3, n_features)), values)
        assert_allclose(found.predict(np.ones((2, n_features))), 3.0)
        rest = (values - 3.0) * 3 / 2
        assert_allclose(found.errors, np.sqrt(np.mean(rest**2)) * student.ppf(0.95, 2) / norm.ppf(0.95))

    def test_of_many_nodes_some_are_landmarks(self, monkeypatch, values):
        features, table = values
        monkeypatch.setattr("skgat.gat.placement._LANDMARKS", 13)
        found, others, _ = place(features, table)
        assert_allclose(found.landmarks, features[::2])
        # Others are not part of what they are asked about anyway.
        assert_allclose(others[1::2], found.predict(features[1::2]))
        assert_allclose(found.predict(features), place(features[::2], table[::2])[0].predict(features))

    def test_far_from_everything_it_is_the_constant(self, values):
        features, table = values
        found, *_ = place(features, table)
        assert_allclose(found.predict(np.full((1, 2), 1e9))[0], found.constants)
        assert_allclose(found.constants[0], 3.0, atol=2.0)


def test_what_matters_for_the_order_is_no_less_certain_than_the_score():
    records = load_vision_zoo().records
    encoded = MetadataEncoder().fit_transform(records)
    # A fit in which errors relative to the others of a dataset came out larger than the errors themselves.
    gat = TransferabilityGAT(max_iter=20, n_estimators=2, forest_weight=0.0, random_state=1).fit(encoded)
    assert (gat.ranking_std(encoded) <= gat.predict(encoded, return_std=True)[1]).all()
    assert all(gat.ranking_noise_[case] <= size for case, size in gat.noise_.items())
