"""The grove: trees that hear of one fold each, a table of what they say, and its part in predictions of known pairs."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgat import MetadataEncoder, TransferabilityGAT, persistence
from skgat.datasets import make_transfer_records
from skgat.gat import grove as groves
from skgat.gat.calibration import draw_folds
from skgat.gat.grove import Grove, plant, trust_of
from skgat.graph import build_graph
from skgat.metrics import pearson
from skgat.records import read_pairs

SMALL = {"max_iter": 60, "hidden_dim": 16, "n_heads": 2, "random_state": 0}


def graph_of(scores):
    """The graph of a table of scores, NaN where there is none."""
    frame = pd.DataFrame(scores).rename_axis("model").reset_index().melt("model", None, "dataset", "score").dropna()
    return build_graph(read_pairs(TransferabilityGAT(), frame, reset=True, scores=True))


@pytest.fixture
def problem():
    """Folds over a table with gaps, and features of both sides."""
    rng = np.random.default_rng(0)
    scores = np.where(rng.random((15, 9)) < 0.2, np.nan, rng.normal(size=(15, 9)))
    graph = graph_of(scores)
    features = {"model": rng.normal(size=(15, 3)), "dataset": rng.normal(size=(9, 2))}
    return graph, features, draw_folds(graph, 4, "balanced", features["dataset"], seed=0)


class TestTable:
    def test_has_what_trees_say_of_all_pairs(self, problem, grown):
        graph, features, folds = problem
        said, of_edges, spread = plant(graph, features, folds, seed=0)
        assert said.shape == (15, 9)
        assert len(grown) == 52
        row = np.hstack([features["model"][4], features["dataset"][7]])[None]
        assert_allclose(said[4, 7], np.mean([tree.predict(row) for tree in grown]), rtol=1e-6)
        table = np.hstack([features["model"][graph.edge_models], features["dataset"][graph.edge_datasets]])
        answers = np.stack([tree.predict(table) for tree in grown])
        # A few of each fold first, then the others.
        answers = np.concatenate([answers[:12].reshape(4, 3, -1), answers[12:].reshape(4, 10, -1)], axis=1)
        assert_allclose(of_edges, answers.mean(axis=1))
        assert_allclose(spread, answers.var(axis=1, ddof=1) * (1 / 13 - 1 / 52))
        assert answers.std() > 0.1

    def test_trees_that_heard_of_one_end_alone_are_not_asked(self, problem, grown):
        graph, features, folds = problem
        said, _, _ = plant(graph, features, folds, seed=0)
        fold_of = np.concatenate([np.repeat(range(4), 3), np.repeat(range(4), 10)])
        untold = 0
        for model, dataset in np.ndindex(15, 9):
            row = np.hstack([features["model"][model], features["dataset"][dataset]])[None]
            told = [model in fold.graph.edge_models and dataset in fold.graph.edge_datasets for fold in folds]
            asked = [tree.predict(row) for tree, number in zip(grown, fold_of, strict=True) if told[number]]
            assert_allclose(said[model, dataset], np.mean(asked), rtol=1e-5)
            untold += 4 - sum(told)
        assert untold > 50

    def test_none_is_asked_of_a_pair_of_which_all_heard_of_one_end_alone(self, problem):
        graph, features, folds = problem
        alone = np.setdiff1d(np.arange(15), folds[0].graph.edge_models)
        said, _, _ = plant(graph, features, folds[:1], seed=0, promising=lambda *told: True)
        assert len(alone) == 1
        assert np.isnan(said[alone]).all()
        assert np.isnan(said).sum() == 15 + 9 - 1

    def test_of_a_few_tells_whether_it_is_worth_the_others(self, problem, grown):
        graph, features, folds = problem
        whole = plant(graph, features, folds, seed=0)
        del grown[:]
        heard = []
        assert plant(graph, features, folds, 0, lambda *told: heard.append(told)) == (None, None, None)
        assert len(grown) == 12
        ((of_edges, spread),) = heard
        table = np.hstack([features["model"][graph.edge_models], features["dataset"][graph.edge_datasets]])
        answers = np.stack([tree.predict(table) for tree in grown]).reshape(4, 3, -1)
        for number, fold in enumerate(folds):
            held = answers[number][:, fold.held]
            assert_allclose(of_edges[number, fold.held], held.mean(axis=0))
            assert_allclose(spread[number, fold.held], held.var(axis=0, ddof=1) * (1 / 3 - 1 / 52))
        for found, expected in zip(plant(graph, features, folds, 0, lambda *told: True), whole, strict=True):
            assert_array_equal(found, expected)

    def test_a_single_tree_of_each_of_many_folds_tells_no_spread(self, problem):
        graph, features, folds = problem
        said, of_edges, spread = plant(graph, features, folds * 13, seed=0, promising=lambda *told: True)
        assert np.isfinite(said).all()
        assert np.isfinite(of_edges).all()
        assert_array_equal(spread, 0.0)

    def test_each_fold_hears_of_its_own_edges_alone(self, problem):
        graph, features, folds = problem
        _, of_edges, _ = plant(graph, features, folds, seed=0)
        target = np.where(folds[0].held, 1e6, folds[0].target)
        _, deaf, _ = plant(graph, features, [replace(folds[0], target=target), *folds[1:]], seed=0)
        assert_array_equal(deaf, of_edges)
        target = np.where(folds[0].held, folds[0].target, -folds[0].target)
        _, turned, _ = plant(graph, features, [replace(folds[0], target=target), *folds[1:]], seed=0)
        assert_allclose(turned[0], -of_edges[0])
        assert_array_equal(turned[1:], of_edges[1:])

    def test_is_filled_in_blocks(self, problem, monkeypatch):
        graph, features, folds = problem
        whole = plant(graph, features, folds, seed=0)
        monkeypatch.setattr(groves, "_BLOCK", 20)
        for found, expected in zip(plant(graph, features, folds, seed=0), whole, strict=True):
            assert_array_equal(found, expected)

    def test_none_of_too_many_pairs(self, problem, monkeypatch):
        monkeypatch.setattr(groves, "_MOST_PAIRS", 15 * 9 - 1)
        assert plant(*problem, seed=0) == (None, None, None)

    def test_none_where_nothing_describes_an_end(self, problem):
        graph, features, folds = problem
        bare = {side: table[:, :0] for side, table in features.items()}
        assert plant(graph, bare, folds, seed=0) == (None, None, None)
        said, _, _ = plant(graph, features | {"model": bare["model"]}, folds, seed=0)
        assert_array_equal(np.ptp(said, axis=0), 0)


class TestPart:
    def test_of_a_prediction(self):
        grove = Grove(np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32), np.array([1.0, 0.5]), 0.4)
        values, variance = np.full(4, 10.0), np.ones(4)
        grove.join(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), values, variance)
        assert_allclose(values, [0.6 * 10 + 0.4 * 1, 0.8 * 10 + 0.2 * 2, 0.6 * 10 + 0.4 * 3, 0.8 * 10 + 0.2 * 4])
        assert_allclose(variance, [0.36, 0.64, 0.36, 0.64])

    def test_none_of_unknown_or_new_nodes(self):
        grove = Grove(np.array([[1.0, 2.0], [np.nan, np.nan]], dtype=np.float32), np.ones(2), 0.4)
        values, variance = np.full(5, 10.0), np.ones(5)
        grove.join(np.array([-1, 0, -1, 1, 0]), np.array([0, -1, -1, 1, 0]), values, variance)
        assert_allclose(values, [10, 10, 10, 10, 6.4])
        assert_allclose(variance, [1, 1, 1, 1, 0.36])

    def test_trust_grows_with_the_records_of_a_dataset(self):
        scores = np.full((12, 3), np.nan)
        scores[:, 0], scores[:6, 1], scores[:1, 2] = 1.0, 2.0, 3.0
        assert_allclose(trust_of(graph_of(scores)), [12 / 18, 6 / 12, 1 / 7])

    def test_moves_with_the_graph(self):
        scores = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=["b", "d"], columns=["q", "s"])
        graph = graph_of(scores)
        larger = graph_of(scores.reindex(index=["a", "b", "d"], columns=["q", "r", "s"]).fillna(0.0))
        grove = Grove(np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32), trust_of(graph), 0.3)
        moved = grove.moved(graph, larger)
        new = [np.nan] * 3
        assert_array_equal(moved.said, [new, [1.0, np.nan, 2.0], [3.0, np.nan, 4.0]])
        assert_array_equal(moved.trust, trust_of(larger))
        assert_array_equal(grove.said, [[1.0, 2.0], [3.0, 4.0]])

    def test_is_not_copied_where_records_alone_come_or_go(self):
        graph, fewer = graph_of([[1.0, 2.0], [3.0, 4.0]]), graph_of([[1.0, np.nan], [3.0, 4.0]])
        grove = Grove(np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32), trust_of(graph), 0.3)
        moved = grove.moved(graph, fewer)
        assert moved.said is grove.said
        assert_array_equal(moved.trust, trust_of(fewer))


def zoo_with_a_threshold(seed):
    """Models of which those above a size, beside much that does not matter, are good at datasets above another."""
    rng = np.random.default_rng(seed)
    models, datasets = rng.normal(size=(50, 6)), rng.normal(size=(30, 3))
    good = np.sign(models[:, [0]] - 0.3) * np.sign(datasets[:, 0])
    records = pd.DataFrame(good + 0.3 * rng.normal(size=(50, 30)))
    records = records.rename_axis("model").reset_index().melt("model", None, "dataset", "score")
    columns = {f"model__{number}": column[records["model"]] for number, column in enumerate(models.T)}
    places = records["dataset"].astype(int)
    columns |= {f"dataset__{number}": column[places] for number, column in enumerate(datasets.T)}
    return records.assign(**columns)


@pytest.fixture(scope="module")
def threshold():
    """Records, which of them are hidden, and a recommender that knows the others."""
    records = zoo_with_a_threshold(0)
    hidden = np.random.default_rng(1).random(len(records)) < 0.5
    return records, hidden, TransferabilityGAT(**SMALL).fit(records[~hidden])


class TestRecommender:
    def test_hears_it_where_a_threshold_decides(self, threshold):
        records, hidden, gat = threshold
        truth, groups = records.loc[hidden, "score"], records.loc[hidden, "dataset"]
        # The trees for unknown models find the threshold too.
        gat = copy.copy(gat)
        gat.forest_ = None
        heard = pearson(truth, gat.predict(records[hidden]), groups=groups)
        assert gat.grove_.share > 0.3
        without = copy.copy(gat)
        without.grove_ = None
        assert heard > pearson(truth, without.predict(records[hidden]), groups=groups) + 0.02

    def test_hardly_hears_it_where_models_differ_smoothly(self):
        bunch = make_transfer_records(40, 20, metadata_share=1.0, random_state=0)
        gat = TransferabilityGAT(**SMALL).fit(MetadataEncoder().fit_transform(bunch.records))
        assert gat.grove_ is None or gat.grove_.share < 0.25

    def test_unknown_ends_do_not_hear_it(self, threshold):
        records, _, gat = threshold
        strangers = pd.concat([records[:40].assign(model=-1), records[:40].assign(dataset="new")])
        strangers["dataset"] = strangers["dataset"].astype(object)
        without = copy.copy(gat)
        without.grove_ = None
        assert_array_equal(gat.predict(strangers), without.predict(strangers))

    def test_a_row_depends_on_itself_alone(self, threshold):
        records, _, gat = threshold
        mixed = pd.concat([records[:60], records[:5].assign(model=-1)])
        whole = gat.predict(mixed)
        for row in range(0, len(mixed), 8):
            assert_allclose(gat.predict(mixed.iloc[[row]]), whole[row], rtol=1e-12)

    def test_intervals_are_those_of_both_together(self, threshold):
        records, hidden, gat = threshold
        values, std = gat.predict(records[hidden], return_std=True)
        inside = np.abs(values - records.loc[hidden, "score"]) < 1.2816 * std
        assert 0.7 < inside.mean() < 0.9

    def test_joining_models_leave_it_to_the_others(self, threshold):
        records, hidden, _ = threshold
        known = records[records["model"] < 40]
        fitted = TransferabilityGAT(**SMALL).fit(known[~hidden[records["model"] < 40]])
        joining = records[(records["model"] >= 40) & ~hidden]
        joining = joining.assign(model=joining["model"] - 100)
        grown = copy.deepcopy(fitted).partial_fit(joining)
        assert grown.graph_.models[0] < 0
        said = grown.grove_.said
        assert np.isnan(said[:10]).all()
        assert_array_equal(said[10:], fitted.grove_.said)
        without = copy.copy(grown)
        without.grove_ = None
        moved = grown.predict(joining) - without.predict(joining)
        assert_array_equal(moved, 0)
        assert np.abs(grown.predict(known) - without.predict(known)).max() > 0.01

    def test_a_saved_file_predicts_the_same(self, threshold, tmp_path):
        records, _, gat = threshold
        persistence.save(gat, tmp_path / "gat.skgat")
        loaded = persistence.load(tmp_path / "gat.skgat")
        assert isinstance(loaded.grove_, Grove)
        for found, expected in zip(loaded.predict(records, True), gat.predict(records, True), strict=True):
            assert found.tobytes() == expected.tobytes()

    @pytest.mark.parametrize("weight", [0, 0.5])
    def test_a_given_weight_of_trees_is_that_for_unknown_models(self, threshold, weight):
        records, hidden, _ = threshold
        assert TransferabilityGAT(forest_weight=weight, **SMALL | {"max_iter": 2}).fit(records[~hidden]).grove_ is None
