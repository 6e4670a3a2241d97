"""The plain classifiers against scikit-learn's, and NCTI against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from skgat.transferability import knn, lda, linear_probe, ncti, probes


def classes(n=150, d=8, n_classes=3, seed=0, apart=0.7):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    return apart * rng.normal(size=(n_classes, d))[y] + rng.normal(size=(n, d)) + 3, y


def folds(y, cv, seed):
    """The documented folds: rows in random order, class by class, dealt out in turn."""
    mixed = np.random.default_rng(seed).permutation(len(y))
    dealt = mixed[np.argsort(y[mixed], kind="stable")]
    for fold in range(cv):
        test = dealt[fold::cv]
        yield np.setdiff1d(np.arange(len(y)), test), test


@pytest.mark.parametrize(("n", "d"), [(150, 8), (60, 80)])
@pytest.mark.parametrize("shrinkage", [0.1, 0.9])
def test_lda_is_that_of_scikit_learn(n, d, shrinkage):
    X, y = classes(n, d)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    for scoring, reference in (("accuracy", "accuracy"), ("log_likelihood", "neg_log_loss")):
        # neg_log_loss clips where a probability reaches 0, which none does here.
        expected = cross_val_score(model, X, y, cv=list(folds(y, 5, 3)), scoring=reference).mean()
        found = lda(X, y, shrinkage=shrinkage, scoring=scoring, random_state=3)
        assert found == pytest.approx(expected, rel=1e-6)


def test_lda_shrinks_by_itself_where_there_are_few_rows():
    X, y = classes(60, 80, apart=0.3)
    scores = [lda(X, y, scoring="log_likelihood", shrinkage=value) for value in ("auto", 1e-9, 1.0)]
    assert scores[0] > scores[1]


def test_lda_leaves_single_rows_out_of_the_likelihood_and_counts_them_as_wrong():
    X, y = classes(apart=20)
    y = y.copy()
    y[0] = 9
    assert lda(X, y) == pytest.approx(149 / 150)
    assert lda(X, y, scoring="log_likelihood") > -0.1
    with pytest.raises(ValueError, match="every class has one row"):
        lda(X, np.arange(150), scoring="log_likelihood")
    with pytest.raises(ValueError, match="Got cv=1, but expected an integer of at least 2"):
        lda(X, y, cv=1)
    with pytest.raises(ValueError, match=r"Got shrinkage=-0\.5, but expected a number between 0 and 1"):
        lda(X, y, shrinkage=-0.5)


@pytest.mark.parametrize("n_neighbors", [1, 3])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("n", [150, 700])
def test_knn_is_leave_one_out(n_neighbors, metric, n):
    X, y = classes(n, n_classes=2)
    model = KNeighborsClassifier(n_neighbors, metric=metric)
    near = model.fit(X, y).kneighbors(return_distance=False)
    votes = (y[near].mean(axis=1) > 0.5).astype(int)
    assert knn(X, y, n_neighbors=n_neighbors, metric=metric) == pytest.approx((votes == y).mean(), abs=1e-12)
    if n == 150 and metric == "euclidean":
        assert knn(X, y, n_neighbors=1) == cross_val_score(KNeighborsClassifier(1), X, y, cv=LeaveOneOut()).mean()


def test_knn_breaks_ties_by_the_nearest_row():
    # The two neighbours of row 0 differ in class; the nearer one is of its own.
    X = np.array([[0.0], [0.1], [-0.3], [5.0], [5.1], [-5.0], [-5.2]])
    y = np.array([0, 0, 1, 0, 0, 1, 1])
    assert knn(X[:3], y[:3], n_neighbors=2) == pytest.approx(2 / 3)


def test_knn_orders_rows_that_single_precision_cannot():
    X = np.array([[1.0], [1.0 + 1e-9], [1.0 + 3e-9], [2.0], [2.0 + 1e-9], [2.0 + 3e-9]])
    y = np.array([0, 0, 1, 0, 0, 1])
    assert knn(X, y, n_neighbors=1) == pytest.approx(4 / 6)


def exact_knn(X, y, k=5):
    distance = ((X[:, None] - X) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    near = y[np.argsort(distance, axis=1, kind="stable")[:, :k]]
    votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)
    return (near[np.arange(len(y)), votes.argmax(axis=1)] == y).mean()


@pytest.mark.parametrize("apart", [1e2, 1e4, 1e8])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_knn_of_groups_far_apart_is_that_within_them(apart, as_tensor):
    """All rows of a group are equally far in single precision, at 1e8 in double precision by products too."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=700)
    X = rng.normal(size=(700, 4))
    X[:, 1] += 3 * y
    X[:, 0] = apart * rng.choice([-1, 1], size=700)
    expected = exact_knn(X, y)
    assert expected > 0.9
    X = pytest.importorskip("torch").tensor(X) if as_tensor else X
    assert knn(X, y) == expected


