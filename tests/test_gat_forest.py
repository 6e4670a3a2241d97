"""The forest: equal to scikit-learn's trees, ignorant of what it says it is, heard where it helps."""

import copy
import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgat import MetadataEncoder, TransferabilityGAT, persistence, presets
from skgat.datasets import make_transfer_records
from skgat.gat import fitting
from skgat.gat import forest as forests
from skgat.gat.calibration import Rival, Trial, blend, blend_by_order
from skgat.gat.forest import Forest, Ignorance, grow, usual_of
from skgat.gat.inference import CASES
from skgat.graph import build_graph
from skgat.metrics import pearson
from skgat.records import ROLES, read_pairs

TINY = {"max_iter": 20, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0}
SIDES = ("model", "dataset")


def make_problem(n_models=12, n_datasets=9, weighted=False, seed=0):
    """A graph, features and a target, all drawn."""
    rng = np.random.default_rng(seed)
    pairs = pd.MultiIndex.from_product([range(n_models), range(n_datasets)], names=["model", "dataset"])
    frame = pairs.to_frame(index=False).assign(score=rng.normal(size=len(pairs)))
    weights = rng.uniform(0.2, 4.0, len(frame)) if weighted else None
    graph = build_graph(read_pairs(TransferabilityGAT(), frame, sample_weight=weights, reset=True, scores=True))
    sizes = {"model": graph.n_models, "dataset": graph.n_datasets, "pair": graph.n_edges}
    features = {role: rng.normal(size=(sizes[role], width)) for role, width in zip(ROLES, (3, 2, 2), strict=True)}
    return graph, features, graph.scores - graph.scores.mean()


def of_edges(graph, features):
    ends = {side: features[side][getattr(graph, f"edge_{side}s")] for side in SIDES}
    return ends | {"pair": features["pair"]}


