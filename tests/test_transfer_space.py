"""The transfer space: exact factors, where the unknown stand, what is merged, and that it is a good citizen."""

import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, _factors, metrics, recommend
from skgat._factors import factorize, solve_rows
from skgat.baselines import BiasRegressor, TransferSpaceRegressor, _spaces
from skgat.baselines._placement import fit_placement
from skgat.datasets import load_digits_zoo, load_vision_zoo, make_transfer_records
from skgat.exceptions import UnknownEntityWarning
from skgat.metrics import RANKING_SCORERS
from skgat.model_selection import LeaveDatasetsOut, LeaveModelsOut
from skgat.persistence import load, save


def planted(n_models=40, n_datasets=30, rank=2, fill=0.7, noise=0.02, seed=0):
    """Scores that are the product of vectors which the metadata tell linearly."""
    rng = np.random.default_rng(seed)
    model_features, dataset_features = rng.normal(size=(n_models, 3)), rng.normal(size=(n_datasets, 4))
    u, v = model_features @ rng.normal(size=(3, rank)), dataset_features @ rng.normal(size=(4, rank))
    scores = 0.5 + 0.1 * (u @ v.T) + noise * rng.normal(size=(n_models, n_datasets))
    model, dataset = (codes.ravel() for codes in np.indices(scores.shape))
    frame = pd.DataFrame({"model": model, "dataset": dataset, "score": scores.ravel()})
    for i in range(3):
        frame[f"model__m{i}"] = model_features[model, i]
    for i in range(4):
        frame[f"dataset__d{i}"] = dataset_features[dataset, i]
    return frame[rng.random(len(frame)) < fill].reset_index(drop=True)


@pytest.fixture(scope="module")
def records():
    return planted()


@pytest.fixture(scope="module")
def fitted(records):
    return TransferSpaceRegressor(random_state=0).fit(records)


def _cells(n, m, fill, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rng.random((n, m)) < fill)
    return rng.normal(size=len(rows)), rows, columns, rng.uniform(0.2, 2.0, len(rows))


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_a_full_table_gives_the_soft_thresholded_singular_values(alpha):
    table = np.random.default_rng(0).normal(size=(12, 9))
    rows, columns = (codes.ravel() for codes in np.indices(table.shape))
    rng = np.random.RandomState(0)
    U, V, _ = factorize(table.ravel(), rows, columns, np.ones(table.size), table.shape, 9, alpha, 3000, 0.0, rng)
    left, sizes, right = np.linalg.svd(table, full_matrices=False)
    assert_allclose(U @ V.T, left * np.maximum(sizes - alpha, 0) @ right, atol=1e-6)
    assert_allclose(U.T @ U, np.diag(np.maximum(sizes - alpha, 0)), atol=1e-6)
    assert_allclose(V.T @ V, U.T @ U, atol=1e-6)


def test_missing_cells_end_where_the_gradient_vanishes():
    values, rows, columns, weights = _cells(25, 18, 0.4)
    rng = np.random.RandomState(0)
    U, V, losses = factorize(values, rows, columns, weights, (25, 18), 3, 0.7, 20_000, 1e-15, rng)
    error = csr_array((weights * (U[rows] * V[columns]).sum(axis=1) - weights * values, (rows, columns)), (25, 18))
    assert_allclose(error @ V + 0.7 * U, 0, atol=1e-4)
    assert_allclose(error.T @ U + 0.7 * V, 0, atol=1e-4)
    assert (np.diff(losses) <= 1e-12).all()


@pytest.mark.parametrize("block", [30, 2**23])
@pytest.mark.parametrize("prior", [False, True])
def test_rows_are_solved_as_one_by_one(monkeypatch, block, prior):
    monkeypatch.setattr(_factors, "_BLOCK", block)
    values, rows, columns, weights = _cells(20, 15, 0.5)
    rng = np.random.default_rng(1)
    other, towards = rng.normal(size=(15, 3)), rng.normal(size=(20, 3)) * prior
    cells = csr_array((weights, (rows, columns)), shape=(20, 15))
    sums = csr_array((weights * values, (rows, columns)), shape=(20, 15))
    solved = solve_rows(cells, sums, other, 0.9, towards if prior else None)
    for row in range(20):
        here = rows == row
        ridge = Ridge(alpha=0.9, fit_intercept=False, solver="cholesky")
        ridge.fit(other[columns[here]], values[here] - other[columns[here]] @ towards[row], weights[here])
        assert_allclose(solved[row], towards[row] + ridge.coef_, rtol=1e-9)


