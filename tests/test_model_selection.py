"""The splitters: nothing leaks, folds are balanced, and the missing-edge masks are the published ones."""

from collections import defaultdict

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import check_cv, cross_validate

from skgat.model_selection import LeaveBothOut, LeaveDatasetsOut, LeaveModelsOut, MissingEdges

KINDS = {"dataset": LeaveDatasetsOut, "model": LeaveModelsOut}
ALL = [LeaveDatasetsOut, LeaveModelsOut, LeaveBothOut, MissingEdges]
FRAMES = {
    "pandas": lambda X: X,
    "polars": pl.from_pandas,
    "pyarrow": lambda X: pa.Table.from_pandas(X, preserve_index=False),
    "array": lambda X: X.to_numpy(),
    "nameless frame": lambda X: X.set_axis(range(X.shape[1]), axis=1),
}


def matrix(n_models, n_datasets):
    X = pd.DataFrame([(f"m{i:02}", f"d{j:02}") for j in range(n_datasets) for i in range(n_models)])
    return X.set_axis(["model", "dataset"], axis=1)


def make(splitter, n_splits, random_state=None):
    if splitter is MissingEdges:
        return MissingEdges(ratios=(0.5, 0.0), n_splits=n_splits, random_state=random_state)
    return splitter(n_splits, random_state=random_state)


def parts(cv, X, **kwargs):
    """The splits as sets of (model, dataset) pairs, which do not depend on the order of rows."""
    rows = list(X.itertuples(index=False, name=None))
    return [tuple({rows[i] for i in part} for part in split) for split in cv.split(X, **kwargs)]


records = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=6, max_size=60
).map(lambda rows: pd.DataFrame(rows, columns=["model", "dataset"]))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(X=records, n_splits=st.sampled_from([2, 3, 5, "all"]), random_state=st.sampled_from([None, 0, 1]))
def test_held_out_ids_are_not_in_train(kind, X, n_splits, random_state):
    n_ids = X[kind].nunique()
    assume(n_ids >= (2 if n_splits == "all" else n_splits))
    cv = KINDS[kind](n_splits, random_state=random_state)
    splits = list(cv.split(X))
    assert len(splits) == cv.get_n_splits(X) == (n_ids if n_splits == "all" else n_splits)
    for train, test in splits:
        assert sorted([*train, *test]) == list(range(len(X)))
        assert not set(X[kind].iloc[train]) & set(X[kind].iloc[test])
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(len(X)))
    sizes = [X[kind].iloc[test].nunique() for _, test in splits]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None, max_examples=60)
@given(
    n_models=st.integers(3, 7),
    n_datasets=st.integers(3, 7),
    n_splits=st.sampled_from([2, 3, "all"]),
    random_state=st.sampled_from([None, 0, 1]),
    data=st.data(),
)
def test_leave_both_out_trains_on_neither(n_models, n_datasets, n_splits, random_state, data):
    X = matrix(n_models, n_datasets).sample(frac=1, random_state=data.draw(st.integers(0, 9)))
    cv = LeaveBothOut(n_splits, random_state=random_state)
    splits = list(cv.split(X))
    assert len(splits) == cv.get_n_splits(X) == (n_models * n_datasets if n_splits == "all" else n_splits)
    models, datasets = X["model"].to_numpy(), X["dataset"].to_numpy()
    held = defaultdict(list)
    for train, test in splits:
        held_models, held_datasets = set(models[test]), set(datasets[test])
        neither = ~(np.isin(models, list(held_models)) | np.isin(datasets, list(held_datasets)))
        both = np.isin(models, list(held_models)) & np.isin(datasets, list(held_datasets))
        np.testing.assert_array_equal(train, np.flatnonzero(neither))
        np.testing.assert_array_equal(test, np.flatnonzero(both))
        held["models"] += held_models
        held["datasets"] += held_datasets
    if n_splits != "all":
        assert sorted(held["models"]) == sorted(set(models))
        assert sorted(held["datasets"]) == sorted(set(datasets))