def test_knn_by_the_cosine_of_rows_that_share_a_direction():
    X, y = classes(600, 4, 2)
    X = X + 3e4
    unit = X / np.linalg.norm(X, axis=1)[:, None]
    assert knn(X, y, metric="cosine") == exact_knn(unit, y) > 0.6


def test_knn_needs_more_rows_than_neighbours():
    with pytest.raises(ValueError, match="Got n_neighbors=3 for 3 rows"):
        knn(np.eye(3), [0, 0, 1], n_neighbors=3)


def test_linear_probe_is_logistic_regression_on_held_out_rows():
    X, y = classes(400, 6, 3)
    mixed = np.random.default_rng(0).permutation(400)
    dealt = mixed[np.argsort(y[mixed], kind="stable")]
    is_test = np.diff(np.arange(401) * 100 // 400) > 0
    train, test = dealt[~is_test], dealt[is_test]
    scaled = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    model = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(scaled[train], y[train])
    assert linear_probe(X, y, C=0.5) == model.score(scaled[test], y[test])
    expected = model.predict_log_proba(scaled[test])[np.arange(100), y[test]].mean()
    assert linear_probe(X, y, C=0.5, scoring="log_likelihood") == pytest.approx(expected, rel=1e-4)


def test_linear_probe_holds_out_of_every_class():
    X, y = classes(60, 4, 3, apart=30)
    assert linear_probe(X, y, test_size=0.1) == 1
    with pytest.raises(ValueError, match="Got test_size=0 of 60 rows"):
        linear_probe(X, y, test_size=0)
    with pytest.raises(ValueError, match="every class has one row"):
        linear_probe(X, np.arange(60), scoring="log_likelihood")


def test_ncti_is_its_definition():
    X, y = classes(200, 70, 4, apart=0.4)
    X = 0.05 * X
    pca = PCA(64, svd_solver="full")
    Z = pca.fit_transform(X)
    shrinkage = float(max(np.exp(-pca.explained_variance_[:32].sum()), 1e-10))
    assert shrinkage > 1e-3
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage).fit(Z, y)
    P = model.predict_proba(Z)
    low = model.transform(Z)
    parts = ncti(X, y, return_parts=True)
    assert parts["ncc"] == pytest.approx(P[np.arange(200), y].mean(), rel=1e-6)
    collapse = sum(np.linalg.norm(P[y == label], "nuc") for label in range(4))
    assert parts["vc"] == pytest.approx(-np.log(collapse), rel=1e-6)
    assert parts["seli"] == pytest.approx(np.linalg.norm(low - low.mean(axis=0), "nuc"), rel=1e-2)
    assert ncti(X, y) == pytest.approx(sum(parts.values()), rel=1e-12)


@pytest.mark.parametrize("shape", [(120, 20), (30, 5), (10, 20)])
def test_ncti_needs_a_class_of_two_rows(shape):
    X, y = np.random.default_rng(0).normal(size=shape), np.arange(shape[0])
    with pytest.raises(ValueError, match="Got labels of which no two rows share a class, but ncti needs the scatter"):
        ncti(X, y)
    y[1] = 0
    assert np.isfinite(ncti(X, y))


@settings(deadline=None, max_examples=25)
@given(n=st.integers(8, 50), d=st.integers(1, 70), n_classes=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_probes_stay_in_their_range(n, d, n_classes, seed):
    X, y = np.random.default_rng(seed).normal(size=(n, d)), np.arange(n) % n_classes
    for value in (lda(X, y), knn(X, y, n_neighbors=2), linear_probe(X, y), ncti(X, y, return_parts=True)["ncc"]):
        assert 0 <= value <= 1 + 1e-12


@pytest.mark.untraced  # Most of it are seven hundred fits of scikit-learn's.
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_knn_by_blocks_is_knn_at_once(metric, monkeypatch):
    X, y = classes(n=700, d=12, apart=0.5)
    at_once = knn(X, y, metric=metric)
    monkeypatch.setattr(probes, "_MOST_AT_ONCE", 0)
    assert knn(X, y, metric=metric) == at_once
    plain = KNeighborsClassifier(1, metric=metric)
    assert knn(X, y, n_neighbors=1, metric=metric) == cross_val_score(plain, X, y, cv=LeaveOneOut()).mean()