class TestTrees:
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("case", ["model", "both"])
    def test_say_what_the_trees_of_scikit_learn_say(self, case, weighted, grown):
        graph, features, target = make_problem(weighted=weighted)
        forest, _ = grow(graph, features, target, case, seed=0)
        assert len(grown) == len(forest.roots) == {"model": 36, "both": 60}[case]
        rng = np.random.default_rng(1)
        asked = {role: rng.normal(size=(50, features[role].shape[1])) for role in ROLES}
        datasets = rng.integers(graph.n_datasets, size=50)
        table = np.hstack([asked[role] for role in ROLES])
        if case == "model":
            mean, spread = usual_of(graph, features["pair"])
            table = np.hstack([table, (asked["pair"] - mean[datasets]) / spread[datasets]])
        said = forest.predict(asked, datasets)
        assert_allclose(said, np.mean([tree.predict(table) for tree in grown], axis=0), rtol=1e-5)
        assert np.ptp(said) > 0.1

    def test_asked_in_blocks_or_one_by_one(self, monkeypatch):
        graph, features, target = make_problem()
        forest, _ = grow(graph, features, target, "model", seed=0)
        asked = of_edges(graph, features)
        whole = forest.predict(asked, graph.edge_datasets)
        monkeypatch.setattr(forests, "_BLOCK", 7)
        assert_array_equal(forest.predict(asked, graph.edge_datasets), whole)
        one = {role: asked[role][3:4] for role in ROLES}
        assert_array_equal(forest.predict(one, graph.edge_datasets[3:4]), whole[3:4])

    @pytest.mark.parametrize("value", [1e300, -1e300])
    def test_features_beyond_what_trees_can_hold(self, value):
        graph, features, target = make_problem()
        forest, _ = grow(graph, features, target, "model", seed=0)
        far, farther = (
            {role: np.full((1, features[role].shape[1]), size) for role in ROLES} for size in (value / 1e260, value)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_array_equal(forest.predict(farther, [0]), forest.predict(far, [0]))

    def test_some_are_asked(self):
        graph, features, target = make_problem()
        forest, _ = grow(graph, features, target, "both", seed=0)
        asked = {role: values[:2] for role, values in of_edges(graph, features).items()}
        chosen = np.zeros((2, 60), dtype=bool)
        chosen[0, :2] = True
        first = {role: asked[role][:1] for role in ROLES}
        single = [replace(forest, roots=forest.roots[[number]]).predict(first, None)[0] for number in range(2)]
        assert_allclose(forest.poll(asked, None, chosen)[0], [np.mean(single), np.nan])

    @pytest.mark.parametrize("case", ["model", "both"])
    def test_a_few_vary_more_than_all(self, case):
        graph, features, target = make_problem(n_models=20)
        forest, ignorance = grow(graph, features, target, case, seed=0)
        asked, trees = of_edges(graph, features), ignorance.trees(graph.edge_models, graph.edge_datasets)
        single = [replace(forest, roots=forest.roots[[number]]) for number in range(60)]
        votes = np.column_stack([tree.predict(asked, graph.edge_datasets) for tree in single])
        for n_all, given in ((60, {}), (200, {"n_all": 200})):
            said, spread = forest.poll(asked, graph.edge_datasets, trees, **given)
            for edge in range(graph.n_edges):
                told = votes[edge, trees[edge]]
                assert said[edge] == pytest.approx(told.mean() if len(told) else np.nan, rel=1e-5, nan_ok=True)
                excess = np.var(told, ddof=1) * (1 / len(told) - 1 / n_all) if len(told) > 1 else np.nan
                assert spread[edge] == pytest.approx(excess, rel=1e-4, nan_ok=True)

    @pytest.mark.parametrize(("n_models", "n_trees"), [(5, 15), (14, 42), (20, 60), (40, 60)])
    def test_each_hears_of_four_models_in_five(self, n_models, n_trees):
        graph, features, target = make_problem(n_models=n_models, n_datasets=5)
        forest, ignorance = grow(graph, features, target, "model", seed=0)
        assert len(forest.roots) == n_trees
        assert_array_equal(ignorance.of_models.sum(axis=0), n_models - round(0.8 * n_models))
        assert ignorance.of_models.any(axis=1).all()

    @pytest.mark.parametrize("case", ["model", "both"])
    def test_the_ignorant_do_not_change_with_what_they_have_not_heard(self, case):
        graph, features, target = make_problem()
        forest, ignorance = grow(graph, features, target, case, seed=0)
        own = graph.edge_models == 4
        other, _ = grow(graph, features, np.where(own, 1e3 - target, target), case, seed=0)
        asked = {role: values[own] for role, values in of_edges(graph, features).items()}
        datasets = graph.edge_datasets[own]
        trees = ignorance.trees(graph.edge_models[own], datasets)
        assert trees.sum(axis=1).min() > 3
        assert_array_equal(forest.poll(asked, datasets, trees), other.poll(asked, datasets, trees))
        assert np.abs(forest.predict(asked, datasets) - other.predict(asked, datasets)).min() > 10

    def test_with_both_ends_unheard_the_dataset_is_too(self):
        graph, features, target = make_problem()
        own = graph.edge_datasets == 2
        turned = np.where(own, 1e3 - target, target)
        asked = {role: values[own] for role, values in of_edges(graph, features).items()}
        ends = graph.edge_models[own], graph.edge_datasets[own]
        moved = {}
        for case in ("model", "both"):
            (forest, ignorance), (other, _) = (grow(graph, features, told, case, seed=0) for told in (target, turned))
            trees = ignorance.trees(*ends)
            said = [grown.poll(asked, ends[1], trees)[0] for grown in (forest, other)]
            moved[case] = np.abs(said[1] - said[0])
        assert moved["both"].max() == 0
        assert moved["model"].min() > 1

    def test_of_a_dataset_alone_those_are_asked_that_have_not_heard_of_it(self):
        graph, features, target = make_problem()
        own = graph.edge_datasets == 2
        asked = {role: values[own] for role, values in of_edges(graph, features).items()}
        ends = graph.edge_models[own], graph.edge_datasets[own]
        (forest, ignorance), (other, _) = (
            grow(graph, features, told, "both", seed=0) for told in (target, np.where(own, 1e3 - target, target))
        )
        alone = replace(ignorance, of_models=None).trees(*ends)
        # Whether or not they have heard of the model, which about every third has not.
        assert (alone.sum(axis=1) > 1.5 * ignorance.trees(*ends).sum(axis=1)).all()
        assert_array_equal(forest.poll(asked, None, alone), other.poll(asked, None, alone))
        assert np.abs(forest.poll(asked, None, ~alone)[0] - other.poll(asked, None, ~alone)[0]).min() > 10

    @pytest.mark.parametrize("described", ["dataset", None])
    def test_none_where_nothing_describes_a_model(self, described):
        graph, features, target = make_problem()
        bare = {role: values if role == described else values[:, :0] for role, values in features.items()}
        assert grow(graph, bare, target, "model", seed=0) == (None, None)

    def test_none_of_a_few_models(self):
        graph, features, target = make_problem(n_models=4)
        assert grow(graph, features, target, "model", seed=0) == (None, None)

    def test_a_tree_of_a_large_history_looks_at_some_records(self, monkeypatch):
        graph, features, target = make_problem(n_models=40, n_datasets=40)
        whole, _ = grow(graph, features, target, "both", seed=0)
        monkeypatch.setattr(forests, "_MOST_RECORDS", 100)
        some, ignorance = grow(graph, features, target, "both", seed=0)
        assert len(some.values) < len(whole.values) / 4
        assert ignorance.of_models.shape == (40, 60)


class TestLeaves:
    @pytest.mark.parametrize(("share", "records"), [(1.0, 1), (0.0, 8)])
    def test_are_as_small_as_metadata_are_telling(self, share, records, grown):
        # Where nothing is to be learned, small leaves learn by heart, which helps nobody who was not heard of.
        graph, features, noise = make_problem(n_models=40, n_datasets=2)
        level = np.random.default_rng(1).normal(size=(40, 1))
        features = {"model": level, "dataset": features["dataset"][:, :0], "pair": features["pair"][:, :0]}
        grow(graph, features, share * level[graph.edge_models, 0] + (1.0 - share) * noise, "model", seed=0)
        # Two dozen of each kind first; those of the better one are kept.
        assert len(grown) == 3 * 24 + 36
        assert {tree.min_samples_leaf for tree in grown[-36:]} == {records}

    @pytest.mark.parametrize("case", ["model", "both"])
    def test_are_not_chosen_by_few_models_nor_where_the_dataset_is_unknown_too(self, case, grown):
        graph, features, target = make_problem(n_models=19 if case == "model" else 40)
        grow(graph, features, target, case, seed=0)
        assert len(grown) == {"model": 57, "both": 60}[case]
        assert {tree.min_samples_leaf for tree in grown} == {3}

    @pytest.mark.parametrize("weighted", [False, True])
    def test_are_judged_by_the_unheard_alone(self, weighted, monkeypatch):
        graph, features, target = make_problem(n_models=24, n_datasets=5, weighted=weighted)
        found = []
        monkeypatch.setattr(forests, "_error_unheard", lambda *given: found.append(given) or 0.0)
        grow(graph, features, target, "model", seed=0)
        monkeypatch.undo()
        assert [len(given[3].roots) for given in found] == [24, 24, 24]
        forest, ignorance = found[1][3:]
        codes = graph.edge_models, graph.edge_datasets
        trees = ignorance.trees(*codes)
        single = [replace(forest, roots=forest.roots[[number]]) for number in range(24)]
        said = np.column_stack([tree.predict(of_edges(graph, features), codes[1]) for tree in single])
        total = mass = 0.0
        for edge in range(graph.n_edges):
            heard = said[edge, trees[edge]]
            if len(heard) > 1:
                # Without bias: products of the errors of two different trees; then what sixty trees vary by.
                errors = target[edge] - heard
                products = [a * b for i, a in enumerate(errors) for j, b in enumerate(errors) if i != j]
                weight = graph.relative_weights[edge]
                total += weight * (np.mean(products) + np.var(heard, ddof=1) / 60)
                mass += weight
        assert_allclose(forests._error_unheard(graph, features, target, forest, ignorance), total / mass, rtol=1e-6)


class TestUsual:
    def test_is_the_mean_and_the_spread_of_a_dataset(self):
        graph, features, _ = make_problem(n_models=400, n_datasets=3)
        table = features["pair"] * [[1.0, 5.0]] + 10.0 * graph.edge_datasets[:, None]
        mean, spread = usual_of(graph, table)
        for dataset in range(3):
            of_it = table[graph.edge_datasets == dataset]
            assert_allclose(mean[dataset], of_it.mean(axis=0), atol=0.1)
            assert_allclose(spread[dataset], of_it.std(axis=0), rtol=0.1)

    def test_of_few_records_is_drawn_to_that_of_all(self):
        graph, features, _ = make_problem(n_models=60, n_datasets=3)
        table = features["pair"] + np.where(graph.edge_datasets == 2, 100.0, 0.0)[:, None]
        kept = (graph.edge_datasets != 2) | (graph.edge_models < 3)
        parts = {name: getattr(graph, name)[kept] for name in ("edge_models", "edge_datasets", "scores", "weights")}
        mean, _ = usual_of(replace(graph, **parts), table[kept])
        of_it, of_all = table[kept & (graph.edge_datasets == 2)].mean(axis=0), table[kept].mean(axis=0)
        assert_allclose(mean[2], (of_it + of_all) / 2)

    def test_of_what_is_the_same_for_all_models_is_nothing(self):
        graph, features, _ = make_problem()
        table = np.column_stack([features["pair"][:, 0], 0.1 * graph.edge_datasets])
        spread = usual_of(graph, table - table.mean(axis=0))[1]
        assert np.isfinite(spread).all()
        assert (spread > 0).all()

    def test_a_measure_whose_level_differs_by_dataset_ranks_unknown_models(self):
        rng = np.random.default_rng(0)
        graph, features, _ = make_problem(n_models=40, n_datasets=9)
        quality, level = rng.normal(size=40), 5.0 * rng.normal(size=9)
        measure = quality[graph.edge_models] + level[graph.edge_datasets] + 0.3 * rng.normal(size=graph.n_edges)
        features = {side: features[side][:, :0] for side in SIDES} | {"pair": measure[:, None]}
        target = quality[graph.edge_models] + 0.3 * rng.normal(size=graph.n_edges)
        found = {}
        for case in ("model", "both"):
            forest, ignorance = grow(graph, features, target, case, seed=0)
            unheard = Ignorance(ignorance.of_models, None).trees(graph.edge_models, graph.edge_datasets)
            said, _ = forest.poll(of_edges(graph, features), graph.edge_datasets, unheard)
            found[case] = pearson(target, said, groups=graph.edge_datasets)
        assert found["model"] > 0.75
        assert found["both"] < found["model"] - 0.2


class TestShares:
    def make_trial(self, off, case, n_models=20, apart=0.0):
        graph, _, _ = make_problem(n_models=n_models, n_datasets=len(off) // n_models)
        edges = np.arange(len(off))
        trial = Trial(
            off=np.asarray(off, dtype=float),
            truth=np.random.default_rng(9).normal(size=len(off)),
            untold=np.zeros(len(off)),
            edges=edges,
            groups=graph.edge_datasets,
            cases=np.full(len(off), CASES.index(case)),
            growth=np.ones(len(off)),
            apart=np.full(len(off), apart),
        )
        return trial, graph

    def test_the_one_that_errs_less_is_heard(self):
        rng = np.random.default_rng(0)
        small, large = 0.1 * rng.normal(size=400), rng.normal(size=400)
        for own, its, low, high in ((large, small, 0.6, 0.7), (small, large, 0.0, 0.05)):
            trial, graph = self.make_trial(own, "model")
            mixed, shares = blend(trial, graph, {"model": Rival.plain(its)})
            # Learned from 20 models, a share is two thirds of itself.
            assert low <= shares["model"] <= high
            assert_allclose(mixed.off, (1 - shares["model"]) * own + shares["model"] * its)

    def test_equal_and_independent_errors_are_shared_alike(self):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 40_000))
        trial, graph = self.make_trial(own, "model", n_models=200)
        _, shares = blend(trial, graph, {"model": Rival.plain(its)})
        assert shares["model"] == pytest.approx(0.5 * 200 / 210, abs=0.01)

    @pytest.mark.parametrize("luck", [0.1, 10.0])
    def test_of_an_unknown_dataset_too_the_share_is_the_same(self, luck):
        """Whether the trees were lucky or not with the few pairs of two strangers, which are blended by that share."""
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 400))
        trial, graph = self.make_trial(own, "model")
        trial.cases[::2] = CASES.index("both")
        of_both = trial.cases == CASES.index("both")
        rivals = {"model": Rival.plain(np.where(of_both, np.nan, its))}
        expected = blend(trial, graph, rivals)[1]["model"]
        assert 0.2 < expected < 0.5
        rivals["both"] = Rival.plain(np.where(of_both, luck * own, np.nan))
        mixed, shares = blend(trial, graph, rivals)
        assert shares == {"model": expected, "both": expected}
        assert_allclose(mixed.off[of_both], (1 - expected + expected * luck) * own[of_both])

    @pytest.mark.parametrize("case", ["pair", "dataset"])
    @pytest.mark.parametrize(("luck", "best"), [(0.0, 1.0), (10.0, 0.0)])
    def test_by_order_few_datasets_draw_it_to_what_is_usual(self, luck, best, case):
        """Whether the trees were lucky or not with those that were held out."""
        rng = np.random.default_rng(0)
        own, usual = rng.normal(size=400), 0.4
        trial, graph = self.make_trial(own, "model")
        known = graph.edge_datasets % 4 == 0
        trial.cases[known] = CASES.index(case)
        trust = rng.uniform(size=400)
        mixed, shares = blend_by_order(trial, graph, {case: Rival(luck * own, np.zeros(400), trust)}, usual)
        # Five datasets beside ten that would count as much as what is usual.
        assert shares == {case: pytest.approx((5 * best + 10 * usual) / 15)}
        part = shares[case] * trust[known]
        assert_allclose(mixed.off[known], (1 - part + part * luck) * own[known])
        assert_array_equal(mixed.off[~known], own[~known])

    def share_by_order(self, own, its, apart=0.0, trust=1.0, untold=0.0):
        """What is learned on 200 unknown datasets where unknown models have no share."""
        trial, graph = self.make_trial(own + untold, "dataset", n_models=200, apart=apart)
        trial.untold[:] = untold
        off = its(trial.truth, trial.groups) + untold
        rivals = {"dataset": Rival(off, np.zeros(len(own)), np.full(len(own), trust))}
        mixed, shares = blend_by_order(trial, graph, rivals, 0.0)
        assert_allclose(mixed.off, trial.off + shares["dataset"] * trust * (off - trial.off))
        return shares["dataset"] * 210 / 200

    @pytest.mark.parametrize("shrunken", [0.1, 1.0, 5.0])
    def test_by_order_the_size_of_predictions_does_not_count(self, shrunken):
        """Two that err alike, of whom one says less or more by a factor: the mix in which both say as much."""
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 40_000))
        share = self.share_by_order(own, lambda truth, _: truth - shrunken * (truth - its))
        assert share == pytest.approx(1 / (1 + shrunken), abs=0.03)

    def test_by_order_those_of_whom_a_few_were_asked_are_taken_for_all(self):
        """What a few of many vary by beyond all of them is no reason not to hear all."""
        rng = np.random.default_rng(0)
        own, its, luck = rng.normal(size=(3, 40_000))
        truth = self.make_trial(own, "dataset", n_models=200)[0].truth
        found = {}
        for name, off, spread in (("all", its, 0.0), ("few", its + 2 * luck, 4.0), ("naive", its + 2 * luck, 0.0)):
            trial, graph = self.make_trial(own, "dataset", n_models=200)
            rival = Rival(off, np.full(len(own), spread), np.ones(len(own)))
            found[name] = blend_by_order(trial, graph, {"dataset": rival}, 0.0)[1]["dataset"]
        assert truth.std() == pytest.approx(1.0, abs=0.02)
        assert found["few"] == pytest.approx(found["all"], abs=0.05)
        assert found["naive"] < found["all"] - 0.2

    def test_by_order_who_says_nothing_is_not_heard(self):
        own = 3.0 * np.random.default_rng(0).normal(size=40_000)
        assert self.share_by_order(own, lambda truth, _: truth) == 0.0

    def test_by_order_levels_of_datasets_do_not_count(self):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 40_000))
        levels = 50.0 * rng.normal(size=200)
        assert self.share_by_order(own, lambda _, datasets: its + levels[datasets]) == 0.5

    @pytest.mark.parametrize("n_single", [1, 199, 200])
    def test_by_order_a_single_result_of_a_dataset_tells_nothing(self, n_single):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 40_000))
        trial, graph = self.make_trial(own, "dataset", n_models=200)
        # Of the first datasets one model alone is held out, on which the other one is right.
        alone = (graph.edge_datasets < n_single) & (graph.edge_models == 0)
        its = np.where(alone, 0.0, np.where(graph.edge_datasets < n_single, np.nan, its))
        _, shares = blend_by_order(trial, graph, {"dataset": Rival.plain(its)}, 0.0)
        n_datasets = 200 - n_single
        assert shares["dataset"] == pytest.approx(0.5 * n_datasets / (n_datasets + 10), abs=0.06)

    def test_by_order_what_members_disagree_on_is_not_held_against_them(self):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 40_000))
        assert self.share_by_order(own, lambda *_: its, apart=0.75) == pytest.approx(0.2, abs=0.03)

    def test_by_order_the_share_is_for_those_who_are_trusted(self):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 40_000))
        assert self.share_by_order(own, lambda *_: its, trust=0.625) == pytest.approx(0.8, abs=0.03)

    def test_by_order_what_nobody_was_told_does_not_count(self):
        rng = np.random.default_rng(0)
        own, its, untold = rng.normal(size=(3, 40_000))
        assert self.share_by_order(own, lambda *_: its, untold=3.0 * untold) == 0.5

    def test_what_members_disagree_on_is_not_held_against_them(self):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 400))
        rivals = {"model": Rival.plain(its)}
        trials = [self.make_trial(own, "model", apart=apart) for apart in (0.0, 0.9)]
        shares = [blend(*trial, rivals)[1]["model"] for trial in trials]
        assert shares[1] < shares[0] / 2

    def test_a_given_share_is_taken(self):
        own, its = np.random.default_rng(0).normal(size=(2, 400))
        trial, graph = self.make_trial(own, "model", apart=0.8)
        mixed, shares = blend(trial, graph, {"model": Rival.plain(its)}, 0.25)
        assert shares == {"model": 0.25}
        assert_allclose(mixed.off, 0.75 * own + 0.25 * its)
        assert_allclose(mixed.apart, 0.75**2 * 0.8)

    def test_where_no_tree_can_tell_nothing_changes(self):
        own = np.random.default_rng(0).normal(size=400)
        trial, graph = self.make_trial(own, "model")
        its = np.where(np.arange(400) < 200, 0.0, np.nan)
        mixed, _ = blend(trial, graph, {"model": Rival.plain(its)})
        assert_array_equal(mixed.off[200:], own[200:])
        assert np.abs(mixed.off[:200]).mean() < np.abs(own[:200]).mean()

    def test_a_share_of_known_pairs_is_learned_from_pairs(self):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 400))
        trial, graph = self.make_trial(own, "pair")
        shares = blend(trial, graph, {"pair": Rival.plain(its)})[1]
        assert shares["pair"] == pytest.approx(0.5 * 400 / 440, abs=0.03)

    def test_what_a_rival_will_not_err_by_is_not_held_against_it(self):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 40_000))
        trial, graph = self.make_trial(own, "pair", n_models=200)
        rival = Rival(its, np.full(len(its), 0.75), np.ones(len(its)))
        # Half as far off as it seems, so that it is to have four fifths.
        assert blend(trial, graph, {"pair": rival})[1]["pair"] == pytest.approx(0.8, abs=0.02)

    def test_the_share_is_for_those_who_are_trusted(self):
        rng = np.random.default_rng(0)
        own, its = rng.normal(size=(2, 40_000))
        trial, graph = self.make_trial(own, "pair", n_models=200)
        trust = np.where(rng.random(len(its)) < 0.5, 0.0, 1.0)
        mixed, shares = blend(trial, graph, {"pair": Rival(its, np.zeros(len(its)), trust)})
        assert shares["pair"] == pytest.approx(0.5, abs=0.02)
        assert_allclose(mixed.off, own + shares["pair"] * trust * (its - own))
        half = Rival(its, np.zeros(len(its)), np.full(len(its), 0.625))
        assert blend(trial, graph, {"pair": half})[1]["pair"] == pytest.approx(0.8, abs=0.02)


