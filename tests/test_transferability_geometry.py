"""PARC, GBC, TransRate and LFC against slow references that form every matrix."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skgat.transferability import gbc, lfc, ncti, parc, transrate
from skgat.transferability._moments import Moments
from skgat.transferability.geometry import transrate_of


def classes(n=120, d=8, n_classes=3, seed=0, apart=0.7):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    return apart * rng.normal(size=(n_classes, d))[y] + rng.normal(size=(n, d)) + 1, y


def slow_parc(X, y):
    distance = 1 - np.corrcoef(StandardScaler().fit_transform(X))
    upper = np.triu_indices(len(y), 1)
    return 100 * spearmanr(distance[upper].round(10), np.not_equal.outer(y, y)[upper]).statistic


@pytest.mark.parametrize(("n", "d", "n_classes"), [(120, 8, 3), (60, 90, 37), (200, 3, 2)])
def test_parc_is_spearman_with_two_label_distances(n, d, n_classes):
    X, y = classes(n, d, n_classes)
    assert parc(X, y) == pytest.approx(slow_parc(X, y), rel=1e-9)


def test_parc_of_many_rows_counts_what_others_sort():
    X, y = classes(1500, 10, 5)
    assert parc(X, y) == pytest.approx(slow_parc(X, y), rel=1e-5)


def test_parc_gives_ties_their_middle_rank():
    rng = np.random.default_rng(0)
    X = rng.integers(3, size=(1300, 4)).astype(float)
    y = (X[:, 0] > rng.integers(3, size=1300)).astype(int)
    assert parc(X[:200], y[:200]) == pytest.approx(slow_parc(X[:200], y[:200]), rel=1e-9)
    X[0] += np.arange(4)
    assert parc(X, y) == pytest.approx(slow_parc(X, y), rel=2e-3)


def test_parc_on_principal_components():
    X, y = classes(150, 40, 3)
    assert parc(X, y, n_dims=5) == pytest.approx(slow_parc(PCA(5).fit_transform(X), y), rel=1e-6)


def test_parc_on_a_draw_of_rows():
    X, y = classes(400, 8, 3)
    rows = np.sort(np.random.default_rng(5).choice(400, 90, replace=False))
    assert parc(X, y, max_samples=90, random_state=5) == pytest.approx(parc(X[rows], y[rows]), rel=1e-9)
    assert parc(X, y, max_samples=None) == parc(X, y)


def test_parc_limits():
    y = np.repeat([0, 1], 10)
    X = np.where(y[:, None] == [0, 1, 1], 1.0, -1.0) + np.arange(20)[:, None] % 2 * [0.1, 0, 0]
    n_same, n_pairs = 90, 190
    perfect = 100 * np.sqrt(3 * n_same * (n_pairs - n_same) / (n_pairs**2 - 1))
    assert 0 < perfect < parc(X, y) <= 100 + 1e-9
    with pytest.raises(ValueError, match="no two rows share a class"):
        parc(X, np.arange(20))
    with pytest.raises(ValueError, match="Got max_samples=1, but expected an integer of at least 2"):
        parc(X, y, max_samples=1)


def slow_gbc(X, y, covariance):
    stats = []
    for label in np.unique(y):
        rows = X[y == label]
        variance = np.maximum(rows.var(axis=0), 1e-4)
        stats.append(
            (rows.mean(axis=0), np.full_like(variance, variance.mean()) if covariance == "spherical" else variance)
        )
    total = 0.0
    for i, (m1, v1) in enumerate(stats):
        for j, (m2, v2) in enumerate(stats):
            middle = (v1 + v2) / 2
            distance = ((m1 - m2) ** 2 / middle).sum() / 8 + 0.5 * np.log(middle / np.sqrt(v1 * v2)).sum()
            total -= np.exp(-distance) if i != j else 0
    return total


@pytest.mark.parametrize("covariance", ["spherical", "diag"])
def test_gbc_is_its_definition(covariance):
    X, y = classes(200, 100, 5, apart=0.1)
    reduced = PCA(64, svd_solver="full").fit_transform(X)
    assert gbc(X, y, covariance=covariance) == pytest.approx(slow_gbc(reduced, y, covariance), rel=1e-6)
    assert gbc(X, y, covariance=covariance, n_dims=None) == pytest.approx(slow_gbc(X, y, covariance), rel=1e-9)


def test_gbc_by_hand():
    # Two classes of variance 1, two apart: distance 4 / 8.
    assert gbc([[-2.0], [0.0], [0.0], [2.0]], [0, 0, 1, 1]) == pytest.approx(-2 * np.exp(-0.5), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(6, 60), d=st.integers(1, 80), n_classes=st.integers(2, 6), seed=st.integers(0, 10**6))
def test_gbc_keeps_its_bounds(n, d, n_classes, seed):
    rng = np.random.default_rng(seed)
    X = 10.0 ** rng.integers(-4, 3) * rng.normal(size=(n, d))
    for covariance in ("spherical", "diag"):
        assert -n_classes * (n_classes - 1) - 1e-9 <= gbc(X, np.arange(n) % n_classes, covariance=covariance) <= 0


def slow_transrate(X, y, eps=1e-4):
    Z = X - X.mean(axis=0)

    def rate(Z):
        return 0.5 * np.linalg.slogdet(np.eye(Z.shape[1]) + Z.T @ Z / (len(Z) * eps))[1]

    return rate(Z) - sum((y == label).mean() * rate(Z[y == label]) for label in np.unique(y))


@pytest.mark.parametrize(
    ("n", "d", "n_classes"), [(120, 8, 3), (60, 25, 3), (60, 40, 3), (40, 70, 4), (30, 30, 2), (33, 30, 2)]
)
def test_transrate_is_its_definition(n, d, n_classes):
    X, y = classes(n, d, n_classes)
    y = np.where(np.arange(n) < n // 3, 0, y)
    assert transrate(X, y) == pytest.approx(slow_transrate(X, y), rel=1e-9)
    assert transrate(X, y, eps=0.1) == pytest.approx(slow_transrate(X, y, eps=0.1), rel=1e-9)


def test_transrate_refuses_a_distortion_that_is_not_positive():
    with pytest.raises(ValueError, match="Got eps=0, but expected a positive finite number"):
        transrate(*classes(), eps=0)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(4, 60), d=st.integers(1, 40), n_classes=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_transrate_is_not_negative(n, d, n_classes, seed):
    X = np.random.default_rng(seed).normal(size=(n, d))
    assert transrate(X, np.arange(n) % n_classes) >= -1e-9


def slow_lfc(X, L):
    return np.corrcoef((X @ X.T).ravel(), L.ravel())[0, 1]


@pytest.mark.parametrize(("n", "d", "n_classes"), [(120, 8, 3), (40, 60, 4), (30, 30, 2)])
@pytest.mark.parametrize("offset", [0, 5, -100])
def test_lfc_is_the_correlation_of_the_gram_matrices(n, d, n_classes, offset):
    X, y = classes(n, d, n_classes)
    expected = slow_lfc(X + offset, np.equal.outer(y, y).astype(float))
    assert lfc(X + offset, y) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("d", [5, 60])
def test_lfc_of_targets(d):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, d)) + 2
    Y = X[:, :2] + rng.normal(size=(50, 2))
    centred = Y - Y.mean(axis=0)
    assert lfc(X, Y, regression=True) == pytest.approx(slow_lfc(X, centred @ centred.T), rel=1e-9)
    assert lfc(X, np.ones(50), regression=True) == 0


@settings(deadline=None, max_examples=30)
@given(n=st.integers(3, 60), d=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_lfc_is_a_correlation(n, d, seed):
    X = np.random.default_rng(seed).normal(size=(n, d))
    assert -1 - 1e-9 <= lfc(X, np.arange(n) % 2) <= 1 + 1e-9


@pytest.mark.parametrize("scale", [1e-25, 1, 1e25])
def test_gram_matrices_in_single_precision_are_good_enough_where_they_are_used(scale):
    """Large inputs: neither the correlation nor the first principal components look at small eigenvalues."""
    torch = pytest.importorskip("torch")
    X, y = classes(600, 300, 4, apart=0.3)
    X *= scale
    expected = slow_lfc(X / scale, np.equal.outer(y, y).astype(float))
    assert lfc(X, y) == pytest.approx(expected, rel=1e-5)
    assert lfc(torch.tensor(X), y) == pytest.approx(expected, rel=1e-5)
    if scale == 1:
        reduced = PCA(64, svd_solver="full").fit_transform(X)
        for inputs in (X, torch.tensor(X)):
            assert gbc(inputs, y) == pytest.approx(slow_gbc(reduced, y, "spherical"), rel=1e-4)


def test_gbc_of_large_features_is_that_of_exact_principal_components():
    X, y = classes(n=1200, d=160, n_classes=5)
    assert Moments(X, y)._large
    X = X * np.linspace(3, 0.2, 160)
    assert gbc(X, y) == pytest.approx(slow_gbc(PCA(64, svd_solver="full").fit_transform(X), y, "spherical"), rel=1e-5)


@pytest.mark.parametrize("dominant", [1e2, 1e3, 1e4])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_one_column_that_dominates_leaves_the_other_principal_axes_right(dominant, library):
    X, y = classes(n=1500, d=120, n_classes=4)
    X = X * np.linspace(2, 0.5, 120)
    X[:, 0] *= dominant
    assert Moments(X, y)._large
    reduced = PCA(64, svd_solver="full").fit_transform(X)
    inputs = X if library == "numpy" else pytest.importorskip("torch").tensor(X)
    assert gbc(inputs, y, covariance="diag") == pytest.approx(slow_gbc(reduced, y, "diag"), rel=1e-5)
    few = PCA(8, svd_solver="full").fit_transform(X)
    assert parc(inputs, y, n_dims=8) == pytest.approx(slow_parc(few, y), abs=1e-3)
    variances, rows = Moments(inputs, y).principal(64)
    np.testing.assert_allclose(variances, reduced.var(axis=0), rtol=1e-6)
    np.testing.assert_allclose(abs(np.asarray(rows)).sum(axis=0), abs(reduced).sum(axis=0), rtol=1e-4)


@pytest.mark.parametrize("n", [60, 2000], ids=["small", "large"])
@pytest.mark.parametrize(
    "measure",
    [partial(parc, n_dims=40), ncti],
    ids=["parc", "ncti"],
)
def test_columns_that_say_nothing_add_no_principal_axis(n, measure):
    X, y = classes(n=n, d=12, n_classes=3)
    padded = np.hstack([X[:, :6], np.zeros((n, 40)), X[:, 6:], np.full((n, 40), 7.0)])
    assert measure(padded, y) == pytest.approx(measure(X, y), rel=1e-9)
    # Signs of the axes, on which parc depends, go by the columns; the others may be turned.
    turned = X @ np.linalg.qr(np.random.default_rng(1).normal(size=(92, 12)))[0].T
    if getattr(measure, "func", None) is not parc:
        assert measure(turned, y) == pytest.approx(measure(X, y), rel=1e-9)


@pytest.mark.parametrize("covariance", ["spherical", "diag"])
@pytest.mark.parametrize(("n", "d"), [(2000, 30), (400, 90), (50, 90)])
def test_gbc_has_axes_along_which_nothing_varies(n, d, covariance):
    """As many as scikit-learn's principal components, whose rounding the floor of the variance hides."""
    X, y = classes(n=n, d=12, n_classes=3, apart=0.1)
    X = X @ np.random.default_rng(1).normal(size=(12, d)) / 4
    reduced = PCA(min(64, n, d), svd_solver="full").fit_transform(X)
    assert gbc(X, y, covariance=covariance) == pytest.approx(slow_gbc(reduced, y, covariance), rel=1e-6)


def test_transrate_leaves_the_gram_matrix_as_it_is():
    """The coding rate is computed in place of what it is given."""
    for n, d in ((200, 10), (40, 60)):
        X, y = classes(n=n, d=d)
        moments = Moments(X, y)
        first = transrate_of(moments)
        gram = moments.kernel if n <= d else moments.gram
        centred = X - X.mean(axis=0)
        np.testing.assert_allclose(gram, centred @ centred.T if n <= d else centred.T @ centred, atol=1e-9)
        assert transrate_of(moments) == pytest.approx(first, rel=1e-12) == transrate(X, y)
