"""What the regression leaves over: factors of low rank, and their part in predictions of known pairs."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skgat import TransferabilityGAT, persistence
from skgat.gat import fitting, leftover
from skgat.gat.leftover import factors_of_rest, on_edges
from skgat.graph import build_graph
from skgat.metrics import pearson
from skgat.records import read_pairs

SMALL = {"max_iter": 40, "hidden_dim": 16, "n_heads": 2, "forest_weight": 0.0, "random_state": 0}


def long_frame(scores):
    """A table of scores, NaN where there is none, as records."""
    frame = pd.DataFrame(scores).rename_axis("model").reset_index().melt("model", None, "dataset", "score")
    return frame.astype({"dataset": int}).dropna()


def graph_of(scores):
    return build_graph(read_pairs(TransferabilityGAT(), long_frame(scores), reset=True, scores=True))


def crossed(rng, n_models, n_datasets, rank=2):
    """A table of low rank with entries of unit variance."""
    return rng.normal(size=(n_models, rank)) @ rng.normal(size=(rank, n_datasets)) / np.sqrt(rank)


def products(factors):
    return factors["model"] @ factors["dataset"].T


class TestFactors:
    def test_complete_a_table_of_low_rank(self):
        rng = np.random.default_rng(0)
        truth = crossed(rng, 60, 50)
        hidden = rng.random(truth.shape) < 0.3
        graph = graph_of(np.where(hidden, np.nan, truth))
        said = products(factors_of_rest(graph, truth[graph.edge_models, graph.edge_datasets]))
        assert np.sqrt(np.mean((said - truth)[hidden] ** 2)) < 0.35
        assert_allclose(on_edges(graph, {"model": truth, "dataset": np.eye(50)}), graph.scores)

    def test_say_little_where_there_is_noise_alone(self):
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(60, 50))
        hidden = rng.random(noise.shape) < 0.3
        graph = graph_of(np.where(hidden, np.nan, noise))
        assert products(factors_of_rest(graph, graph.scores))[hidden].std() < 0.35

    @pytest.mark.parametrize(("of_one", "rank"), [(500, 4), (100, 9), (50, 15), (20, 15)])
    def test_many_records_have_more_of_them(self, monkeypatch, of_one, rank):
        """One for so many records, no fewer than a few, no more than a limit."""
        for name, value in {"_RANK": 4, "_RECORDS_OF_ONE": of_one, "_MOST_RANK": 15}.items():
            monkeypatch.setattr(leftover, name, value)
        graph = graph_of(crossed(np.random.default_rng(0), 30, 31))
        assert {table.shape[1] for table in factors_of_rest(graph, graph.scores).values()} == {rank}

    @pytest.mark.parametrize("factor", [1e-6, 1e6])
    def test_grow_with_the_rest(self, factor):
        graph = graph_of(crossed(np.random.default_rng(0), 20, 15))
        small, large = (products(factors_of_rest(graph, scale * graph.scores)) for scale in (1.0, factor))
        assert_allclose(large, factor * small, rtol=1e-6, atol=1e-9 * factor)

    def test_nothing_left_over_leaves_nothing_to_say(self):
        graph = graph_of(np.ones((6, 5)))
        assert not products(factors_of_rest(graph, np.zeros(30))).any()

    def test_nodes_without_records_have_none(self):
        graph = graph_of(crossed(np.random.default_rng(0), 12, 9))
        seen = (graph.edge_models != 3) & (graph.edge_datasets != 4)
        names = ("edge_models", "edge_datasets", "scores", "weights", "pair_features")
        part = replace(graph, **{name: getattr(graph, name)[seen] for name in names})
        factors = factors_of_rest(part, part.scores)
        assert_allclose(factors["model"][3], 0, atol=1e-12)
        assert_allclose(factors["dataset"][4], 0, atol=1e-12)
        assert np.abs(factors["model"][:3]).max() > 0.1

    def test_a_record_counts_as_much_as_its_weight(self):
        graph = graph_of(np.random.default_rng(0).normal(size=(12, 9)))
        heavy = replace(graph, weights=np.where(np.arange(graph.n_edges) == 5, 1e4, 1.0))
        off = [
            np.abs(on_edges(given, factors_of_rest(given, graph.scores)) - graph.scores)[5] for given in (graph, heavy)
        ]
        assert off[1] < 0.2 * off[0]

    def test_one_model_or_one_dataset(self):
        for shape in ((1, 7), (7, 1), (1, 1)):
            graph = graph_of(np.random.default_rng(0).normal(size=shape))
            assert np.isfinite(products(factors_of_rest(graph, graph.scores))).all()


def records_of(seed, interaction, n_models=40, n_datasets=40):
    """Models that are good at the same datasets though no metadata say so, and which results are hidden."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n_models, 1)) + interaction * crossed(rng, n_models, n_datasets)
    records = long_frame(scores + 0.2 * rng.normal(size=scores.shape))
    records = records.assign(model__size=np.log1p(records["model"]), dataset__size=np.log1p(records["dataset"]))
    return records, rng.random(len(records)) < 0.3


@pytest.fixture(scope="module")
def taste():
    records, hidden = records_of(0, 1.0)
    fitted = {weight: TransferabilityGAT(factor_weight=weight, **SMALL).fit(records[~hidden]) for weight in ("auto", 0)}
    return records, hidden, fitted