@pytest.fixture(scope="module")
def encoded():
    return MetadataEncoder().fit_transform(make_transfer_records(14, 10, random_state=1).records)


@pytest.fixture(scope="module")
def seen(encoded):
    """Without two models and two datasets."""
    new = encoded["model"].isin(["model_12", "model_13"]) | encoded["dataset"].isin(["dataset_8", "dataset_9"])
    return encoded[~new]


@pytest.fixture(scope="module")
def by_weight(seen):
    # With all features shown in training, predictions for unknown models are not stretched.
    blunt = TINY | {"feature_dropout": 0.0}
    return {weight: TransferabilityGAT(forest_weight=weight, **blunt).fit(seen) for weight in (0, 0.3, 1)}


class TestRecommender:
    def test_only_unknown_models_are_asked_of_the_forest(self, by_weight, encoded, seen):
        known = encoded["model"].isin(seen["model"]).to_numpy()
        without, with_it = (by_weight[weight].predict(encoded) for weight in (0, 0.3))
        assert by_weight[0].forest_ is None
        assert_array_equal(with_it[known], without[known])
        assert np.abs(with_it[~known] - without[~known]).min() > 0

    def test_the_prediction_is_the_weighted_mean(self, by_weight, encoded):
        without, mixed, alone = (by_weight[weight].predict(encoded) for weight in (0, 0.3, 1))
        assert_allclose(mixed, 0.7 * without + 0.3 * alone, rtol=1e-9)

    def test_the_forest_alone_asks_nobody_else(self, by_weight, encoded, seen):
        other = TransferabilityGAT(**TINY | {"forest_weight": 1, "kernel_weight": 0.0}).fit(seen)
        new = encoded[~encoded["model"].isin(seen["model"])]
        assert_allclose(other.predict(new), by_weight[1].predict(new))
        own = other.predict(new, return_std=True)[1]
        assert (own > 0).all()

    def test_a_row_depends_on_itself_alone(self, by_weight, encoded):
        gat = by_weight[0.3]
        whole = gat.predict(encoded)
        for row in range(0, len(encoded), 11):
            assert_allclose(gat.predict(encoded.iloc[[row]]), whole[row], rtol=1e-12)

    def test_a_model_that_joins_is_known(self, by_weight, encoded):
        grown = [copy.deepcopy(by_weight[weight]).partial_fit(encoded).predict(encoded) for weight in (0, 1)]
        assert_array_equal(*grown)

    def test_a_saved_file_predicts_the_same(self, by_weight, encoded, tmp_path):
        persistence.save(by_weight[0.3], tmp_path / "gat.skgat")
        loaded = persistence.load(tmp_path / "gat.skgat")
        assert {case: type(forest) for case, forest in loaded.forest_.items()} == dict.fromkeys(
            ("model", "both"), Forest
        )
        for found, expected in zip(
            loaded.predict(encoded, return_std=True), by_weight[0.3].predict(encoded, True), strict=True
        ):
            assert found.tobytes() == expected.tobytes()

    @pytest.mark.parametrize("value", [-0.1, 1.5, "all", None])
    def test_bad_values(self, seen, value):
        message = "The 'forest_weight' parameter of TransferabilityGAT must be a float in the range [0.0, 1.0] or"
        with pytest.raises(ValueError, match=re.escape(message)):
            TransferabilityGAT(forest_weight=value, **TINY).fit(seen)

    def test_the_network_of_the_paper_has_none(self, seen):
        message = "Got forest_weight='auto', but conv=\"gatconv\" expects forest_weight=0."
        with pytest.raises(ValueError, match=re.escape(message)):
            presets.scg4trf(forest_weight="auto").fit(seen)