@settings(deadline=None, max_examples=60)
@given(
    models=st.lists(st.lists(st.integers(0, 7), min_size=2, max_size=12).filter(lambda m: len(set(m)) > 1), min_size=4),
    ratios=st.lists(st.floats(0, 0.99), max_size=3).map(lambda rest: (0.5, *rest)),
    random_state=st.integers(0, 3),
)
def test_missing_edges_keeps_the_right_share_of_each_dataset(models, ratios, random_state):
    X = pd.DataFrame([(m, d) for d, row in enumerate(models) for m in row], columns=["model", "dataset"])
    n_models = X.groupby("dataset")["model"].nunique()
    splits = list(MissingEdges(ratios, n_splits=3, random_state=random_state).split(X))
    assert len(splits) == 3
    pairs = list(X.itertuples(index=False, name=None))
    for train, test in splits:
        assert sorted([*train, *test]) == list(range(len(X)))
        assert not {pairs[i] for i in train} & {pairs[i] for i in test}
        known = X.iloc[train].groupby("dataset")["model"].nunique().reindex(n_models.index, fill_value=0)
        assert all(k in {int(n * ratio) for ratio in ratios} for k, n in zip(known, n_models, strict=True))


def test_missing_edges_groups_are_of_equal_size_and_drawn_anew():
    X = matrix(10, 40)
    splits = parts(MissingEdges(random_state=0), X)
    assert len(splits) == 10
    cold = []
    for train, test in splits:
        n_known = pd.Series([d for _, d in train]).value_counts().reindex(X["dataset"].unique(), fill_value=0)
        assert n_known.value_counts().to_dict() == dict.fromkeys(range(10), 4)
        assert len(train) + len(test) == 400
        cold.append(frozenset(n_known.index[n_known == 0]))
    assert len(set(cold)) == 10
    assert 0.5 * 10 * 40 / 10 < len(frozenset().union(*cold)) <= 40


def test_missing_edges_known_results_are_evenly_spread():
    X = matrix(10, 10)
    counts = pd.Series(0, index=X["model"].unique())
    for train, _ in MissingEdges((0.5,), n_splits=200, random_state=0).split(X):
        counts += X["model"].iloc[train].value_counts().reindex(counts.index, fill_value=0)
    # 2,000 draws of one half for each model: a standard deviation of about 22.
    assert counts.between(1000 - 110, 1000 + 110).all()


@pytest.mark.parametrize("ratio", [0.1, 0.29, 0.3, 0.57, 0.58, 0.6, 0.7, 0.9, 1 / 3])
@pytest.mark.parametrize("n_models", [10, 12, 100])
def test_missing_edges_counts_are_cut_as_python_cuts_them(n_models, ratio):
    expected = int(n_models * ratio)
    train, _ = next(MissingEdges((ratio,), n_splits=1, random_state=0).split(matrix(n_models, 1)))
    assert len(train) == expected


def published_masks(n_splits, ratios, n_models, n_datasets):
    """The generator of the published code, written on its own: global seed, whole matrices."""
    import torch

    for number in range(n_splits):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            for _ in range(number + 1):
                mask = np.zeros((n_models, n_datasets), dtype=bool)
                columns = torch.randperm(n_datasets).tolist()
                width = n_datasets // len(ratios)
                for group, ratio in enumerate(ratios):
                    for column in columns[group * width : (group + 1) * width]:
                        mask[torch.randperm(n_models)[: int(n_models * ratio)].tolist(), column] = True
        yield mask


@pytest.mark.parametrize("by", ["dataset", "model"])
def test_torch_masks_are_the_published_ones(by):
    import torch

    rng = np.random.default_rng(0)
    models, datasets = rng.permutation(matrix(10, 1)["model"]), rng.permutation(matrix(1, 270)["dataset"])
    X = pd.DataFrame([(m, d) for d in datasets for m in models], columns=["model", "dataset"])
    if by == "model":
        X = pd.DataFrame([(m, d) for m in models for d in datasets], columns=["model", "dataset"])
    row, column = pd.Index(models).get_indexer(X["model"]), pd.Index(datasets).get_indexer(X["dataset"])
    state = torch.get_rng_state()
    cv = MissingEdges(generator="torch")
    masks = published_masks(10, cv.ratios, 10, 270)
    for (train, test), mask in zip(cv.split(X), masks, strict=True):
        np.testing.assert_array_equal(train, np.flatnonzero(mask[row, column]))
        np.testing.assert_array_equal(test, np.flatnonzero(~mask[row, column]))
    assert torch.equal(torch.get_rng_state(), state)


def test_torch_masks_on_a_matrix_with_holes():
    X = matrix(10, 20).sample(frac=0.7, random_state=0)
    n_models = X.groupby("dataset")["model"].nunique()
    for train, test in MissingEdges((0.5, 0.0), n_splits=2, generator="torch").split(X):
        assert sorted([*train, *test]) == list(range(len(X)))
        known = X["dataset"].iloc[train].value_counts()
        assert len(known) == 10
        assert (known == (n_models * 0.5).astype(int)[known.index]).all()