def test_factors_do_not_depend_on_the_blocks(monkeypatch):
    values, rows, columns, weights = _cells(20, 15, 0.5)
    task = (values, rows, columns, weights, (20, 15), 3, 0.9, 10, 0.0)
    whole = factorize(*task, np.random.RandomState(0))
    monkeypatch.setattr(_factors, "_BLOCK", 20)
    for one, other in zip(whole, factorize(*task, np.random.RandomState(0)), strict=True):
        assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_rank_above_the_sides_is_filled_with_zeros():
    values, rows, columns, weights = _cells(4, 6, 1.0)
    U, V, _ = factorize(values, rows, columns, weights, (4, 6), 10, 0.01, 200, 0.0, np.random.RandomState(0))
    assert U.shape == (4, 10)
    assert V.shape == (6, 10)
    assert not U[:, 4:].any()


@pytest.mark.parametrize(
    ("splitter", "least"), [(LeaveDatasetsOut(n_splits=5), 0.9), (LeaveModelsOut(n_splits=5), 0.9)]
)
def test_the_unknown_are_placed_by_their_metadata(records, splitter, least):
    for known, hidden in splitter.split(records):
        space = TransferSpaceRegressor(random_state=0).fit(records.iloc[known])
        test = records.iloc[hidden]
        assert metrics.spearman(test["score"], space.predict(test), groups=test["dataset"]) > least


def test_both_may_be_unknown(records):
    new = (records["model"] < 8) | (records["dataset"] < 6)
    both = (records["model"] < 8) & (records["dataset"] < 6)
    space = TransferSpaceRegressor(random_state=0).fit(records[~new])
    assert metrics.spearman(records["score"][both], space.predict(records[both]), groups=records["dataset"][both]) > 0.8


def test_hidden_cells_of_known_pairs_are_found(records):
    hidden = np.random.default_rng(0).random(len(records)) < 0.2
    test, ids = records[hidden], records[["model", "dataset", "score"]]
    space = TransferSpaceRegressor(alpha=0.1, random_state=0).fit(ids[~hidden])
    assert space.score(ids[hidden], test["score"]) > 0.9
    assert BiasRegressor().fit(ids[~hidden]).score(ids[hidden], test["score"]) < 0.1
    with_metadata = TransferSpaceRegressor(alpha=0.1, random_state=0).fit(records[~hidden])
    assert with_metadata.score(test, test["score"]) > 0.95


@pytest.mark.parametrize("center", ["both", "model", "dataset", "none"])
def test_every_centering_reproduces_a_low_rank_table(center):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(9, 1)) @ rng.normal(size=(1, 7)) + 3
    frame = pd.DataFrame(table).stack().rename_axis(["model", "dataset"]).rename("score").reset_index()
    space = TransferSpaceRegressor(center=center, alpha=1e-6, shrinkage=0.0, n_components=4, max_iter=500, tol=1e-12)
    assert_allclose(space.set_params(random_state=0).fit(frame).predict(frame), frame["score"], atol=1e-4)


def test_strong_regularisation_leaves_the_levels(records):
    ids = records[["model", "dataset", "score"]]
    space = TransferSpaceRegressor(alpha=1e9, random_state=0).fit(ids)
    assert_allclose(space.predict(ids), BiasRegressor().fit(ids).predict(ids), atol=1e-6)


def test_an_additive_table_needs_no_factors():
    ids = pd.MultiIndex.from_product([range(5), range(4)], names=["model", "dataset"]).to_frame(index=False)
    frame = ids.assign(score=ids["model"] * 0.1 + ids["dataset"] * 0.2)
    space = TransferSpaceRegressor(shrinkage=0.0).fit(frame)
    assert_allclose(space.predict(frame), frame["score"], atol=1e-12)
    assert not space.model_vectors_[:, 1:].any()
    assert space.loss_curve_ == [0.0]


