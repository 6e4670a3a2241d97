"""Low-rank completion and nearest datasets: against slow references, and what is left where they know nothing."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, metrics, recommend
from skgat.baselines import BiasRegressor, MatrixCompletion, NearestDatasets, TransferSpaceRegressor
from skgat.datasets import make_transfer_records
from skgat.model_selection import LeaveDatasetsOut

BOTH = [MatrixCompletion(random_state=0), NearestDatasets()]


def both(test):
    return pytest.mark.parametrize("estimator", BOTH, ids=lambda e: type(e).__name__)(test)


@pytest.fixture(scope="module")
def records():
    """Ids, scores and numbers that describe the dataset."""
    raw = make_transfer_records(14, 20, fill=0.6, random_state=0).records
    encoded = MetadataEncoder().fit_transform(raw)
    names = [name for name in encoded.columns if name.startswith("dataset__")]
    return encoded[["model", "dataset", *names, "score"]]


def without_metadata(records):
    return records[["model", "dataset", "score"]]


def hidden_part(records, share=0.3, seed=0):
    hidden = np.random.default_rng(seed).random(len(records)) < share
    return records[~hidden], records[hidden]


@pytest.mark.parametrize("estimator", [MatrixCompletion(random_state=0), TransferSpaceRegressor(random_state=0)])
def test_too_few_rounds_are_told(records, estimator):
    enough = clone(estimator).fit(records).n_iter_
    assert 2 < enough < estimator.max_iter
    message = rf"did not converge: .* tol={estimator.tol:g} in the last of max_iter={enough - 1} rounds"
    with pytest.warns(ConvergenceWarning, match=message):
        clone(estimator).set_params(max_iter=enough - 1).fit(records)
    for params in ({"max_iter": enough}, {"max_iter": 2, "tol": 0.0}):
        assert clone(estimator).set_params(**params).fit(records).n_iter_ == params["max_iter"]


# ---------------------------------------------------------------- both


@both
def test_ids_alone_are_enough_and_the_unknown_fall_back(records, estimator):
    fitted = clone(estimator).fit(without_metadata(records))
    bias = BiasRegressor().fit(records)
    new = pd.DataFrame({"model": ["new", records["model"].iloc[0], "new"], "dataset": ["new", "new", "also new"]})
    assert_allclose(fitted.predict(new)[[0, 2]], bias.mean_, rtol=0.02)
    known_model = fitted.predict(new)[1] - fitted.predict(new)[0]
    assert_allclose(known_model, fitted.model_effects_[fitted.models_.tolist().index(new["model"][1])])


@both
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_a_row_depends_on_itself_alone(records, estimator, data):
    known, hidden = hidden_part(records)
    fitted = clone(estimator).fit(known)
    hidden = pd.concat([hidden, hidden.assign(dataset="new"), hidden.assign(model="new")])
    rows = data.draw(st.lists(st.integers(0, len(hidden) - 1), min_size=1, max_size=10))
    assert_array_equal(fitted.predict(hidden.iloc[rows]), fitted.predict(hidden)[rows])
    assert_array_equal(fitted.predict(hidden.iloc[rows].assign(score=np.nan)), fitted.predict(hidden)[rows])


@both
def test_the_order_of_the_records_does_not_matter(records, estimator):
    known, hidden = hidden_part(records)
    shuffled = known.sample(frac=1.0, random_state=0)
    expected = clone(estimator).fit(known).predict(hidden)
    assert_allclose(clone(estimator).fit(shuffled).predict(hidden), expected, rtol=1e-9)


@both
def test_integer_weights_are_repeated_rows(records, estimator):
    known, hidden = hidden_part(records)
    counts = np.arange(len(known)) % 3
    weighted = clone(estimator).fit(known, sample_weight=counts)
    repeated = clone(estimator).fit(known.loc[known.index.repeat(counts)])
    assert_allclose(weighted.predict(hidden), repeated.predict(hidden), rtol=1e-9)


@both
def test_moved_and_stretched_scores_move_and_stretch_the_predictions(records, estimator):
    known, hidden = hidden_part(records)
    expected = clone(estimator).fit(known).predict(hidden)
    moved = clone(estimator).fit(known.assign(score=100.0 * known["score"] - 7.0)).predict(hidden)
    assert_allclose(moved, 100.0 * expected - 7.0, rtol=1e-6)


@both
def test_constant_scores_stay_constant(records, estimator):
    assert_allclose(clone(estimator).fit(records.assign(score=0.7)).predict(records), 0.7, rtol=1e-12)


@both
def test_beats_the_additive_model_where_there_is_an_interaction(estimator):
    records = make_transfer_records(60, 60, fill=0.6, random_state=3).records
    known, hidden = hidden_part(records)
    encoder = MetadataEncoder()
    predicted = make_pipeline(encoder, clone(estimator)).fit(known).predict(hidden)
    additive = BiasRegressor().fit(known).predict(hidden)
    truth, groups = hidden["score"], hidden["dataset"]
    assert np.mean((predicted - truth) ** 2) < 0.85 * np.mean((additive - truth) ** 2)
    assert metrics.spearman(truth, predicted, groups=groups) > metrics.spearman(truth, additive, groups=groups) + 0.02


@both
def test_frames_of_another_library(records, estimator):
    expected = clone(estimator).fit(records).predict(records)
    other = pl.from_pandas(records)
    assert_array_equal(clone(estimator).fit(other).predict(other), expected)


@both
def test_recommends_and_is_searched(records, estimator):
    argument = {"MatrixCompletion": {"alpha": [0.3, 1.0]}, "NearestDatasets": {"n_neighbors": [2, 8]}}
    grid = argument[type(estimator).__name__]
    search = GridSearchCV(clone(estimator), grid, cv=LeaveDatasetsOut(3), scoring=metrics.RANKING_SCORERS["spearman"])
    search.fit(records, records["score"])
    name = records["dataset"].iloc[0]
    ranking = recommend(search, name, k=3)
    grid = pd.DataFrame({"model": ranking["model"], "dataset": name})
    assert_array_equal(search.predict(grid), ranking["score"])
    assert ranking["score"].is_monotonic_decreasing
    untried = recommend(search, name, k=None, exclude_known=True)["model"]
    assert set(untried) == set(records["model"]) - set(records.loc[records["dataset"] == name, "model"])


# ---------------------------------------------------------------- MatrixCompletion


def slow_completion(known, rank, alpha, shrinkage, start, rounds):
    """The same sums, one node at a time."""
    bias = BiasRegressor(shrinkage=shrinkage).fit(known)
    models = [bias.models_.tolist().index(m) for m in known["model"]]
    datasets = [bias.datasets_.tolist().index(d) for d in known["dataset"]]
    ends, rest = [np.array(models), np.array(datasets)], known["score"].to_numpy() - bias.predict(known)
    n = [len(bias.models_), len(bias.datasets_)]
    scale = np.sqrt((rest**2).sum() / (len(rest) - sum(n) + 1))
    strength = alpha * np.sqrt(len(rest) / (n[0] * n[1])) * (np.sqrt(n[0]) + np.sqrt(n[1]))
    ridge = np.diag([shrinkage, *[strength] * rank])
    scores = (known["score"].to_numpy() - bias.mean_) / scale
    effects = [bias.model_effects_ / scale, bias.dataset_effects_ / scale]
    vectors = [part.copy() for part in start]
    for _ in range(rounds):
        for side in (0, 1):
            for node in range(n[side]):
                rows = np.flatnonzero(ends[side] == node)
                other = ends[1 - side][rows]
                design = np.column_stack([np.ones(len(rows)), vectors[1 - side][other]])
                target = scores[rows] - effects[1 - side][other]
                solution = np.linalg.solve(design.T @ design + ridge, design.T @ target)
                effects[side][node], vectors[side][node] = solution[0], solution[1:]
    table = effects[0][:, None] + effects[1][None, :] + vectors[0] @ vectors[1].T
    return bias.mean_ + scale * table[ends[0], ends[1]]


@pytest.mark.parametrize("alpha", [0.2, 0.7])
def test_agrees_with_least_squares_one_node_at_a_time(records, alpha):
    rng = np.random.RandomState(4)
    n_models, n_datasets = records["model"].nunique(), records["dataset"].nunique()
    start = [rng.normal(size=(n, 3)) / np.sqrt(3) for n in (n_models, n_datasets)]
    expected = slow_completion(records, 3, alpha, 1.0, start, rounds=6)
    completion = MatrixCompletion(n_components=3, alpha=alpha, max_iter=6, tol=0.0, random_state=4).fit(records)
    assert completion.n_iter_ == 6
    assert_allclose(completion.predict(records), expected, rtol=1e-9)


def test_a_low_rank_table_is_completed():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(30, 1)) + rng.normal(size=(1, 40)) + rng.normal(size=(30, 2)) @ rng.normal(size=(2, 40))
    frame = pd.DataFrame(table).rename_axis("model").melt(var_name="dataset", value_name="score", ignore_index=False)
    known, hidden = hidden_part(frame.reset_index(), share=0.4)
    completion = MatrixCompletion(alpha=1e-3, shrinkage=1e-3, n_components=2, max_iter=500, random_state=0).fit(known)
    assert_allclose(completion.predict(hidden), hidden["score"], atol=0.05)
    assert completion.n_iter_ < 500


def test_noise_leaves_the_additive_model():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(20, 30)) + 2 * rng.normal(size=(20, 1)))
    frame = table.rename_axis("model").melt(var_name="dataset", value_name="score", ignore_index=False).reset_index()
    completion = MatrixCompletion(alpha=1.2, random_state=0).fit(frame)
    assert_allclose(completion.predict(frame), BiasRegressor().fit(frame).predict(frame), atol=1e-4)


def test_few_records_leave_the_additive_model(records):
    few = records.sample(25, random_state=0)
    assert_allclose(
        MatrixCompletion(random_state=0).fit(few).predict(records), BiasRegressor().fit(few).predict(records), atol=1e-4
    )


@pytest.mark.parametrize("estimator", [BiasRegressor(), TransferSpaceRegressor(random_state=0), *BOTH], ids=repr)
def test_scores_are_found_in_the_records(records, estimator):
    fitted = clone(estimator).fit(records)
    assert fitted.score(records) == fitted.score(records.drop(columns="score"), records["score"])
    found = cross_val_score(estimator, records, cv=LeaveDatasetsOut(2), error_score="raise")
    assert np.isfinite(found).all()
    with pytest.raises(ValueError, match="X has no target column 'score' and y is None"):
        fitted.score(records.drop(columns="score"))


def test_constant_scores_take_no_steps(records):
    completion = MatrixCompletion(random_state=0).fit(records)
    assert completion.n_iter_ > 0
    assert completion.fit(records.assign(score=0.5)).n_iter_ == 0


def test_the_seed_decides_the_start_alone(records):
    one, other = (MatrixCompletion(random_state=seed, tol=1e-9, max_iter=2000).fit(records) for seed in (0, 1))
    assert not np.allclose(one.model_factors_, other.model_factors_)
    assert_allclose(one.predict(records), other.predict(records), atol=1e-4)


# ---------------------------------------------------------------- NearestDatasets


def slow_nearest(known, model, dataset, features, k, damping):
    """One pair at a time, over dictionaries."""
    bias = BiasRegressor().fit(known)
    rest = known.assign(rest=known["score"] - bias.predict(known)).pivot(
        index="dataset", columns="model", values="rest"
    )
    names = [name for name in known.columns if name.startswith("dataset__")]
    table = known.drop_duplicates("dataset").set_index("dataset")[names].loc[rest.index]
    scaled, asked = (table - table.mean()) / table.std(ddof=0), (features - table.mean()) / table.std(ddof=0)
    distance = lambda a, b: np.sqrt(((a - b) ** 2).sum())  # noqa: E731
    reach = [sorted(distance(scaled.loc[a], scaled.loc[b]) for b in scaled.index)[k] for a in scaled.index]
    width, doubt = np.median(reach), damping * np.nanmean(rest.to_numpy() ** 2)
    similar = {}
    for other in rest.index.drop(dataset, errors="ignore"):
        near = np.exp(-0.5 * (distance(asked, scaled.loc[other]) / width) ** 2)
        if dataset in rest.index:
            shared = rest.loc[[dataset, other]].dropna(axis=1).to_numpy()
            size = np.sqrt((shared[0] ** 2).sum() * (shared[1] ** 2).sum())
            near = 0.5 * (near + shared[0] @ shared[1] / (size + doubt))
        similar[other] = near
    ranked = sorted(similar, key=lambda other: -similar[other])
    level = sum(similar[o] * bias.dataset_effects_[bias.datasets_.tolist().index(o)] for o in ranked[:k]) / (
        sum(similar[o] for o in ranked[:k]) + 1.0
    )
    have = [o for o in ranked if similar[o] > 0 and not np.isnan(rest.loc[o, model])][:k]
    mean = sum(similar[o] * rest.loc[o, model] for o in have) / (sum(similar[o] for o in have) + damping)
    guess = bias.predict(pd.DataFrame({"model": [model], "dataset": [dataset]}))[0]
    return guess + mean + (0.0 if dataset in rest.index else level)


@pytest.mark.parametrize("of", ["known", "unknown"])
def test_agrees_with_one_pair_at_a_time(records, of):
    known, hidden = hidden_part(records)
    if of == "unknown":
        gone = sorted(records["dataset"].unique())[:3]
        known, hidden = records[~records["dataset"].isin(gone)], records[records["dataset"].isin(gone)]
    hidden = hidden.iloc[::3]
    predicted = NearestDatasets(n_neighbors=4, damping=1.5).fit(known).predict(hidden)
    names = [name for name in known.columns if name.startswith("dataset__")]
    varied = known.drop_duplicates("dataset").set_index("dataset")[names].std(ddof=0) > 0
    kept = ["model", "dataset", *varied.index[varied], "score"]
    for value, (_, row) in zip(predicted, hidden.iterrows(), strict=True):
        features = row[varied.index[varied]].astype(float)
        expected = slow_nearest(known[kept], row["model"], row["dataset"], features, 4, 1.5)
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_a_twin_is_nearest(records, metric):
    twin = records[records["dataset"] == records["dataset"].iloc[0]].assign(dataset="twin")
    fitted = NearestDatasets(metric=metric).fit(pd.concat([records, twin]))
    place = fitted.datasets_.tolist().index("twin")
    assert fitted.datasets_[fitted.neighbors_[place, 0]] == records["dataset"].iloc[0]
    assert (np.diff(fitted.similarities_, axis=1) <= 0).all()
    assert (fitted.neighbors_ != np.arange(len(fitted.datasets_))[:, None]).all()


def test_unknown_datasets_are_told_apart_by_their_metadata(records):
    fitted = NearestDatasets().fit(records)
    names = [name for name in records.columns if name.startswith("dataset__")]
    far = records.assign(dataset="far", **dict.fromkeys(names, 1e6))
    bias = BiasRegressor().fit(records)
    assert_allclose(fitted.predict(far), bias.predict(far))
    near = records.assign(dataset="near")
    assert np.abs(fitted.predict(near) - bias.predict(near)).max() > 0.01


def test_an_unknown_dataset_hears_of_every_known_one_where_there_are_few():
    known = pd.DataFrame(
        [("m0", "a", 0.0, 0.2), ("m0", "b", 1.0, 0.5), ("m1", "b", 1.0, 0.9), ("m1", "c", 2.0, 0.4)],
        columns=["model", "dataset", "dataset__size", "score"],
    )
    new = pd.DataFrame({"model": ["m0", "m1"], "dataset": "new", "dataset__size": -1.0})
    fitted = NearestDatasets(n_neighbors=2).fit(known)
    # A known dataset has two others; "c", the least similar of three, has one of the two results of m1.
    for (_, row), value in zip(new.iterrows(), fitted.predict(new), strict=True):
        expected = slow_nearest(known, row["model"], "new", row[["dataset__size"]].astype(float), 2, 2.0)
        assert value == pytest.approx(expected, rel=1e-9)
    assert_array_equal(fitted.predict(pd.concat([new, known]))[2:], fitted.predict(known))


def test_metadata_may_be_left_out_whole_but_not_in_part(records):
    fitted = NearestDatasets().fit(records)
    names = [name for name in records.columns if name.startswith("dataset__")]
    new = records.head(3).assign(dataset="new")
    assert_allclose(fitted.predict(new.drop(columns=names)), BiasRegressor().fit(records).predict(new))
    with pytest.raises(ValueError, match=f"X has no column '{names[1]}', which is needed to place the unknown dataset"):
        fitted.predict(new.drop(columns=names[1]))


@pytest.mark.parametrize("kind", [bool, "Int64"])
def test_metadata_of_an_unknown_dataset_may_be_of_any_kind_of_number(records, kind):
    fitted = NearestDatasets().fit(records)
    name = next(name for name in records.columns if name.startswith("dataset__"))
    new = records.head(4).assign(dataset="new", **{name: [0.0, 1.0, 1.0, 0.0]})
    assert_allclose(fitted.predict(new.astype({name: kind})), fitted.predict(new))


def test_a_dataset_that_is_like_no_other_is_an_average_one():
    records = pd.DataFrame({"model": list("abab"), "dataset": list("xxyy"), "score": [0.5, 0.7, 0.6, 0.9]})
    asked = pd.DataFrame({"model": ["a", "b"], "dataset": "z"})
    assert_allclose(NearestDatasets(shrinkage=0).fit(records).predict(asked), [0.55, 0.8])


def test_one_dataset_is_enough(records):
    one = records[records["dataset"] == records["dataset"].iloc[0]]
    assert_allclose(NearestDatasets().fit(one).predict(records), BiasRegressor().fit(one).predict(records))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("estimator", "change", "message"),
    [
        (
            MatrixCompletion(alpha=0.0),
            {},
            "The 'alpha' parameter of MatrixCompletion must be a float in the range",
        ),
        (MatrixCompletion(n_components=0), {}, "The 'n_components' parameter of MatrixCompletion must be an int in"),
        (MatrixCompletion(), {"score": np.nan}, "value(s) that are not finite numbers"),
        (NearestDatasets(metric="hamming"), {}, "The 'metric' parameter of NearestDatasets must be a str among"),
        (NearestDatasets(), {"dataset__kind": "photos"}, "Column 'dataset__kind' does not hold numbers"),
        (NearestDatasets(target="accuracy"), {}, "X has no target column 'accuracy' and y is None"),
    ],
)
def test_bad_input(records, estimator, change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        estimator.fit(records.assign(**change))