@pytest.mark.parametrize("splitter", ALL)
@pytest.mark.parametrize("random_state", [None, 0])
def test_the_order_of_rows_does_not_matter(splitter, random_state):
    if splitter is MissingEdges and random_state is None:
        random_state = 1
    X = matrix(7, 9).sample(frac=0.8, random_state=0)
    expected = parts(make(splitter, 3, random_state), X)
    for seed in range(3):
        assert parts(make(splitter, 3, random_state), X.sample(frac=1, random_state=seed)) == expected


@pytest.mark.parametrize("splitter", ALL)
def test_random_state_decides(splitter):
    X = matrix(7, 9)
    assert parts(make(splitter, 3, 0), X) == parts(make(splitter, 3, 0), X)
    assert parts(make(splitter, 3, 0), X) != parts(make(splitter, 3, 1), X)
    stream = np.random.RandomState(0)
    cv = make(splitter, 3, stream)
    assert parts(cv, X) != parts(cv, X)


@pytest.mark.parametrize("splitter", [LeaveDatasetsOut, LeaveModelsOut, LeaveBothOut])
def test_shuffle_says_whether_chance_decides(splitter):
    X = matrix(20, 20)
    plain = parts(splitter(4), X)
    assert parts(splitter(4, shuffle=False, random_state=0), X) == plain
    assert parts(splitter(4, random_state=0), X) == parts(splitter(4, shuffle=True, random_state=0), X) != plain
    assert parts(splitter(4, shuffle=True), X) != parts(splitter(4, shuffle=True), X)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("random_state", [None, 0, 1])
def test_folds_are_balanced_in_rows_where_ids_differ_much(kind, random_state):
    sizes = [40, 39, 38, 20, 20, 19, 10, 9, 9, 1, 1, 2]
    ids = np.repeat(np.arange(len(sizes)), sizes)
    X = pd.DataFrame({"model": ids, "dataset": ids})
    cv = KINDS[kind](3, random_state=random_state)
    rows = [len(test) for _, test in cv.split(X)]
    # By chance each fold still gets one of the three largest, one of the next three, ...: 2 + 1 + 1 + 1 rows apart.
    assert max(rows) - min(rows) <= (1 if random_state is None else 5)
    assert {X[kind].iloc[test].nunique() for _, test in cv.split(X)} == {4}


@pytest.mark.parametrize("splitter", ALL)
@pytest.mark.parametrize("library", FRAMES)
def test_every_kind_of_frame_gives_the_same_splits(splitter, library):
    X = matrix(6, 6).sample(frac=1, random_state=0)
    cv = make(splitter, 2, 0)
    splits = list(cv.split(FRAMES[library](X)))
    for (train, test), (expected_train, expected_test) in zip(splits, cv.split(X), strict=True):
        np.testing.assert_array_equal(train, expected_train)
        np.testing.assert_array_equal(test, expected_test)


def test_a_numeric_array_has_models_in_column_0_and_datasets_in_column_1():
    X = np.array([[0, 5, 0.3], [1, 5, 0.4], [0, 6, 0.1], [1, 6, 0.2]])
    assert [test.tolist() for _, test in LeaveDatasetsOut("all").split(X)] == [[0, 1], [2, 3]]
    assert [test.tolist() for _, test in LeaveModelsOut("all").split(X)] == [[0, 2], [1, 3]]


def test_other_column_names():
    X = matrix(4, 4).rename(columns={"model": "net", "dataset": "task"})
    renamed = X.rename(columns={"net": "model", "task": "dataset"})
    for cv, named in (
        (LeaveDatasetsOut(2), LeaveDatasetsOut(2, dataset="task")),
        (LeaveModelsOut(2), LeaveModelsOut(2, model="net")),
        (LeaveBothOut(2), LeaveBothOut(2, model="net", dataset="task")),
        (
            MissingEdges((0.5, 0.0), random_state=0),
            MissingEdges((0.5, 0.0), random_state=0, model="net", dataset="task"),
        ),
    ):
        assert parts(named, X) == parts(cv, renamed)