def test_noise_of_datasets_is_weighed():
    rng = np.random.default_rng(0)
    quiet, loud = planted(n_datasets=15, noise=0.0), planted(n_datasets=15, noise=0.0, seed=0)
    loud = loud.assign(dataset=loud["dataset"] + 15, score=rng.normal(size=len(loud)))
    frame = pd.concat([quiet.assign(score=quiet["score"] * 0.3), loud])[["model", "dataset", "score"]]
    hidden = (rng.random(len(frame)) < 0.2) & (frame["dataset"] < 15)
    found = {
        noise: metrics.spearman(
            frame["score"][hidden],
            TransferSpaceRegressor(noise=noise, random_state=0).fit(frame[~hidden]).predict(frame[hidden]),
            groups=frame["dataset"][hidden],
        )
        for noise in ("dataset", "equal")
    }
    assert found["dataset"] > found["equal"] + 0.05


def test_the_meta_score_helps_where_results_are_few():
    rng = np.random.default_rng(0)
    quality = rng.normal(size=60)
    model, dataset = np.repeat(np.arange(60), 2), rng.integers(0, 20, 120)
    frame = pd.DataFrame({"model": model, "dataset": dataset, "model__quality": quality[model]})
    frame["score"] = 0.1 * quality[model] + 0.1 * rng.normal(size=120)
    frame = frame.drop_duplicates(["model", "dataset"])
    learned = TransferSpaceRegressor(random_state=0).fit(frame)
    assert learned.meta_weight_ > 0.5
    new = pd.DataFrame({"model": range(60), "dataset": 0, "model__quality": quality})
    without = TransferSpaceRegressor(meta_weight=0.0, random_state=0).fit(frame)
    error = [np.mean((s.predict(new) - 0.1 * quality) ** 2) for s in (learned, without)]
    assert error[0] < 0.6 * error[1]
    assert without.meta_weight_ == 0.0


def test_metadata_that_mean_nothing_are_not_trusted(records):
    rng = np.random.default_rng(0)
    blind = records[["model", "dataset", "score"]].assign(
        dataset__x=rng.normal(size=30)[records["dataset"]], model__x=rng.normal(size=40)[records["model"]]
    )
    spread = {}
    for name, frame in {"told": records, "told nothing": blind}.items():
        space = TransferSpaceRegressor(random_state=0).fit(frame)
        placed = space.placements_["dataset"].place(space.graph_.dataset_features)
        spread[name] = placed[:, 1:].std(axis=0)[0] / space.dataset_vectors_[:, 1:].std(axis=0)[0]
    assert spread["told"] > 0.6
    assert spread["told nothing"] < 0.3


@pytest.mark.parametrize(
    "mapper",
    [
        Ridge(),
        KNeighborsRegressor(3),
        RandomForestRegressor(10, random_state=0),
        GradientBoostingRegressor(n_estimators=10, random_state=0),
    ],
    ids=lambda m: type(m).__name__,
)
def test_any_regressor_maps(records, mapper):
    known = records["dataset"] >= 5
    space = TransferSpaceRegressor(mapper=mapper, n_components=2, random_state=0).fit(records[known])
    test = records[~known]
    assert metrics.spearman(test["score"], space.predict(test), groups=test["dataset"]) > 0.5
    assert not hasattr(mapper, "n_features_in_")


def test_the_mapper_sees_the_weights_of_the_rows():
    rng = np.random.default_rng(0)
    features, vectors = rng.normal(size=(10, 2)), rng.normal(size=(10, 3))
    counts = rng.integers(1, 4, 10)
    weighted = fit_placement(features, vectors, counts.astype(float), Ridge())
    repeated = fit_placement(features.repeat(counts, 0), vectors.repeat(counts, 0), np.ones(counts.sum()), Ridge())
    assert_allclose(weighted.place(features), repeated.place(features))
    assert_allclose(weighted.center, repeated.center)