def need(records, models):
    """What trees are needed by known models: three parts beside as many as it has records."""
    return 3 / (3 + records["model"].value_counts().reindex(models).to_numpy())


@pytest.fixture(scope="module")
def known(encoded, seen):
    """Rows of known models, by whose trees are asked about them."""
    new = ~encoded["dataset"].isin(seen["dataset"])
    return {"model": seen, "both": encoded[encoded["model"].isin(seen["model"]) & new]}


@pytest.mark.parametrize("name", ["model", "both"])
class TestKnownModels:
    """The trees for unknown models where the model is known: on known datasets, and on unknown ones."""

    @staticmethod
    def with_share(gat, name, share):
        """The same, where the trees have a share of what they are needed for."""
        asked = copy.copy(gat)
        asked.forest_ = gat.forest_ | {name: gat.forest_[name].asked_of_known(gat.graph_, share)}
        return asked

    def test_trees_have_the_less_of_a_say_the_more_records_a_model_has(self, name, by_weight, seen, known):
        gat, rows = by_weight[0.3], known[name]
        plain = gat.predict(rows)
        part = 0.8 * need(seen, rows["model"])
        moved = self.with_share(gat, name, 0.8).predict(rows) - plain
        # What trees say themselves, in place of everybody else.
        forest = replace(gat.forest_[name], known_share=1.0, need=np.ones(gat.graph_.n_models))
        alone = copy.copy(gat)
        alone.forest_ = gat.forest_ | {name: forest}
        assert_allclose(moved, part * (alone.predict(rows) - plain), rtol=1e-9, atol=1e-12)
        assert np.ptp(part) > 0.02

    def test_all_others_are_left_alone(self, name, by_weight, encoded, known):
        others = encoded.drop(known[name].index)
        asked = self.with_share(by_weight[0.3], name, 0.8)
        assert_array_equal(asked.predict(others), by_weight[0.3].predict(others))

    def test_all_models_at_once_and_one_by_one(self, name, by_weight, known):
        asked = self.with_share(by_weight[0.3], name, 0.8)
        bare = known[name].drop(columns=[column for column in known[name] if column.startswith("pair__")])
        rows = bare.drop_duplicates("dataset").head(3)
        every = rows.loc[rows.index.repeat(len(asked.models_))].assign(model=np.tile(asked.models_, len(rows)))
        for found, expected in zip(asked.predict_all(rows, return_std=True), asked.predict(every, True), strict=True):
            assert_allclose(found.ravel(), expected, rtol=1e-6)
        assert_allclose([asked.predict(every.iloc[[row]])[0] for row in range(5)], asked.predict(every)[:5], rtol=1e-12)
        assert np.abs(asked.predict_all(rows) - by_weight[0.3].predict_all(rows)).max() > 0.001

    def test_new_records_leave_less_to_them(self, name, by_weight, seen):
        asked = self.with_share(by_weight[0.3], name, 0.8)
        more = seen[seen["dataset"] == "dataset_1"].assign(dataset="dataset_1b")
        grown = copy.deepcopy(asked).partial_fit(more)
        both = pd.concat([seen, more])
        places = np.arange(len(grown.models_))
        assert_allclose(grown.forest_[name].of_known(places), 0.8 * need(both, grown.models_))
        assert grown.forest_[name].of_known(places).sum() < asked.forest_[name].of_known(places).sum()

    def test_a_small_part_is_none(self, name, by_weight, seen):
        share = 0.02 / need(seen, ["model_00"])[0]
        asked = self.with_share(by_weight[0.3], name, share)
        expected = share * need(seen, asked.models_)
        part = asked.forest_[name].of_known(np.arange(len(asked.models_)))
        assert_allclose(part, np.where(expected >= 0.02 - 1e-12, expected, 0.0))
        assert 0 < (part == 0).sum() < len(part)

    def test_of_too_many_models_none_is_asked_about(self, name, by_weight, known, monkeypatch):
        monkeypatch.setattr(forests, "_MOST_KNOWN", by_weight[0.3].graph_.n_models - 1)
        asked = self.with_share(by_weight[0.3], name, 0.8)
        assert_array_equal(asked.predict(known[name]), by_weight[0.3].predict(known[name]))

    def test_a_saved_file_predicts_the_same(self, name, by_weight, known, tmp_path):
        asked = self.with_share(by_weight[0.3], name, 0.8)
        persistence.save(asked, tmp_path / "gat.skgat")
        assert_array_equal(persistence.load(tmp_path / "gat.skgat").predict(known[name]), asked.predict(known[name]))

    def test_a_forest_of_before_has_no_say(self, name, by_weight, known):
        """What was pickled has the attributes of its day."""
        gat = copy.copy(by_weight[0.3])
        old = copy.copy(gat.forest_[name])
        for attribute in ("floor", "known_share", "need", "told"):
            del vars(old)[attribute]
        gat.forest_ = gat.forest_ | {name: old}
        assert_array_equal(gat.predict(known[name]), by_weight[0.3].predict(known[name]))

    def test_a_given_weight_is_for_unknown_models_alone(self, name, by_weight):
        forests_of = [by_weight[weight].forest_[name] for weight in (0.3, 1)]
        assert {(forest.known_share, forest.floor) for forest in forests_of} == {(0.0, 0.0)}

    def test_some_of_it_may_be_left_however_many_records_there_are(self, name, by_weight, seen):
        gat = by_weight[0.3]
        asked = gat.forest_[name].asked_of_known(gat.graph_, 0.8, floor=0.4)
        part = asked.of_known(np.arange(gat.graph_.n_models))
        assert_allclose(part, 0.4 + 0.6 * 0.8 * need(seen, gat.models_))
        alone = gat.forest_[name].asked_of_known(gat.graph_, 0.0, floor=0.4)
        assert_allclose(alone.of_known(np.arange(gat.graph_.n_models)), 0.4)
        grown = copy.copy(gat)
        grown.forest_ = gat.forest_ | {name: alone}
        grown = copy.deepcopy(grown).partial_fit(seen[seen["dataset"] == "dataset_1"].assign(dataset="dataset_1b"))
        assert_allclose(grown.forest_[name].of_known(np.arange(len(grown.models_))), 0.4)