@pytest.mark.parametrize("splitter", ALL)
def test_explicit_groups_win(splitter):
    X, other = matrix(6, 6), matrix(6, 6).sample(frac=1, random_state=0)
    cv = make(splitter, 2, 0)
    column = {LeaveDatasetsOut: "dataset", LeaveModelsOut: "model"}.get(splitter)
    groups = other if column is None else other[column].tolist()
    splits = list(cv.split(X, groups=groups))
    for split, expected, plain in zip(splits, cv.split(other), cv.split(X), strict=True):
        np.testing.assert_array_equal(split[1], expected[1])
        assert not np.array_equal(split[1], plain[1])
    assert len(list(cv.split(np.zeros((36, 1)), groups=groups))) == cv.get_n_splits(groups=groups) == 2
    with pytest.raises(ValueError, match="Got groups for 36 rows, but X has 5 rows"):
        next(cv.split(X[:5], groups=groups))
    if column is None:
        np.testing.assert_array_equal(splits[0][1], next(cv.split(X, groups=other.to_numpy()))[1])
        with pytest.raises(ValueError, match=r"Got groups of shape \(36, 1\), but expected two columns"):
            next(cv.split(X, groups=other["model"].tolist()))


@pytest.mark.parametrize("splitter", [LeaveDatasetsOut, LeaveModelsOut, LeaveBothOut])
def test_all_needs_the_data_to_count(splitter):
    X = matrix(3, 5)
    n_splits = {LeaveDatasetsOut: 5, LeaveModelsOut: 3, LeaveBothOut: 15}[splitter]
    cv = splitter(n_splits="all")
    assert cv.get_n_splits(X) == len(list(cv.split(X))) == n_splits
    assert parts(splitter("all", random_state=0), X) == parts(cv, X)
    with pytest.raises(ValueError, match=r"Got X=None, but n_splits='all' needs X \(or groups\) to count the ids"):
        cv.get_n_splits()


@pytest.mark.parametrize(
    "ids", [[1, 1, "1", "1"], ["é", "é", "ü", "ü"], [1.5, 1.5, 2, 2], [True, True, "no", "no"], [(1, 2), (1, 2), 3, 3]]
)
def test_ids_of_any_type(ids):
    X = pd.DataFrame({"model": list("abab"), "dataset": pd.Series(ids, dtype=object)})
    assert sorted(test.tolist() for _, test in LeaveDatasetsOut(2).split(X)) == [[0, 1], [2, 3]]
    assert sorted(test.tolist() for _, test in LeaveDatasetsOut(2).split(X, groups=ids)) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("splitter", [LeaveDatasetsOut, LeaveModelsOut, LeaveBothOut])
@pytest.mark.parametrize("n_splits", [1, 0, -3, 2.0, True, "some", None])
def test_bad_n_splits_is_named(splitter, n_splits):
    with pytest.raises(ValueError, match=f"Got n_splits={n_splits!r}, but expected an integer of at least 2 or 'all'"):
        splitter(n_splits)


@pytest.mark.parametrize(("splitter", "role"), [(LeaveDatasetsOut, "dataset"), (LeaveModelsOut, "model")])
def test_too_few_ids_are_named(splitter, role):
    X = matrix(3, 3)
    message = rf"Got n_splits=4, but the rows have only 3 distinct {role} id\(s\); expected at least 4"
    with pytest.raises(ValueError, match=message):
        next(splitter(4).split(X))
    with pytest.raises(ValueError, match=rf"n_splits='all', but the rows have only 1 distinct {role} id\(s\)"):
        next(splitter("all").split(matrix(1, 1)))
    with pytest.raises(ValueError, match=rf"only 0 distinct {role}"):
        next(splitter(4).split(X[:0]))
    assert len(list(splitter(3).split(X))) == 3


@pytest.mark.parametrize(("rows", "role"), [((3, 9), "model"), ((9, 3), "dataset")])
def test_leave_both_out_needs_enough_of_both(rows, role):
    with pytest.raises(ValueError, match=rf"Got n_splits=4, but the rows have only 3 distinct {role} id\(s\)"):
        next(LeaveBothOut(4).split(matrix(*rows)))


