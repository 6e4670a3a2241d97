"""A table of similar datasets: who is heard from, and the unknown dataset that it places."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone

from skgat import TransferabilityGAT, persistence
from skgat._likeness import read_similarity
from skgat.embedding import GraphEmbedder
from skgat.exceptions import UnknownEntityWarning
from skgat.metrics import spearman

SMALL = {
    "max_iter": 150, "hidden_dim": 16, "n_estimators": 2, "n_neighbors": 3, "feature_dropout": 0.0, "random_state": 0,
    "kernel_weight": 0.0,
}  # fmt: skip
SEEN = [f"{kind}{number}" for kind in ("left", "right") for number in range(8)]
UNKNOWN = ["left-new", "right-new"]


def similarity(ids):
    kinds = np.array([name[0] for name in ids])
    return pd.DataFrame((kinds[:, None] == kinds).astype(float), index=ids, columns=ids)


@pytest.fixture(scope="module")
def two_kinds():
    """Models that do well on one kind of datasets do badly on the other; the table alone tells the kinds apart."""
    rng = np.random.default_rng(0)
    gifts = rng.normal(size=20)
    rows = []
    for dataset in SEEN + UNKNOWN:
        sign = 1.0 if dataset.startswith("left") else -1.0
        scores = 0.6 + 0.1 * sign * gifts + rng.normal(0.0, 0.01, 20)
        rows.append(
            pd.DataFrame(
                {"model": [f"m{i}" for i in range(20)], "dataset": dataset, "score": scores, "model__gift": gifts}
            )
        )
    records = pd.concat(rows, ignore_index=True)
    return records[records["dataset"].isin(SEEN)], records[records["dataset"].isin(UNKNOWN)]


@pytest.fixture(scope="module")
def fitted(two_kinds):
    return TransferabilityGAT(similarity=similarity(SEEN + UNKNOWN), **SMALL).fit(two_kinds[0])


def test_the_table_places_an_unknown_dataset(two_kinds, fitted):
    unknown = two_kinds[1]
    assert spearman(unknown["score"], fitted.predict(unknown), groups=unknown["dataset"]) > 0.8
    # The same pairs, with the two kinds taken for each other.
    names = dict(zip(UNKNOWN, UNKNOWN[::-1], strict=True))
    swapped = fitted.predict(unknown.assign(dataset=unknown["dataset"].map(names)))
    assert spearman(unknown["score"], swapped, groups=unknown["dataset"]) < -0.8


def test_without_a_row_in_the_table_a_dataset_is_unknown(two_kinds, fitted):
    stranger = two_kinds[1].query("dataset == 'left-new'").assign(dataset="stranger")
    with pytest.warns(UnknownEntityWarning, match="stranger"):
        fitted.predict(stranger)


def test_a_row_is_predicted_alone_as_among_others(two_kinds, fitted):
    unknown = two_kinds[1]
    together = fitted.predict(unknown)
    alone = [fitted.predict(unknown.iloc[[row]])[0] for row in (0, 5, 25)]
    np.testing.assert_allclose(together[[0, 5, 25]], alone, rtol=1e-12)


def test_units_do_not_matter_and_distances_are_passed_negated(two_kinds, fitted):
    table = similarity(SEEN + UNKNOWN)
    distances = TransferabilityGAT(similarity=-7.0 * (1.0 - table), **SMALL).fit(two_kinds[0])
    np.testing.assert_allclose(distances.predict(two_kinds[1]), fitted.predict(two_kinds[1]), rtol=1e-6)


def test_saved_and_cloned_with_its_table(two_kinds, fitted, tmp_path):
    persistence.save(fitted, tmp_path / "fitted.skgat")
    loaded = persistence.load(tmp_path / "fitted.skgat")
    np.testing.assert_array_equal(loaded.predict(two_kinds[1]), fitted.predict(two_kinds[1]))
    assert clone(fitted).get_params()["similarity"].equals(fitted.similarity)


@pytest.mark.parametrize("make", [pl.from_pandas, pa.Table.from_pandas], ids=["polars", "pyarrow"])
def test_saved_with_a_table_of_another_library(two_kinds, make, tmp_path):
    table = make(similarity(SEEN + UNKNOWN).reset_index(names="dataset"))
    estimators = (
        TransferabilityGAT(similarity=table, **{**SMALL, "max_iter": 5}),
        GraphEmbedder(similarity=table, random_state=0),
    )
    for number, estimator in enumerate(estimators):
        use = "predict" if number == 0 else "transform"
        estimator.fit(two_kinds[0])
        persistence.save(estimator, tmp_path / "it.skgat")
        assert estimator.similarity is table
        loaded = persistence.load(tmp_path / "it.skgat")
        expected, again = (getattr(fitted, use)(two_kinds[1]) for fitted in (estimator, loaded))
        np.testing.assert_array_equal(np.asarray(again), np.asarray(expected))
        # What was loaded can be fitted again, with the same table.
        again = getattr(clone(loaded).fit(two_kinds[0]), use)(two_kinds[1])
        np.testing.assert_array_equal(np.asarray(again), np.asarray(expected))


def test_partial_fit_takes_in_a_dataset_of_the_table(two_kinds):
    known, unknown = two_kinds
    grown = TransferabilityGAT(similarity=similarity(SEEN + UNKNOWN), **SMALL).fit(known)
    few = unknown.groupby("dataset").head(4)
    grown.partial_fit(few)
    assert set(UNKNOWN) <= set(grown.datasets_)
    assert spearman(unknown["score"], grown.predict(unknown), groups=unknown["dataset"]) > 0.8
    with pytest.raises(ValueError, match="similarity has no row for 'other'"):
        grown.partial_fit(few.head(4).assign(dataset="other"))


def test_ids_that_are_numbers_may_be_in_the_first_column():
    table = pd.DataFrame([[1.0, 0.2, 0.7], [0.2, 1.0, 0.4], [0.7, 0.4, 1.0]], index=[3, 1, 2], columns=[3, 1, 2])
    expected = read_similarity(table)
    alike = {"check_names": False, "check_index_type": False, "check_column_type": False}
    pd.testing.assert_frame_equal(read_similarity(table.reset_index(names="dataset")), expected, **alike)
    pd.testing.assert_frame_equal(read_similarity(table.reset_index(names=0)), expected, **alike)


def test_bad_tables_are_refused(two_kinds):
    known = two_kinds[0]
    with pytest.raises(ValueError, match="similarity has no row for 'right7'"):
        TransferabilityGAT(similarity=similarity(SEEN[:-1]), **SMALL).fit(known)
    with pytest.raises(TypeError, match="similarity must be a dataframe, got ndarray"):
        TransferabilityGAT(similarity=np.eye(16), **SMALL).fit(known)
    with pytest.raises(ValueError, match="Got similarity with n_neighbors=0"):
        TransferabilityGAT(**SMALL | {"similarity": similarity(SEEN), "n_neighbors": 0}).fit(known)


def test_new_records_leave_the_number_of_neighbors_as_it_was_in_the_fit(two_kinds):
    seen, _ = two_kinds
    described = seen.assign(dataset__kind=seen["dataset"].str.startswith("left").astype(float))
    few = SMALL | {"max_iter": 5}
    expected = TransferabilityGAT(**few).fit(described).partial_fit(described.iloc[:1]).predict(described)
    other = TransferabilityGAT(**few).fit(described).set_params(n_neighbors=0).partial_fit(described.iloc[:1])
    np.testing.assert_array_equal(other.predict(described), expected)