def test_errors_where_models_are_too_many_are_those_without_trees_for_known_ones(seen, monkeypatch):
    monkeypatch.setattr(forests, "_MOST_KNOWN", 11)
    found = TransferabilityGAT(**TINY).fit(seen)
    monkeypatch.setattr(fitting, "_ask_of_known", lambda task, trial, folds, grown: pytest.fail("they were asked"))
    assert TransferabilityGAT(**TINY).fit(seen).noise_ == found.noise_
    assert all(trees.need is None and trees.floor == 0 for trees in (found.forest_ or {}).values())


class TestToldOnce:
    """Where pairs have no features of their own, what trees say of pairs of known ends stands in a table."""

    @pytest.fixture(scope="class")
    @classmethod
    def asked(cls, seen):
        bare = seen.drop(columns=[column for column in seen if column.startswith("pair__")])
        gat = TransferabilityGAT(forest_weight=0.3, **TINY).fit(bare)
        features = {side: gat.network_.scale(side, getattr(gat.graph_, f"{side}_features")) for side in SIDES}
        features["pair"] = np.zeros((gat.graph_.n_edges, 0))
        told, untold = copy.copy(gat), copy.copy(gat)
        forest = gat.forest_["model"]
        told.forest_ = gat.forest_ | {"model": forest.asked_of_known(gat.graph_, 0.8, features)}
        untold.forest_ = gat.forest_ | {"model": forest.asked_of_known(gat.graph_, 0.8)}
        assert told.forest_["model"].told.shape == (12, 8)
        return bare, told, untold

    def test_it_says_what_they_say(self, asked):
        bare, told, untold = asked
        for found, expected in zip(told.predict(bare, True), untold.predict(bare, True), strict=True):
            assert_allclose(found, expected, rtol=1e-6)
        rows = bare.drop_duplicates("dataset")
        assert_allclose(told.predict_all(rows), untold.predict_all(rows), rtol=1e-6)

    def test_trees_are_not_asked_again(self, asked, monkeypatch):
        bare, told, _ = asked
        expected = told.predict(bare)
        monkeypatch.setattr(Forest, "predict", lambda *_: pytest.fail("trees were asked"))
        assert_array_equal(told.predict(bare), expected)

    def test_but_about_those_who_joined(self, asked):
        bare, *fits = asked
        more = bare[bare["dataset"] == "dataset_1"]
        more = pd.concat([more.assign(dataset="dataset_1b", dataset__scale_0=0.5), more.assign(model="model_03b")])
        more = more[[*bare.columns]].drop_duplicates(["model", "dataset"])
        told, untold = (copy.deepcopy(fitted).partial_fit(more) for fitted in fits)
        assert np.isnan(told.forest_["model"].told).sum() == 12 + 8 + 1
        rows = pd.concat([bare, more])
        assert_allclose(told.predict(rows), untold.predict(rows), rtol=1e-6)

    def test_not_of_too_many_pairs(self, asked, monkeypatch):
        _, told, _ = asked
        forest = told.forest_["model"]
        features = {side: told.network_.scale(side, getattr(told.graph_, f"{side}_features")) for side in SIDES}
        monkeypatch.setattr(forests, "_MOST_TOLD", 12 * 8 - 1)
        assert forest.asked_of_known(told.graph_, 0.8, features).told is None

    def test_a_saved_file_has_it(self, asked, tmp_path):
        bare, told, _ = asked
        persistence.save(told, tmp_path / "gat.skgat")
        loaded = persistence.load(tmp_path / "gat.skgat")
        assert_array_equal(loaded.forest_["model"].told, told.forest_["model"].told)
        assert_array_equal(loaded.predict(bare), told.predict(bare))


