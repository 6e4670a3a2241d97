"""LogME against a dense evaluation of the evidence, and the rules it must keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal

from skgat.transferability import logme


def log_evidence(X, y, log_ratio):
    """Log density per sample of y, with the best noise for alpha / beta = exp(log_ratio), from the n x n covariance."""
    n = len(y)
    shape = np.eye(n) + X @ X.T * np.exp(-log_ratio)
    noise = y @ np.linalg.solve(shape, y) / n
    return multivariate_normal.logpdf(y, np.zeros(n), noise * shape) / n


def slow_logme(X, targets):
    best = []
    for y in targets.T:
        grid = np.linspace(-12, 25, 75)
        start = grid[np.argmax([log_evidence(X, y, value) for value in grid])]
        found = minimize_scalar(
            lambda value, y=y: -log_evidence(X, y, value), bounds=(start - 0.6, start + 0.6), method="bounded"
        )
        best.append(max(-found.fun, log_evidence(X, y, start)))
    return np.mean(best)


def classes(n, d, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n)
    return rng.normal(size=(n_classes, d))[y] * 0.7 + rng.normal(size=(n, d)) + 0.5, y


@pytest.mark.parametrize(("n", "d", "n_classes"), [(60, 4, 2), (50, 30, 3), (40, 40, 3), (30, 45, 4), (41, 40, 2)])
def test_is_the_maximum_of_the_evidence(n, d, n_classes):
    X, y = classes(n, d, n_classes)
    assert logme(X, y) == pytest.approx(slow_logme(X, np.eye(n_classes)[y]), abs=1e-5)


@pytest.mark.parametrize("d", [3, 30])
def test_regression_targets(d):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25, d))
    Y = X[:, :2] @ rng.normal(size=(2, 2)) + 0.5 * rng.normal(size=(25, 2))
    assert logme(X, Y, regression=True) == pytest.approx(slow_logme(X, Y), abs=1e-5)
    parts = [logme(X, Y[:, j], regression=True) for j in range(2)]
    assert logme(X, Y, regression=True) == pytest.approx(np.mean(parts), rel=1e-9)


def test_one_feature_by_hand():
    """With X = sqrt(s) u the spectrum has one value, and the best signal variance is known in closed form."""
    rng = np.random.default_rng(0)
    n = 30
    u = np.linalg.qr(rng.normal(size=(n, 1)))[0][:, 0]
    y = 3 * u + 0.3 * rng.normal(size=n)
    along = (u @ y) ** 2
    noise = (y @ y - along) / (n - 1)
    expected = -0.5 * (np.log(2 * np.pi) + ((n - 1) * np.log(noise) + np.log(along)) / n + 1)
    assert logme(7 * u[:, None], y, regression=True) == pytest.approx(expected, rel=1e-10)


def test_useless_features_leave_the_evidence_of_no_features():
    y = np.repeat([0, 1], 50)
    X = np.tile([1.0, -1.0], 50)[:, None]
    none = -0.5 * (np.log(2 * np.pi * 0.5) + 1)
    assert logme(X, y) == pytest.approx(none, abs=1e-9)
    assert logme(np.zeros((100, 3)), y) == pytest.approx(none, abs=1e-12)


def test_more_features_than_samples_do_not_inflate_it():
    """A fixed point that drops a part of the determinant gives values above 5 here."""
    rng = np.random.default_rng(0)
    assert logme(rng.normal(size=(150, 400)), rng.integers(5, size=150)) < 0.5


def test_exact_fits_are_finite_and_rank_above_near_ones():
    y = np.repeat([0, 1, 2], 20)
    exact = np.eye(3)[y]
    near = exact + 1e-3 * np.random.default_rng(0).normal(size=exact.shape)
    assert np.isfinite(logme(exact, y))
    assert logme(exact, y) > logme(near, y) > 3


@pytest.mark.parametrize("n", [60, 3000])
def test_exact_fits_have_the_evidence_of_the_noise_floor(n):
    """One-hot features have a spectrum of class sizes, so the maximum can be written down for each ratio."""
    y = np.arange(n) % 3
    ratio = np.exp(np.linspace(-60, 20, 800_001))
    share = ratio / (ratio + n / 3)
    profile = -n * np.log(n / 3 * (1e-12 + share)) + 3 * np.log(share)
    expected = 0.5 * (profile.max() / n + np.log(n / (2 * np.pi)) - 1)
    assert logme(np.eye(3)[y], y) == pytest.approx(expected, abs=1e-8)


def test_nearly_exact_fits_are_told_by_how_much_is_left():
    """The noise is that of least squares, and the evidence rises by a nat where it falls by a factor of e."""
    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(300, 4)), rng.normal(size=300)
    levels = np.array([1e-3, 1e-4, 1e-5])
    scores = [logme(X, X @ [1.0, 2, 3, 4] + level * noise, regression=True) for level in levels]
    # Of the 300 dimensions, the four that the features span pay for their fit instead.
    np.testing.assert_allclose(np.diff(scores), 296 / 300 * np.log(10), rtol=1e-4)


def test_unused_classes_change_nothing():
    X, y = classes(60, 4, 3)
    assert logme(X, y * 50) == pytest.approx(logme(X, y), rel=1e-12)


def test_empty_and_bad_targets():
    X = np.ones((5, 2))
    with pytest.raises(ValueError, match="column 1 that is 0 throughout"):
        logme(X, np.column_stack([np.arange(5), np.zeros(5)]), regression=True)
    with pytest.raises(ValueError, match="NaN or infinite values"):
        logme(X, [1, 2, np.nan, 4, 5], regression=True)
    with pytest.raises(ValueError, match="expected numbers"):
        logme(X, list("abcde"), regression=True)
    with pytest.raises(ValueError, match="Got 4 targets for 5 rows"):
        logme(X, [1.0, 2, 3, 4], regression=True)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(4, 40), d=st.integers(1, 50), n_classes=st.integers(2, 4), log_scale=st.integers(-6, 6),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_no_ratio_beats_it_and_scale_does_not_matter(n, d, n_classes, log_scale, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, d)), np.arange(n) % n_classes
    score = logme(X, y)
    for log_ratio in rng.uniform(-3, 12, size=4):
        reached = np.mean([log_evidence(X, column, log_ratio) for column in np.eye(n_classes)[y].T])
        assert score >= reached - 1e-8
    assert logme(X * 10.0**log_scale, y) == pytest.approx(score, abs=1e-6)