def test_a_split_without_records_is_an_error():
    X = matrix(2, 2).drop(index=[0, 3])
    with pytest.raises(ValueError, match="Split 0 of LeaveBothOut has no record to train on"):
        list(LeaveBothOut(2).split(X))
    with pytest.raises(ValueError, match="Split 0 of LeaveBothOut has no record to test on"):
        list(LeaveBothOut(3).split(pd.DataFrame({"model": [0, 1, 2], "dataset": [1, 2, 0]})))
    with pytest.raises(ValueError, match=r"Split 0 of MissingEdges has no record to train on"):
        list(MissingEdges((0.9, 0.0)).split(matrix(1, 2)))
    with pytest.raises(ValueError, match=r"Split 0 of MissingEdges has no record to test on"):
        list(MissingEdges((1.0,)).split(X))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratios": ()}, r"Got ratios=\(\), but expected a sequence of numbers between 0 and 1"),
        ({"ratios": 0.5}, r"Got ratios=0.5, but expected a sequence of numbers"),
        ({"ratios": (0.5, 1.5)}, r"Got ratios=\(0.5, 1.5\), but expected"),
        ({"ratios": (0.5, float("nan"))}, r"Got ratios=\(0.5, nan\), but expected"),
        ({"ratios": ("0.5",)}, r"Got ratios=\('0.5',\), but expected"),
        ({"n_splits": 0}, "Got n_splits=0, but expected an integer of at least 1"),
        ({"n_splits": "all"}, "Got n_splits='all', but expected an integer of at least 1"),
        ({"generator": "jax"}, "Got generator='jax', but expected 'numpy' or 'torch'"),
        ({"generator": "torch", "random_state": 0}, "Got random_state=0, but expected None: generator='torch' seeds"),
    ],
)
def test_bad_arguments_of_missing_edges_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        MissingEdges(**arguments)


def test_more_ratios_than_datasets_are_an_error():
    with pytest.raises(ValueError, match=r"Got 10 ratios, but X has only 9 distinct dataset id\(s\)"):
        next(MissingEdges().split(matrix(10, 9)))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_bad_columns_are_named(library):
    frame = FRAMES[library]
    message = (
        r"X has no column 'task' with the dataset ids; its columns are \['model', 'dataset'\]. "
        "Rename the column or set dataset= to its name"
    )
    with pytest.raises(ValueError, match=message):
        next(LeaveDatasetsOut(2, dataset="task").split(frame(matrix(3, 3))))
    X = pd.DataFrame({"model": ["a", None, "b"], "dataset": ["x", "y", "z"]})
    for cv in (LeaveModelsOut(2), LeaveBothOut(2), MissingEdges()):
        with pytest.raises(ValueError, match=r"Column 'model' has 1 missing model id\(s\), the first in row 1"):
            next(cv.split(frame(X)))


def test_bad_arrays_are_named():
    with pytest.raises(ValueError, match=r"Got X of shape \(4,\), but expected a frame with the column 'dataset', or"):
        next(LeaveDatasetsOut(2).split(np.zeros(4)))
    with pytest.raises(ValueError, match=r"Column 1 of X has 1 missing dataset id\(s\), the first in row 0"):
        next(LeaveDatasetsOut(2).split(np.array([[0, np.nan], [1, 1]])))
    with pytest.raises(ValueError, match=r"groups has 2 missing dataset id\(s\), the first in row 1"):
        next(LeaveDatasetsOut(2).split(np.zeros((3, 2)), groups=["a", None, float("nan")]))


@pytest.mark.parametrize(
    ("cv", "expected"),
    [
        (LeaveDatasetsOut(), "LeaveDatasetsOut(dataset='dataset', n_splits=5, random_state=None, shuffle=None)"),
        (LeaveModelsOut("all"), "LeaveModelsOut(model='model', n_splits='all', random_state=None, shuffle=None)"),
        (LeaveBothOut(3, random_state=1), "LeaveBothOut(dataset='dataset', model='model', n_splits=3, random_state=1,"),
        (MissingEdges((0.5, 0.0), 2), "MissingEdges(dataset='dataset', generator='numpy', model='model', n_splits=2,"),
    ],
)
def test_repr(cv, expected):
    assert " ".join(repr(cv).split()).startswith(expected)


@pytest.mark.parametrize("splitter", ALL)
@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_in_cross_validate(splitter, routing, library):
    X = FRAMES[library](matrix(8, 6).assign(score=0.0))
    y = np.arange(48.0)
    cv = make(splitter, 2, 0)
    assert check_cv(cv) is cv
    with sklearn.config_context(enable_metadata_routing=routing):
        result = cross_validate(DummyRegressor(), X, y, cv=cv, return_indices=True, error_score="raise")
    for test, (_, expected) in zip(result["indices"]["test"], cv.split(X), strict=True):
        np.testing.assert_array_equal(test, expected)
    means = [y[train].mean() for train, _ in cv.split(X)]
    losses = [1 - ((y[t] - m) ** 2).mean() / y[t].var() for m, (_, t) in zip(means, cv.split(X), strict=True)]
    np.testing.assert_allclose(result["test_score"], losses)