def zoo_with_a_threshold(seed, n_datasets=12):
    """Models of which those above a size, known beside much that does not matter, are good at one kind of dataset."""
    rng = np.random.default_rng(seed)
    features, kind = rng.normal(size=(80, 8)), rng.normal(size=n_datasets)
    scores = np.where(features[:, [0]] > 0.4, 1.0, -1.0) * kind + 0.2 * rng.normal(size=(80, n_datasets))
    records = pd.DataFrame(scores).rename_axis("model").reset_index().melt("model", None, "dataset", "score")
    columns = {f"model__{number}": column[records["model"]] for number, column in enumerate(features.T)}
    return records.assign(**columns, dataset__kind=kind[records["dataset"].astype(int)])


@pytest.mark.untraced
@pytest.mark.parametrize("seed", [0, 1])
def test_trees_are_heard_where_a_threshold_decides(seed):
    records = zoo_with_a_threshold(seed)
    new = records["model"] >= 60
    gat = TransferabilityGAT(max_iter=60, hidden_dim=16, n_heads=2, random_state=0).fit(records[~new])
    truth, groups = records.loc[new, "score"], records.loc[new, "dataset"]
    heard = pearson(truth, gat.predict(records[new]), groups=groups)
    assert gat.forest_["model"].share > 0.3
    gat.forest_ = None
    assert heard > pearson(truth, gat.predict(records[new]), groups=groups) + 0.05