def test_ranking_all_models_is_predicting_all_pairs(records, fitted):
    rows = records.drop_duplicates("dataset").head(6).copy()
    rows.loc[rows.index[:3], "dataset"] = [100, 101, 102]
    table = fitted.predict_all(rows)
    assert table.shape == (6, 40)
    for scores, (_, row) in zip(table, rows.iterrows(), strict=True):
        pairs = pd.DataFrame([row] * 40).assign(model=fitted.models_)
        assert_allclose(fitted.predict(pairs), scores, rtol=1e-12)
    assert_allclose(fitted.predict_all(rows.iloc[[2]])[0], table[2], rtol=1e-12)
    only = rows[[name for name in rows if str(name).startswith("dataset")]]
    assert_array_equal(fitted.predict_all(only), table)


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_a_row_depends_on_itself_alone(records, fitted, data):
    new = records.assign(dataset=records["dataset"] + 25, model=records["model"] + 20)
    rows = data.draw(st.lists(st.integers(0, len(new) - 1), min_size=1, max_size=10))
    assert_allclose(fitted.predict(new.iloc[rows]), fitted.predict(new)[rows], rtol=1e-12)


def test_the_order_of_the_records_does_not_matter(records, fitted):
    shuffled = records.sample(frac=1, random_state=0)
    assert_array_equal(TransferSpaceRegressor(random_state=0).fit(shuffled).predict(records), fitted.predict(records))


def test_the_scale_of_the_scores_does_not_matter(records, fitted):
    scaled = TransferSpaceRegressor(random_state=0).fit(records.assign(score=1000 * records["score"] - 7))
    new = records.assign(dataset=records["dataset"] + 100)
    assert_allclose(scaled.predict(new), 1000 * fitted.predict(new) - 7, rtol=1e-6)


def test_integer_weights_are_repeated_rows(records):
    counts = 1 + np.arange(len(records)) % 3
    weighted = TransferSpaceRegressor(random_state=0).fit(records, sample_weight=counts)
    repeated = TransferSpaceRegressor(random_state=0).fit(records.loc[records.index.repeat(counts)])
    assert_allclose(weighted.predict(records), repeated.predict(records), rtol=1e-9)


def test_the_same_seed_gives_the_same_and_the_global_one_is_left_alone(records):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = (TransferSpaceRegressor(random_state=3).fit(records) for _ in range(2))
    assert_array_equal(one.model_vectors_, other.model_vectors_)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_ids_without_metadata_get_the_center(records, fitted):
    ids = records[["model", "dataset"]].head(4)
    assert_allclose(fitted.predict(ids), fitted.predict(records.head(4)))
    with pytest.warns(UnknownEntityWarning, match=r"1 unknown dataset\(s\), such as 'new', come without any metadata"):
        scores = fitted.predict(ids.assign(dataset="new"))
    assert np.isfinite(scores).all()


def test_saved_and_pickled(records, tmp_path):
    space = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0)).fit(records)
    new = records.assign(dataset=records["dataset"] + 25)
    save(space, tmp_path / "space.skgat")
    assert_array_equal(load(tmp_path / "space.skgat").predict(new), space.predict(new))
    assert_array_equal(pickle.loads(pickle.dumps(space)).predict(new), space.predict(new))
    assert_array_equal(clone(space).fit(records).predict(new), space.predict(new))


def test_grid_search_finds_the_rank():
    frame = planted(rank=3, noise=0.0)
    pipeline = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0))
    grid = {"transferspaceregressor__n_components": [1, 3]}
    search = GridSearchCV(pipeline, grid, scoring=RANKING_SCORERS["spearman"], cv=LeaveDatasetsOut(n_splits=3))
    search.fit(frame)
    assert search.best_params_ == {"transferspaceregressor__n_components": 3}


def test_recommend_takes_it():
    records = load_vision_zoo().records
    space = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0))
    space.fit(records[records["dataset"] != "pets"])
    pets = records.loc[records["dataset"] == "pets"].filter(regex="^dataset").iloc[[0]]
    ranking = recommend(space, pets, k=4)
    row = records.loc[records["dataset"] == "pets"].iloc[[0]]
    scores = space[-1].predict_all(space[0].transform(row))[0]
    assert ranking["model"].tolist() == space[-1].models_[np.argsort(-scores)[:4]].tolist()
    seen = recommend(space, "cars", k=None, exclude_known=True)
    assert len(seen) == 0


