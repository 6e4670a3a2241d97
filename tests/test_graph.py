"""The graph: canonical order, duplicates, features of nodes, growth, additive effects, neighbours."""

import dataclasses
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skgat.baselines import BiasRegressor
from skgat.exceptions import DuplicatePairWarning
from skgat.graph import additive_effects, build_graph, extend_graph, neighbors
from skgat.records import read_pairs

IDS = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "b", "ä", "10", "9"]))


def make_graph(frame, sample_weight=None, **kwargs):
    """The graph of a record frame."""
    return build_graph(
        read_pairs(BiasRegressor(), frame, sample_weight=sample_weight, reset=True, scores=True), **kwargs
    )


def assert_same_graph(one, other):
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        assert_array_equal(left, right, err_msg=field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, field.name


def as_edges(graph):
    """{(model, dataset): (score, weight)}"""
    keys = zip(graph.models[graph.edge_models].tolist(), graph.datasets[graph.edge_datasets].tolist(), strict=True)
    return dict(zip(keys, zip(graph.scores.tolist(), graph.weights.tolist(), strict=True), strict=True))


@pytest.fixture
def records():
    return pd.DataFrame(
        {
            "model": ["vgg", "vit", "vgg", "bit", "vit"],
            "dataset": ["cars", "pets", "pets", "cars", "cars"],
            "score": [0.3, 0.9, 0.5, 0.7, 0.8],
            "model__size": [138.0, 86.0, 138.0, 25.0, 86.0],
            "classes": [196.0, 37.0, 37.0, 196.0, 196.0],
            "pair__logme": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )


def test_nodes_and_edges_are_sorted_and_keep_what_belongs_to_them(records):
    graph = make_graph(records)
    assert graph.models.tolist() == ["bit", "vgg", "vit"]
    assert graph.datasets.tolist() == ["cars", "pets"]
    assert (graph.n_models, graph.n_datasets, graph.n_edges) == (3, 2, 5)
    assert graph.edge_datasets.tolist() == [0, 0, 0, 1, 1]
    assert graph.edge_models.tolist() == [0, 1, 2, 1, 2]
    assert graph.scores.tolist() == [0.7, 0.3, 0.8, 0.5, 0.9]
    assert graph.weights.tolist() == [1.0] * 5
    assert graph.model_features.ravel().tolist() == [25.0, 138.0, 86.0]
    assert graph.dataset_features.ravel().tolist() == [196.0, 37.0]
    assert graph.pair_features.ravel().tolist() == [4.0, 1.0, 5.0, 3.0, 2.0]
    assert (graph.model_columns, graph.dataset_columns, graph.pair_columns) == (
        ("model__size",),
        ("classes",),
        ("pair__logme",),
    )


@settings(deadline=None, max_examples=60)
@given(
    pairs=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12, unique_by=lambda p: tuple(map(repr, p))),
    data=st.data(),
)
def test_order_of_the_rows_does_not_matter(pairs, data):
    rows = np.arange(len(pairs))
    frame = pd.DataFrame({"model": [p[0] for p in pairs], "dataset": [p[1] for p in pairs]}, dtype=object)
    frame["score"] = np.sin(rows + 1.0)
    codes = {repr(value): float(code) for code, value in enumerate({repr(p[0]): p[0] for p in pairs}.values())}
    frame["model__x"] = [codes[repr(p[0])] for p in pairs]
    frame["pair__y"] = np.cos(rows)
    order = data.draw(st.permutations(range(len(pairs))))
    assert_same_graph(make_graph(frame), make_graph(frame.iloc[order]))


def test_duplicates_with_different_scores_are_averaged_by_weight():
    frame = pd.DataFrame({"model": ["b", "a", "a"], "dataset": ["x", "x", "x"], "score": [0.1, 0.2, 0.8]})
    message = r"1 \(model, dataset\) pair\(s\) occur more than once .* model 'a' on dataset 'x'; their scores are avera"
    with pytest.warns(DuplicatePairWarning, match=message):
        graph = make_graph(frame, sample_weight=[1.0, 3.0, 1.0])
    edges = as_edges(graph)
    assert edges["a", "x"] == (pytest.approx((3 * 0.2 + 0.8) / 4), 4.0)
    assert edges["b", "x"] == (0.1, 1.0)


def test_duplicates_raise_on_request():
    frame = pd.DataFrame({"model": ["a", "a", "b", "b"], "dataset": [1, 1, 2, 2], "score": [0.2, 0.8, 0.3, 0.4]})
    message = r"^2 \(model, dataset\) pair\(s\) .* model 'a' on dataset 1\. Keep one score a pair, or set dup"
    with pytest.raises(ValueError, match=message):
        make_graph(frame, duplicates="raise")


@pytest.mark.parametrize("duplicates", ["mean", "raise"])
def test_duplicates_with_one_score_are_one_edge_without_a_word(duplicates):
    frame = pd.DataFrame({"model": ["a", "b", "a"], "dataset": ["x", "x", "x"], "score": [0.1, 0.5, 0.1]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = make_graph(frame, duplicates=duplicates)
    assert as_edges(graph) == {("a", "x"): (0.1, 2.0), ("b", "x"): (0.5, 1.0)}


def test_features_of_a_pair_that_differ_are_averaged_by_weight():
    frame = pd.DataFrame({"model": list("aabba"), "dataset": ["x"] * 4 + ["y"], "score": 0.5})
    frame["pair__y"], frame["pair__z"] = [0.1, 0.7, 0.3, 0.3, 0.9], [1.0, 1.0, 2.0, 2.0, 4.0]
    for order in (slice(None), slice(None, None, -1)):
        graph = make_graph(frame[order], sample_weight=np.array([3.0, 1.0, 1.0, 2.0, 1.0])[order])
        assert graph.pair_features.tolist() == [[pytest.approx(0.25), 1.0], [0.3, 2.0], [0.9, 4.0]]


def test_a_row_without_weight_is_not_there(records):
    lost = pd.DataFrame(
        {
            "model": ["ghost", "vit"],
            "dataset": ["pets", "pets"],
            "score": [0.0, 0.1],
            "model__size": [1.0, 86.0],
            "classes": [37.0, 37.0],
            "pair__logme": [9.0, 9.0],
        }
    )
    both = pd.concat([lost, records], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = make_graph(both, sample_weight=[0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert_same_graph(graph, make_graph(records))


@pytest.mark.parametrize(("column", "role"), [("model__size", "model"), ("classes", "dataset")])
def test_metadata_that_contradict_themselves_are_told(records, column, role):
    records.loc[4, column] += 1.0
    columns = {"model": ["model__size"], "dataset": ["classes"], "pair": ["pair__logme"]}
    message = f"Column '{column}' describes the {role} but differs between the records of one {role}; what the first"
    with pytest.warns(UserWarning, match=message) as caught:
        graph = make_graph(records, columns=columns)
    assert len(caught) == 1
    assert graph.model_features[:, 0].tolist() == [25.0, 138.0, 86.0]
    assert graph.dataset_features[:, 0].tolist() == [196.0, 37.0]


def test_unnamed_columns_go_where_they_are_constant(records):
    frame = records.rename(columns={"model__size": "size", "pair__logme": "logme"})
    graph = make_graph(frame)
    assert (graph.model_columns, graph.dataset_columns, graph.pair_columns) == (("size",), ("classes",), ("logme",))


def test_given_columns_are_not_inferred(records):
    columns = {"model": ["model__size"], "dataset": [], "pair": ["classes", "pair__logme"]}
    graph = make_graph(records, columns=columns)
    assert graph.dataset_features.shape == (2, 0)
    assert graph.pair_features[:, 0].tolist() == [196.0, 196.0, 196.0, 37.0, 37.0]


class TestExtendGraph:
    @pytest.fixture
    def further(self):
        return pd.DataFrame(
            {
                "model": ["vit", "beit"],
                "dataset": ["cars", "aircraft"],
                "score": [0.1, 0.6],
                "model__size": [-1.0, 300.0],
                "classes": [-1.0, 100.0],
                "pair__logme": [7.0, 8.0],
            }
        )

    def extended(self, records, further):
        graph = make_graph(records)
        columns = {role: getattr(graph, f"{role}_columns") for role in ("model", "dataset", "pair")}
        return graph, extend_graph(graph, make_graph(further, columns=columns))

    def test_new_nodes_join_and_a_known_pair_takes_its_new_score(self, records, further):
        graph, grown = self.extended(records, further)
        assert grown.models.tolist() == ["beit", "bit", "vgg", "vit"]
        assert grown.datasets.tolist() == ["aircraft", "cars", "pets"]
        expected = as_edges(graph) | {("vit", "cars"): (0.1, 1.0), ("beit", "aircraft"): (0.6, 1.0)}
        assert as_edges(grown) == expected

    def test_a_known_node_keeps_its_features_and_a_pair_takes_the_new_ones(self, records, further):
        _, grown = self.extended(records, further)
        assert grown.model_features.ravel().tolist() == [300.0, 25.0, 138.0, 86.0]
        assert grown.dataset_features.ravel().tolist() == [100.0, 196.0, 37.0]
        logme = dict(zip(as_edges(grown), grown.pair_features.ravel(), strict=True))
        assert (logme["vit", "cars"], logme["beit", "aircraft"], logme["vgg", "cars"]) == (7.0, 8.0, 1.0)

    def test_the_old_graph_is_left_alone(self, records, further):
        graph, _ = self.extended(records, further)
        assert_same_graph(graph, make_graph(records))

    def test_equals_the_graph_of_all_records_when_no_pair_occurs_twice(self, records):
        named = records.rename(columns={"classes": "dataset__classes"})
        for cut in range(1, len(named)):
            _, grown = self.extended(named[:cut], named[cut:])
            assert_same_graph(grown, make_graph(named))

    def test_ids_of_another_type_join(self, records, further):
        ids = {"vgg": 1, "vit": 2, "bit": 3}
        numbered = records.assign(model=records["model"].map(ids))
        _, grown = self.extended(numbered, further)
        assert grown.models.tolist() == [1, 2, 3, "beit", "vit"]
        edges = as_edges(grown)
        assert edges[2, "cars"] == (0.8, 1.0)
        assert edges["vit", "cars"] == (0.1, 1.0)

    @pytest.mark.parametrize(("kind", "other"), [("int64", "uint64"), ("uint64", "int64"), ("int64", "float64")])
    def test_large_numbers_stay_what_they_are(self, records, kind, other):
        """One type for both would be a float, which cannot hold them."""
        large = 2**62 + 1
        of_kind = records[:1].assign(model=np.array([large], dtype=kind))
        _, grown = self.extended(of_kind, records[1:2].assign(model=np.array([3], dtype=other)))
        assert grown.models.tolist() == [3, large]
        assert set(as_edges(grown)) == {(large, "cars"), (3, "pets")}


def ridge_oracle(graph, shrinkage):
    """The effects by one least-squares solve: shrinkage as rows of zeros beside the weighted records."""
    weights = graph.weights / graph.weights.mean()
    mean = np.average(graph.scores, weights=weights)
    n_models, n_datasets = graph.n_models, graph.n_datasets
    design = np.zeros((graph.n_edges, n_models + n_datasets))
    design[np.arange(graph.n_edges), graph.edge_models] = 1.0
    design[np.arange(graph.n_edges), n_models + graph.edge_datasets] = 1.0
    root = np.sqrt(weights)
    system = np.vstack([design * root[:, None], np.sqrt(shrinkage) * np.eye(n_models + n_datasets)])
    right = np.concatenate([(graph.scores - mean) * root, np.zeros(n_models + n_datasets)])
    effects = np.linalg.lstsq(system, right, rcond=None)[0]
    return mean, effects[:n_models], effects[n_models:]


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_additive_effects_are_the_ridge_solution(shrinkage, weighted):
    rng = np.random.default_rng(0)
    grid = pd.MultiIndex.from_product([range(7), range(5)], names=["model", "dataset"]).to_frame(index=False)
    frame = grid.sample(24, random_state=1).assign(score=rng.normal(50.0, 9.0, 24))
    graph = make_graph(frame, sample_weight=rng.uniform(0.1, 3.0, 24) if weighted else None)
    for found, expected in zip(additive_effects(graph, shrinkage), ridge_oracle(graph, shrinkage), strict=True):
        assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_graph_is_frozen_and_its_indexes_are_not_saved(records):
    graph = make_graph(records)
    blank = pickle.dumps(graph)
    assert graph.find("model", np.array(["vit", "vgg", "beit"], dtype=object)).tolist() == [2, 1, -1]
    assert len(pickle.dumps(graph)) == len(blank)
    assert_same_graph(pickle.loads(pickle.dumps(graph)), graph)
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.scores = graph.weights


def test_additive_effects_recover_an_additive_table_exactly():
    models, datasets = np.array([-0.2, 0.0, 0.2]), np.array([-0.1, 0.1])
    frame = pd.DataFrame([(i, j, 0.5 + models[i] + datasets[j]) for i in range(3) for j in range(2)])
    graph = make_graph(frame.set_axis(["model", "dataset", "score"], axis=1))
    mean, of_models, of_datasets = additive_effects(graph, shrinkage=0.0)
    assert mean == pytest.approx(0.5)
    assert_allclose(of_models, models, atol=1e-12)
    assert_allclose(of_datasets, datasets, atol=1e-12)


def test_additive_effects_are_exact_where_few_pairs_link_the_ends():
    """A chain: each model shares one dataset with the next, so that news travel far."""
    frame = pd.DataFrame([(i, i + step, (i * 7 % 5) / 10 + step) for i in range(40) for step in (0, 1)])
    graph = make_graph(frame.set_axis(["model", "dataset", "score"], axis=1))
    for shrinkage in (0.0, 0.1):
        for found, expected in zip(additive_effects(graph, shrinkage), ridge_oracle(graph, shrinkage), strict=True):
            assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("scores", [[0.5] * 4, [1e12, 1e12, 1e12, 1e12]])
def test_constant_scores_have_no_effects(scores):
    frame = pd.DataFrame({"model": ["a", "a", "b", "b"], "dataset": [1, 2, 1, 2], "score": scores})
    mean, of_models, of_datasets = additive_effects(make_graph(frame))
    assert mean == scores[0]
    assert not of_models.any()
    assert not of_datasets.any()


def test_neighbors_are_the_nearest_rows():
    rng = np.random.default_rng(0)
    known, new = rng.normal(size=(9, 3)), rng.normal(size=(4, 3))
    indices, distances = neighbors(new, known, 3)
    table = np.linalg.norm(new[:, None] - known[None], axis=-1)
    assert_array_equal(indices, np.argsort(table, axis=1)[:, :3])
    assert_allclose(distances, np.sort(table, axis=1)[:, :3])


def test_nobody_is_their_own_neighbor_even_among_equals():
    features = np.array([[0.0], [0.0], [5.0]])
    indices, distances = neighbors(features, features, 2, exclude_self=True)
    assert all(row not in set(found) for row, found in enumerate(indices))
    assert_allclose(distances[:, 0], [0.0, 0.0, 5.0])


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "n_neighbors", "exclude_self", "k"),
    [(4, 2, 0, True, 0), (4, 2, 9, True, 3), (4, 2, 9, False, 4), (1, 2, 3, True, 0), (4, 0, 3, True, 0)],
)
def test_as_many_neighbors_as_there_are(n_rows, n_columns, n_neighbors, exclude_self, k):
    features = np.arange(n_rows * n_columns, dtype=float).reshape(n_rows, n_columns)
    indices, distances = neighbors(features, features, n_neighbors, exclude_self)
    assert indices.shape == distances.shape == (n_rows, k)