def heard_and_not(records, few, asked, name):
    """How well predictions go with the truth within datasets, with trees and without, and their share of no records."""
    gat = TransferabilityGAT(max_iter=60, hidden_dim=16, n_heads=2, random_state=0).fit(few)
    truth, groups, forest = records.loc[asked, "score"], records.loc[asked, "dataset"], gat.forest_[name]
    share = forest.floor + (1 - forest.floor) * forest.known_share
    found = []
    for forest in (gat.forest_, None):
        gat.forest_ = forest
        found.append(pearson(truth, gat.predict(records[asked]), groups=groups))
    return *found, share


@pytest.mark.untraced
@pytest.mark.parametrize("seed", [0, 1])
def test_of_models_with_few_records_trees_know_more_on_unknown_datasets(seed):
    records = zoo_with_a_threshold(seed, n_datasets=40)
    new = records["dataset"].astype(int) >= 30
    few = records[~new].sample(frac=0.3, random_state=seed)
    heard, without, share = heard_and_not(records, few, new & records["model"].isin(few["model"]), "both")
    assert share > 0.5
    assert heard > without + 0.01


@pytest.mark.untraced
@pytest.mark.parametrize("seed", [0, 1])
def test_of_unknown_datasets_trees_know_more_than_many_records_of_a_model(seed):
    """Each of a few models is good at the datasets on one side of two thresholds."""
    rng = np.random.default_rng(seed)
    features, kind = rng.normal(size=(150, 12)), rng.normal(size=(6, 2))
    scores = np.where(features[:, :2] > 0.4, 1.0, -1.0) @ kind.T + 0.2 * rng.normal(size=(150, 6))
    records = pd.DataFrame(scores).rename_axis("dataset").reset_index().melt("dataset", None, "model", "score")
    columns = {f"dataset__{number}": column[records["dataset"]] for number, column in enumerate(features.T)}
    records = records.assign(**columns, model__kind=kind[records["model"].astype(int), 0])
    new = records["dataset"] >= 110
    heard, without, share = heard_and_not(records, records[~new], new, "both")
    assert share > 0.5
    assert heard > without + 0.02


