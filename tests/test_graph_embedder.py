"""The graph step of TransferGraph: its graph, its vectors, unknown models and datasets, and its place in pipelines."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from pretend_device import AWAY
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, TransferabilityGAT, metrics, recommend
from skgat.embedding import GraphEmbedder
from skgat.embedding._transfer_graph import make_measures
from skgat.exceptions import DuplicatePairWarning, UnknownEntityWarning
from skgat.model_selection import LeaveDatasetsOut
from skgat.persistence import load, save

METHODS = ("node2vec", "node2vec+", "sage", "gat")
SMALL = {"n_components": 8, "max_iter": 30, "n_walks": 4, "random_state": 0, "device": "cpu"}
N_MODELS, N_DATASETS = 12, 6


def _records(seed=0):
    """Two kinds of models and of datasets; a model does well on datasets of its kind, and its measure says so."""
    rng = np.random.default_rng(seed)
    models, datasets = np.divmod(np.arange(N_MODELS * N_DATASETS), N_DATASETS)
    fits = models % 2 == datasets % 2
    strength = rng.normal(size=N_MODELS)
    return pd.DataFrame(
        {
            "model": [f"m{i:02}" for i in models],
            "dataset": [f"d{i}" for i in datasets],
            "model__size": strength[models],
            "model__kind": models % 2,
            "dataset__kind": datasets % 2,
            "dataset__level": rng.normal(size=N_DATASETS)[datasets],
            "pair__logme": fits + rng.normal(scale=0.2, size=len(models)) + datasets,
            "score": 0.5 + 0.2 * fits + rng.normal(scale=0.02, size=len(models)) + 0.03 * datasets,
        }
    )


RECORDS = _records()
#: The same with models that are good or bad everywhere.
UNEVEN = RECORDS.assign(score=RECORDS["score"] + 0.2 * RECORDS["model__size"])
DATASETS = [f"d{i}" for i in range(N_DATASETS)]


def _similarity(more=()):
    names = [*DATASETS, *more]
    kinds = np.arange(len(names)) % 2
    values = 10.0 * (kinds[:, None] == kinds) + np.add.outer(np.arange(len(names)), np.arange(len(names))) / 10
    return pd.DataFrame(values, index=names, columns=names)


@pytest.mark.parametrize("method", ["node2vec+", "gat"])
def test_a_step_size_that_is_too_large_is_named(method):
    with pytest.warns(ConvergenceWarning, match="Try a smaller learning_rate than 1e"):
        GraphEmbedder(method, **SMALL, learning_rate=1e5).fit(RECORDS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            ValueError, match=r"^Got learning_rate=1e\+30, with which training diverged: after 30 steps"
        ):
            GraphEmbedder(method, **SMALL, learning_rate=1e30).fit(RECORDS)


@pytest.fixture(scope="module", params=METHODS)
def fitted(request):
    return GraphEmbedder(request.param, **SMALL | {"max_iter": 150}).fit(RECORDS)


def _products(embedder):
    return embedder.placement_.vectors("model") @ embedder.placement_.vectors("dataset").T


def _edges(embedder, kind):
    """The edges of a kind as a dict from names to weights."""
    graph = embedder.transfer_graph_
    names = [*embedder.models_, *embedder.datasets_]
    rows = np.flatnonzero(graph.kinds == ("score", "pair", "similarity").index(kind))
    return {(names[graph.sources[row]], names[graph.targets[row]]): graph.weights[row] for row in rows}


# The graph


@pytest.mark.parametrize(("positive", "negative"), [(0.5, 0.5), (0.25, 0.4), (1.0, 0.0)])
def test_score_edges_are_the_best_share_of_each_dataset(positive, negative):
    embedder = GraphEmbedder(**SMALL, edges=("score",), positive_share=positive, negative_share=negative).fit(RECORDS)
    expected, apart = {}, set()
    for dataset, rows in RECORDS.groupby("dataset"):
        for model, rank in zip(rows["model"], rankdata(rows["score"]) / len(rows), strict=True):
            if rank > 1 - positive:
                expected[model, dataset] = rank
            elif rank <= negative:
                apart.add((model, dataset))
    assert _edges(embedder, "score") == pytest.approx(expected)
    names = np.array([*embedder.models_, *embedder.datasets_])
    assert {tuple(pair) for pair in names[embedder.transfer_graph_.negatives].tolist()} == apart
    assert not _edges(embedder, "pair")
    assert not _edges(embedder, "similarity")


def test_pair_edges_are_ranks_of_measures_that_are_there():
    records = RECORDS.assign(
        pair__hscore=-RECORDS["pair__logme"] * (RECORDS["model"] < "m03"),
        pair__hscore_missing=(RECORDS["model"] > "m08").astype(float),
    )
    embedder = GraphEmbedder(**SMALL, edges=("pair",)).fit(records)
    rows = records[records["dataset"] == "d1"]
    first = rankdata(rows["pair__logme"]) / 12
    second = np.full(12, np.nan)
    second[:9] = rankdata(rows["pair__hscore"][:9]) / 9
    ranks = np.nanmean([first, second], axis=0)
    expected = {(model, "d1"): rank for model, rank in zip(rows["model"], ranks, strict=True) if rank > 0.5}
    assert {pair: w for pair, w in _edges(embedder, "pair").items() if pair[1] == "d1"} == pytest.approx(expected)


def test_pair_columns_choose_the_measures():
    records = RECORDS.assign(pair__learning_rate=np.random.default_rng(1).uniform(size=len(RECORDS)))
    chosen = GraphEmbedder(**SMALL, pair_columns=["pair__logme"]).fit(records)
    assert _edges(chosen, "pair") == _edges(GraphEmbedder(**SMALL).fit(RECORDS), "pair")
    assert _edges(GraphEmbedder(**SMALL).fit(records), "pair") != _edges(chosen, "pair")


def test_similarity_edges_from_a_table():
    similarity = _similarity(more=["d9"])
    embedder = GraphEmbedder(**SMALL, similarity=similarity, n_neighbors=2).fit(RECORDS)
    off = similarity.to_numpy()[~np.eye(7, dtype=bool)]
    scaled = (similarity - off.min()) / np.ptp(off)
    expected = {}
    for i, one in enumerate(DATASETS):
        others = scaled.loc[one, DATASETS].drop(one).nlargest(2)
        for other, weight in others.items():
            if weight > 0:
                expected[DATASETS[min(i, DATASETS.index(other))], DATASETS[max(i, DATASETS.index(other))]] = weight
    assert _edges(embedder, "similarity") == pytest.approx(expected)


def test_a_table_in_any_units_order_and_library():
    similarity = _similarity(more=["d9"])
    shuffled = similarity.sample(frac=1, random_state=0)[list(reversed(similarity.columns))]
    tables = [
        similarity,
        100 * shuffled - 7,
        pl.from_pandas(similarity.rename_axis("id").reset_index()),
    ]
    edges = [_edges(GraphEmbedder(**SMALL, similarity=table).fit(RECORDS), "similarity") for table in tables]
    assert edges[0] == pytest.approx(edges[1])
    assert edges[0] == edges[2]


def test_a_missing_similarity_is_no_edge():
    similarity = _similarity()
    similarity.loc["d0"] = similarity["d0"] = np.nan
    edges = _edges(GraphEmbedder(**SMALL, similarity=similarity).fit(RECORDS), "similarity")
    assert edges
    assert not any("d0" in pair for pair in edges)


def test_similarity_edges_from_features():
    edges = _edges(GraphEmbedder(**SMALL, n_neighbors=2).fit(RECORDS), "similarity")
    table = RECORDS.drop_duplicates("dataset").set_index("dataset")[["dataset__kind", "dataset__level"]]
    scaled = ((table - table.mean()) / table.std(ddof=0)).to_numpy()
    distances = np.linalg.norm(scaled[:, None] - scaled, axis=2)
    nearest = np.sort(distances, axis=1)[:, 1:3]
    bandwidth = np.median(nearest)
    expected = {}
    for i, j in zip(*np.nonzero((distances <= nearest[:, 1:]) & (distances > 0)), strict=True):
        expected[DATASETS[min(i, j)], DATASETS[max(i, j)]] = np.exp(-0.5 * (distances[i, j] / bandwidth) ** 2)
    assert edges == pytest.approx(expected)


def test_rows_without_a_score_make_nodes_but_no_score_edges():
    new = RECORDS[RECORDS["dataset"] == "d0"].assign(dataset="new", score=np.nan)
    embedder = GraphEmbedder(**SMALL).fit(pd.concat([RECORDS, new]))
    assert embedder.datasets_.tolist() == [*DATASETS, "new"]
    assert len(embedder.pairs_) == len(RECORDS)
    assert not any("new" in pair for pair in _edges(embedder, "score"))
    of_pairs = _edges(embedder, "pair")
    assert {m for m, d in of_pairs if d == "new"} == {m for m, d in of_pairs if d == "d0"}
    assert any("new" in pair for pair in _edges(embedder, "similarity"))


def test_repeated_pairs_are_averaged():
    twice = pd.concat([RECORDS, RECORDS.assign(score=RECORDS["score"] + 0.3)])
    with pytest.warns(DuplicatePairWarning, match="occur more than once with different scores"):
        embedder = GraphEmbedder(**SMALL).fit(twice)
    assert_array_equal(_products(embedder), _products(GraphEmbedder(**SMALL).fit(RECORDS)))
    with pytest.raises(ValueError, match='Keep one score a pair, or set duplicates="mean"'):
        GraphEmbedder(**SMALL, duplicates="raise").fit(twice)


# What is learned


def test_communities_are_recovered(fitted):
    models, datasets = np.arange(N_MODELS) % 2, np.arange(N_DATASETS) % 2
    fits = models[:, None] == datasets
    products = _products(fitted)
    # Every model is nearer to each dataset of its kind than to any other.
    assert (np.where(fits, products, np.inf).min(axis=1) > np.where(fits, -np.inf, products).max(axis=1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_one_result(method):
    embedder = GraphEmbedder(method, **SMALL)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = embedder.fit_transform(RECORDS)
    shuffled = clone(embedder).fit(RECORDS.sample(frac=1, random_state=1)).transform(RECORDS)
    assert_frame_equal(one, shuffled)
    assert (one != clone(embedder).set_params(random_state=1).fit_transform(RECORDS)).any(axis=None)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("method", METHODS)
def test_scores_reach_the_vectors_and_hidden_ones_do_not(method):
    """With scores of pure chance, vectors know those that they saw and nothing of the rest."""
    rng = np.random.default_rng(3)
    records = pd.DataFrame(
        {"model": np.repeat(np.arange(60), 12), "dataset": np.tile(np.arange(12), 60), "score": rng.normal(size=720)}
    )
    hidden = rng.random(720) < 0.4
    truth = records["score"].to_numpy()
    embedder = GraphEmbedder(method, **SMALL | {"n_components": 16, "max_iter": 100})
    embedder.fit(records.assign(score=np.where(hidden, np.nan, truth)))
    products = _products(embedder).ravel()
    assert np.corrcoef(products[~hidden], truth[~hidden])[0, 1] > 0.25
    assert abs(np.corrcoef(products[hidden], truth[hidden])[0, 1]) < 0.15


def test_the_target_column_of_transform_is_not_read(fitted):
    rows = pd.concat([RECORDS, RECORDS[:4].assign(dataset="new"), RECORDS[:6].assign(model="new")], ignore_index=True)
    other = rows.assign(score=np.random.default_rng(0).permutation(rows["score"]))
    assert_frame_equal(fitted.transform(rows), fitted.transform(other))
    assert_frame_equal(fitted.transform(rows), fitted.transform(rows.drop(columns="score")))


def test_levels_of_scores_and_measures_do_not_matter():
    shift = RECORDS["dataset"].str[1].astype(float)
    shifted = RECORDS.assign(score=3 * RECORDS["score"] + shift, pair__logme=RECORDS["pair__logme"] - 9 * shift)
    one, two = GraphEmbedder(**SMALL).fit(RECORDS), GraphEmbedder(**SMALL).fit(shifted)
    assert_array_equal(_products(one), _products(two))


# Unknown models and datasets


def test_rows_do_not_depend_on_each_other(fitted):
    rng = np.random.default_rng(0)
    rows = RECORDS.sample(30, random_state=0).reset_index(drop=True)
    rows["dataset"] = np.where(rng.random(30) < 0.5, "new" + rows["dataset"], rows["dataset"])
    rows["model"] = np.where(rng.random(30) < 0.5, "new" + rows["model"], rows["model"])
    whole = fitted.transform(rows).to_numpy()
    assert_allclose(fitted.transform(rows[::-1]).to_numpy()[::-1], whole, atol=1e-12)
    parts = [fitted.transform(rows.iloc[[i]]).to_numpy() for i in range(30)]
    assert_allclose(np.vstack(parts), whole, atol=1e-12)


def test_an_unknown_dataset_is_the_weighted_mean_of_similar_ones():
    similarity = _similarity(more=["d9"])
    embedder = GraphEmbedder(**SMALL, similarity=similarity, n_neighbors=3).fit(RECORDS)
    rows = RECORDS[RECORDS["dataset"] == "d0"].assign(dataset="d9", pair__logme=-9.0)  # no measure speaks for a pair
    off = similarity.to_numpy()[~np.eye(7, dtype=bool)]
    weights = ((similarity.loc["d9", DATASETS] - off.min()) / np.ptp(off)).nlargest(3)
    expected = weights @ embedder.embeddings("dataset").loc[weights.index] / weights.sum()
    found = embedder.transform(rows).filter(like="dataset__g")
    assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-6)


def test_a_table_places_a_dataset_without_features():
    bare = RECORDS[["model", "dataset", "score"]]
    embedder = GraphEmbedder(**SMALL, similarity=_similarity(more=["d9"]), n_neighbors=1).fit(bare)
    found = embedder.transform(bare[:1].assign(dataset="d9")).filter(like="dataset__g")
    assert_allclose(found.iloc[0], embedder.embeddings("dataset").loc["d4"], rtol=1e-6)


def test_a_measure_links_an_unknown_dataset_to_the_model_of_its_row():
    similarity = _similarity(more=["d9"])
    embedder = GraphEmbedder(**SMALL, similarity=similarity, n_neighbors=1, positive_share=0.3).fit(RECORDS)
    values = np.sort(RECORDS["pair__logme"])
    rows = RECORDS[:2].assign(dataset="d9", model="m03", pair__logme=[values[60], values[30]])
    standing = np.interp(values[60], np.quantile(values, np.linspace(0, 1, 101)), np.linspace(0, 1, 101))
    off = similarity.to_numpy()[~np.eye(7, dtype=bool)]
    weight = (similarity.loc["d9", "d4"] - off.min()) / np.ptp(off)
    similar, model = embedder.embeddings("dataset").loc["d4"], embedder.embeddings("model").loc["m03"]
    found = embedder.transform(rows).filter(like="dataset__g").to_numpy()
    assert_allclose(found[0], (weight * similar + standing * model) / (weight + standing), rtol=1e-6)
    assert_allclose(found[1], similar, rtol=1e-6)


def test_a_measure_that_many_pairs_share_stands_in_their_middle():
    measures = make_measures(pd.DataFrame({"m": np.repeat([0.0, 1.0], [60, 40])}))
    assert_allclose(measures.standing(pd.DataFrame({"m": [-1.0, 0.0, 1.0, 2.0]})), [0.0, 0.295, 0.805, 1.0])


def test_an_unknown_model_is_placed_by_its_features():
    embedder = GraphEmbedder(**SMALL, edges=("score", "similarity"), n_neighbors=1).fit(RECORDS)
    rows = RECORDS[RECORDS["model"] == "m04"].assign(model="twin of m04")
    found = embedder.transform(rows).filter(like="model__g").to_numpy()
    assert_allclose(found, np.broadcast_to(embedder.embeddings("model").loc["m04"], found.shape), rtol=1e-6)


def test_unknown_ones_stand_with_their_kind(fitted):
    """A new dataset that is described like the even ones suits the even models, and so do new models new datasets."""
    rows = RECORDS[RECORDS["dataset"].isin(["d2", "d3"])].copy()
    rows["dataset"] = "new" + rows["dataset"]
    found = fitted.transform(rows)
    products = (found.filter(like="model__g").to_numpy() * found.filter(like="dataset__g").to_numpy()).sum(axis=1)
    fits = (rows["model__kind"] == rows["dataset__kind"]).to_numpy()
    assert products[fits].mean() > products[~fits].mean()


def test_the_layers_place_a_twin_near_its_original():
    """What the network has not seen but is described like a known model ends up nearer to it than others are."""
    records = RECORDS.assign(model__kind=RECORDS["model__kind"] * 10)
    for method in ("sage", "gat"):
        embedder = GraphEmbedder(method, **SMALL | {"max_iter": 200}).fit(records)
        twins = records.drop_duplicates("model").assign(model=lambda rows: "new" + rows["model"])
        found = embedder.transform(twins).filter(like="model__g").to_numpy()
        known = embedder.placement_.vectors("model")
        kinds = np.arange(N_MODELS) % 2
        assert ((found @ known.T) * np.where(kinds[:, None] == kinds, 1, -1)).mean() > 0


def test_nothing_to_go_by_is_the_mean_and_a_warning():
    records = RECORDS[["model", "dataset", "score"]]
    embedder = GraphEmbedder(**SMALL).fit(records)
    row = pd.DataFrame({"model": ["m00"], "dataset": ["nowhere"]})
    with pytest.warns(UnknownEntityWarning, match=r"1 unknown dataset\(s\), such as 'nowhere'"):
        found = embedder.transform(row)
    mean = embedder.embeddings("dataset").mean()
    assert_allclose(found.filter(like="dataset__g").iloc[0], mean, atol=1e-6)


def test_a_known_dataset_without_any_edge_is_placed_like_an_unknown_one():
    alone = RECORDS[RECORDS["dataset"] == "d0"][:1].assign(dataset="alone", score=np.nan)
    embedder = GraphEmbedder(**SMALL, edges=("score",)).fit(pd.concat([RECORDS, alone]))
    vectors = embedder.embeddings("dataset")
    assert_allclose(vectors.loc["alone"], vectors.drop(index="alone").mean(), atol=1e-6)


# As a transformer


def test_output_features_are_numbers_alone():
    names = [*RECORDS.columns[2:-1], *(f"{side}__g{i}" for side in ("model", "dataset") for i in range(8))]
    embedder = GraphEmbedder(**SMALL).fit(RECORDS)
    out = embedder.transform(RECORDS)
    assert out.columns.tolist() == embedder.get_feature_names_out().tolist() == names
    assert all(dtype == np.float64 for dtype in out.dtypes)
    assert_array_equal(out[RECORDS.columns[2:-1]].to_numpy(), RECORDS.iloc[:, 2:-1].to_numpy(dtype=float))
    assert embedder.roles_["pair__logme"] == "pair"


def test_output_records_pass_everything_through():
    rows = RECORDS.set_index(np.arange(len(RECORDS)) * 3)
    out = GraphEmbedder(**SMALL, output="records").fit(RECORDS).transform(rows)
    assert_frame_equal(out[RECORDS.columns], rows, check_dtype=False)
    assert out.columns[-1] == "score"
    assert out.shape == (len(RECORDS), RECORDS.shape[1] + 16)


def test_vectors_are_those_of_the_ids(fitted):
    out = fitted.transform(RECORDS)
    for side in ("model", "dataset"):
        expected = fitted.embeddings(side).loc[RECORDS[side]]
        assert_array_equal(out.filter(like=f"{side}__g").to_numpy(), expected.to_numpy(dtype=float))
        assert expected.index.name == side
    with pytest.raises(ValueError, match="Got kind='pair', but expected"):
        fitted.embeddings("pair")


def test_a_second_embedder_finds_free_names():
    first = GraphEmbedder(**SMALL, output="records").fit_transform(RECORDS)
    names = GraphEmbedder(**SMALL).fit(first).get_feature_names_out().tolist()
    assert len(set(names)) == len(names)
    assert {"model__g0", "model__g0_2"} <= set(names)


def test_columns_may_come_in_any_order(fitted):
    assert_frame_equal(fitted.transform(RECORDS[RECORDS.columns[::-1]]), fitted.transform(RECORDS))


def test_other_libraries():
    embedder = GraphEmbedder(**SMALL).fit(pl.from_pandas(RECORDS))
    expected = GraphEmbedder(**SMALL).fit_transform(RECORDS)
    assert_frame_equal(embedder.transform(pl.from_pandas(RECORDS)), expected)
    out = embedder.set_output(transform="polars").transform(RECORDS)
    assert isinstance(out, pl.DataFrame)
    assert_array_equal(out.to_numpy(), expected.to_numpy())


def test_arrays_are_read_by_position():
    array = np.column_stack([RECORDS["model"].str[1:].astype(float), RECORDS["dataset"].str[1:].astype(float),
                             RECORDS["pair__logme"]])  # fmt: skip
    embedder = GraphEmbedder(**SMALL)
    out = embedder.fit_transform(array, RECORDS["score"])
    assert out.shape == (len(RECORDS), 1 + 16)
    assert embedder.get_feature_names_out()[0] == "pair__x2"
    assert_array_equal(out[:, 0], array[:, 2])


def test_y_wins_over_the_target_column():
    wrong = RECORDS.assign(score=0.0)
    one = GraphEmbedder(**SMALL).fit(wrong, RECORDS["score"])
    assert_array_equal(_products(one), _products(GraphEmbedder(**SMALL).fit(RECORDS)))


def test_no_scores_are_needed_without_score_edges():
    bare = RECORDS.drop(columns="score")
    embedder = GraphEmbedder(**SMALL, edges=("pair", "similarity")).fit(bare)
    assert not len(embedder.pairs_)
    with_scores = GraphEmbedder(**SMALL, edges=("pair", "similarity")).fit(RECORDS)
    assert_array_equal(_products(embedder), _products(with_scores))


REGRESSORS = [RandomForestRegressor(5, random_state=0), HistGradientBoostingRegressor(min_samples_leaf=5), Ridge()]


@pytest.mark.parametrize("regressor", REGRESSORS, ids=lambda regressor: type(regressor).__name__)
def test_any_regressor_follows(regressor):
    pipeline = make_pipeline(MetadataEncoder(), GraphEmbedder("node2vec+", **SMALL), regressor)
    seen, held = UNEVEN[UNEVEN["dataset"] != "d0"], UNEVEN[UNEVEN["dataset"] == "d0"]
    pipeline.fit(seen, seen["score"])
    assert metrics.pearson(held["score"], pipeline.predict(held), groups=held["dataset"]) > 0.5
    ranking = recommend(pipeline, held[["dataset", "dataset__kind", "dataset__level"]][:1].assign(dataset="new"), k=3)
    assert len(ranking) == 3


def test_the_attention_network_may_follow_too():
    gat = TransferabilityGAT(hidden_dim=8, n_heads=2, n_estimators=1, max_iter=5, random_state=0, device="cpu")
    pipeline = make_pipeline(MetadataEncoder(), GraphEmbedder(**SMALL, output="records"), gat).fit(RECORDS)
    assert np.isfinite(pipeline.predict(RECORDS.drop(columns="score"))).all()
    assert {"model__g0", "dataset__g7"} <= {*gat.graph_.model_columns, *gat.graph_.dataset_columns}


def test_the_pipeline_of_the_paper():
    xgboost = pytest.importorskip("xgboost")
    regressor = xgboost.XGBRegressor(n_estimators=20, n_jobs=1)
    pipeline = make_pipeline(MetadataEncoder(), GraphEmbedder("node2vec+", random_state=0, max_iter=20), regressor)
    seen, held = UNEVEN[UNEVEN["dataset"] != "d0"], UNEVEN[UNEVEN["dataset"] == "d0"]
    predicted = pipeline.fit(seen, seen["score"]).predict(held)
    assert metrics.pearson(held["score"], predicted, groups=held["dataset"]) > 0.5


def test_grid_search_over_the_pieces():
    pipeline = make_pipeline(MetadataEncoder(), GraphEmbedder(**SMALL), Ridge())
    grid = {
        "graphembedder__method": ["node2vec", "sage"],
        "graphembedder__edges": [("score",), ("score", "pair", "similarity")],
    }
    search = GridSearchCV(pipeline, grid, cv=LeaveDatasetsOut(n_splits=2), scoring=metrics.ranking_scorer("pearson"))
    search.fit(RECORDS, RECORDS["score"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(RECORDS).shape == (len(RECORDS),)


@pytest.mark.parametrize("how", ["pickle", "skgat"])
def test_saving_and_loading(fitted, how, tmp_path):
    fitted = clone(fitted).set_params(similarity=_similarity()).fit(RECORDS)
    if how == "pickle":
        loaded = pickle.loads(pickle.dumps(fitted))
    else:
        save(fitted, tmp_path / "it.skgat")
        loaded = load(tmp_path / "it.skgat")
        assert_frame_equal(loaded.similarity, fitted.similarity)
    rows = pd.concat([RECORDS, RECORDS[:7].assign(dataset="new"), RECORDS[:7].assign(model="new")], ignore_index=True)
    assert_frame_equal(loaded.transform(rows), fitted.transform(rows))
    assert_array_equal(loaded.transfer_graph_.weights, fitted.transfer_graph_.weights)


def test_what_is_fitted_needs_no_torch(tmp_path):
    fitted = [GraphEmbedder(method, **SMALL).fit(RECORDS) for method in METHODS]
    rows = pd.concat([RECORDS, RECORDS.assign(dataset="new"), RECORDS.assign(model="new")], ignore_index=True)
    with open(tmp_path / "it", "wb") as file:
        pickle.dump((fitted, rows), file)
    code = (
        "import pickle, sys\n"
        f"fitted, rows = pickle.load(open({str(tmp_path / 'it')!r}, 'rb'))\n"
        "for embedder in fitted: embedder.transform(rows)\n"
        "fitted[1].fit(rows)\n"
        "print(len({'torch', 'torch_geometric'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["0"]


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"edges": ("score", "friends")}, r"Got edges=\('score', 'friends'\), but expected a choice of .* is none"),
        ({"edges": ("similarity",)}, "expected 'score' or 'pair' among them"),
        ({"edges": "score"}, "The 'edges' parameter of GraphEmbedder must be an instance of"),
        ({"method": "walk"}, "The 'method' parameter of GraphEmbedder must be a str among"),
        ({"positive_share": 0.0}, "The 'positive_share' parameter"),
        ({"pair_columns": ("pair__h",)}, "Got pair_columns with 'pair__h', but X has no such pair column"),
        ({"similarity": _similarity().drop(index="d3")}, "similarity has 5 rows and 6 columns of which not all"),
        ({"similarity": _similarity().drop(index="d3", columns="d3")}, "similarity has no row for 'd3'"),
        ({"similarity": _similarity().replace(0.1, np.inf)}, "similarity holds infinite values"),
        ({"similarity": _similarity() * np.nan}, "similarity holds no number outside its diagonal"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GraphEmbedder(**SMALL | arguments).fit(RECORDS)


def test_bad_tables_and_scores_are_named():
    with pytest.raises(TypeError, match="similarity must be a dataframe, got list"):
        GraphEmbedder(similarity=[[1.0]]).fit(RECORDS)
    bad = RECORDS.assign(score=[np.inf, *RECORDS["score"][1:]])
    message = r"holds 1 value\(s\) that are neither .* the first is inf for model 'm00' on dataset 'd0'"
    with pytest.raises(ValueError, match=f"Column 'score' {message}"):
        GraphEmbedder().fit(bad)
    with pytest.raises(ValueError, match=f"y {message}"):
        GraphEmbedder().fit(RECORDS, bad["score"])
    with pytest.raises(ValueError, match="X has no target column 'score' and y is None; pass the scores as y"):
        GraphEmbedder().fit(RECORDS.drop(columns="score"))
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        GraphEmbedder().fit(np.eye(4))
    with pytest.raises(ValueError, match="X gives no edge of the kinds 'score' and 'pair'"):
        GraphEmbedder(edges=("score",)).fit(RECORDS.assign(score=np.nan))
    with pytest.raises(ValueError, match="Column 'model__kind' does not hold numbers"):
        GraphEmbedder().fit(RECORDS.assign(model__kind="a"))


@pytest.mark.parametrize("method", ["sage", "gat"])
def test_networks_keep_their_tensors_on_their_device(method, pretended):
    """On a pretended one, where tensors of the host refuse to meet those of the device."""
    expected = GraphEmbedder(method, **SMALL).fit_transform(RECORDS)
    with pretended:
        found = GraphEmbedder(method, **SMALL | {"device": AWAY}).fit_transform(RECORDS)
    assert pretended.memory.peak > 1_000
    assert_frame_equal(found, expected, rtol=1e-5)