class TestRecommender:
    def test_learns_what_no_metadata_tell(self, taste):
        records, hidden, fitted = taste
        truth, groups = records.loc[hidden, "score"], records.loc[hidden, "dataset"]
        found = {weight: pearson(truth, gat.predict(records[hidden]), groups=groups) for weight, gat in fitted.items()}
        assert found["auto"] > found[0] + 0.03
        assert fitted[0].kernel_.strengths.rest == 0
        # The share of the whole prediction, of which the regression has half.
        assert 0.5 < 0.5 * fitted["auto"].kernel_.strengths.rest <= 1

    def test_has_little_to_say_where_models_differ_alike_everywhere(self):
        records, hidden = records_of(0, 0.0)
        gat = TransferabilityGAT(**SMALL).fit(records[~hidden])
        assert 0.5 * gat.kernel_.strengths.rest < 0.35

    def test_adds_its_share_to_known_pairs_alone(self, taste):
        records, hidden, fitted = taste
        gat, without = fitted["auto"], copy.copy(fitted["auto"])
        without.kernel_ = fitted[0].kernel_
        strangers = pd.concat([records[:9].assign(model=-1), records[:9].assign(dataset=-1)])
        assert_allclose(gat.predict(strangers), without.predict(strangers), rtol=1e-9)
        scale = gat.target_scale_
        unit = scale.slope * scale.scale * scale.spreads
        added = gat.kernel_.terms["model"][:, -10:] @ gat.kernel_.terms["dataset"][:, -10:].T
        pairs = records[hidden]
        moved = gat.predict(pairs) - without.predict(pairs)
        models, datasets = pairs["model"].to_numpy(), pairs["dataset"].to_numpy().astype(int)
        assert_allclose(moved, 0.5 * added[models, datasets] * unit[datasets], atol=1e-6)
        assert np.abs(moved).max() > 0.1

    def test_a_given_weight_is_its_share(self, taste):
        records, hidden, _ = taste
        few = SMALL | {"max_iter": 2}
        half, whole = (TransferabilityGAT(factor_weight=w, **few).fit(records[~hidden]).kernel_ for w in (0.5, 1.0))
        assert (half.strengths.rest, whole.strengths.rest) == (1.0, 2.0)
        for side in ("model", "dataset"):
            assert_allclose(np.sqrt(2) * half.terms[side][:, -10:], whole.terms[side][:, -10:])

    def test_what_a_fold_holds_out_has_no_part_in_its_factors(self, taste, monkeypatch):
        records, hidden, _ = taste
        heard = []
        monkeypatch.setattr(fitting, "factors_of_rest", lambda graph, rest: heard.append((graph, rest)) or {
            side: np.zeros((getattr(graph, f"n_{side}s"), 1)) for side in ("model", "dataset")
        })  # fmt: skip
        gat = TransferabilityGAT(**SMALL | {"max_iter": 2}).fit(records[~hidden])
        assert len(heard) == 4
        for graph, rest in heard:
            assert graph.n_edges == len(rest) < gat.graph_.n_edges
        assert gat.kernel_.strengths.rest == 0

    def test_intervals_are_those_of_the_whole(self, taste):
        records, hidden, fitted = taste
        values, std = fitted["auto"].predict(records[hidden], return_std=True)
        inside = np.abs(values - records.loc[hidden, "score"]) < 1.2816 * std
        assert 0.7 < inside.mean() < 0.9

    def test_new_records_are_heard_by_the_factors_too(self, taste):
        records, hidden, fitted = taste
        grown = copy.deepcopy(fitted["auto"]).partial_fit(records[hidden])
        assert grown.kernel_.strengths.rest == fitted["auto"].kernel_.strengths.rest
        truth, groups = records.loc[hidden, "score"], records.loc[hidden, "dataset"]
        before, after = (pearson(truth, gat.predict(records[hidden]), groups=groups) for gat in (fitted["auto"], grown))
        assert after > before + 0.05
        factors = grown.kernel_.terms["dataset"][:, -10:]
        assert np.abs(factors - fitted["auto"].kernel_.terms["dataset"][:, -10:]).max() > 1e-3

    def test_a_saved_file_predicts_the_same(self, taste, tmp_path):
        records, _, fitted = taste
        persistence.save(fitted["auto"], tmp_path / "gat.skgat")
        loaded = persistence.load(tmp_path / "gat.skgat")
        for found, expected in zip(loaded.predict(records, True), fitted["auto"].predict(records, True), strict=True):
            assert found.tobytes() == expected.tobytes()

    def test_without_the_regression_there_are_none(self, taste):
        records, hidden, _ = taste
        gat = TransferabilityGAT(kernel_weight=0.0, factor_weight=1.0, **SMALL | {"max_iter": 2}).fit(records[~hidden])
        assert gat.kernel_ is None

    @pytest.mark.parametrize("value", [-0.1, 1.1, "most", None])
    def test_bad_weights_are_refused(self, taste, value):
        message = "The 'factor_weight' parameter of TransferabilityGAT must be a float in the range [0.0, 1.0] or"
        with pytest.raises(ValueError) as caught:
            TransferabilityGAT(factor_weight=value).fit(taste[0])
        assert str(caught.value).startswith(message)