@pytest.mark.untraced
@pytest.mark.parametrize("seed", [0, 1])
def test_of_models_with_few_records_trees_know_more_on_known_datasets(seed):
    """A measure tells the result by whether it is large for its dataset."""
    rng = np.random.default_rng(seed)
    models, datasets = np.divmod(np.arange(60 * 20), 20)
    large, level = rng.normal(size=len(models)), 5.0 * rng.normal(size=20)
    scores = np.where(large > 0.5, 1.0, 0.0) + 0.2 * rng.normal(size=len(models))
    records = pd.DataFrame({"model": models, "dataset": datasets, "score": scores})
    records = records.assign(pair__measure=large + level[datasets], dataset__size=rng.normal(size=20)[datasets])
    few = records.sample(frac=0.3, random_state=seed)
    heard, without, share = heard_and_not(records, few, ~records.index.isin(few.index), "model")
    assert share > 0.7
    assert heard > without + 0.05


def test_trees_are_hardly_heard_where_models_differ_smoothly():
    records = MetadataEncoder().fit_transform(make_transfer_records(40, 20, metadata_share=1.0, random_state=0).records)
    gat = TransferabilityGAT(max_iter=60, hidden_dim=16, n_heads=2, random_state=0).fit(records)
    assert gat.forest_ is None or "model" not in gat.forest_ or gat.forest_["model"].share < 0.25