def test_better_than_the_additive_model_on_real_unknown_datasets():
    records = load_digits_zoo().records
    quality = {}
    for name, regressor in {"bias": BiasRegressor(), "space": TransferSpaceRegressor(random_state=0)}.items():
        found = []
        for known, hidden in LeaveDatasetsOut(n_splits=5).split(records):
            test = records.iloc[hidden]
            predicted = make_pipeline(MetadataEncoder(), regressor).fit(records.iloc[known]).predict(test)
            found.append(metrics.weighted_kendall(test["score"], predicted, groups=test["dataset"]))
        quality[name] = np.mean(found)
    assert quality["space"] > quality["bias"] + 0.12


def test_embeddings_multiply_to_scores(fitted, records):
    models, datasets = fitted.embeddings("model"), fitted.embeddings("dataset")
    assert models.index.name == "model"
    row = records.iloc[0]
    u, v = models.loc[row["model"]], datasets.loc[row["dataset"]]
    score = fitted.mean_ + u["level"] + v["level"] + u.iloc[1:] @ v.iloc[1:]
    assert score == pytest.approx(fitted.predict(records.head(1))[0])
    with pytest.raises(ValueError, match="Got kind='pair', but expected 'model' or 'dataset'"):
        fitted.embeddings("pair")


def test_polars_frames(records, fitted):
    other = TransferSpaceRegressor(random_state=0).fit(pl.from_pandas(records))
    assert_array_equal(other.predict(pl.from_pandas(records)), fitted.predict(records))


@pytest.mark.parametrize(("n_models", "n_datasets"), [(1, 5), (5, 1), (1, 1), (2, 2)])
def test_tiny_tables(n_models, n_datasets):
    frame = planted(n_models, n_datasets, fill=1.0)
    space = TransferSpaceRegressor(random_state=0).fit(frame)
    assert np.isfinite(space.predict(frame.assign(model=77, dataset=88))).all()


@pytest.mark.parametrize("fill", [0.05, 0.3])
def test_sparse_synthetic_zoos(fill):
    records = make_transfer_records(40, 30, fill=fill, random_state=0).records
    space = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0)).fit(records)
    assert np.isfinite(space.predict(records.assign(dataset="new", model="other"))).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": 0.0}, "The 'alpha' parameter of TransferSpaceRegressor must be a float in the range (0.0"),
        ({"center": "rows"}, "The 'center' parameter of TransferSpaceRegressor must be a str among"),
        ({"mapper": 3}, "The 'mapper' parameter of TransferSpaceRegressor must be an object implementing 'fit' and"),
        ({"meta_weight": 1.5}, "The 'meta_weight' parameter of TransferSpaceRegressor must be a str among {'auto'} or"),
    ],
)
def test_bad_arguments(records, params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TransferSpaceRegressor(**params).fit(records)


def test_text_needs_an_encoder(records):
    with pytest.raises(ValueError, match="Column 'model__family' does not hold numbers"):
        TransferSpaceRegressor().fit(records.assign(model__family="resnet"))


@pytest.mark.parametrize("seed", range(8))
def test_weights_are_learned_of_some_models_where_one_has_nearly_all_records(seed, monkeypatch):
    monkeypatch.setattr(_spaces, "_ENOUGH_RECORDS", 20)
    hub = pd.DataFrame({"model": "hub", "dataset": [f"d{i}" for i in range(60)]})
    others = pd.DataFrame({"model": ["a", "b", "c"], "dataset": ["d0", "d1", "d2"]})
    records = pd.concat([hub, others], ignore_index=True)
    records["dataset__size"] = records["dataset"].str[1:].astype(float) % 7
    records["score"] = np.random.default_rng(seed).normal(size=63)
    fitted = TransferSpaceRegressor(random_state=seed).fit(records)
    assert np.isfinite(fitted.predict(records)).all()
