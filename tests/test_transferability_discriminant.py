"""The H-scores and SFDA against slow references that follow their definitions by the letter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from sklearn.covariance import ledoit_wolf

from skgat.transferability import h_score, regularized_h_score, sfda
from skgat.transferability._moments import Moments
from skgat.transferability.discriminant import _mixed_moments, _soften, sfda_posteriors


def classes(n=120, d=8, n_classes=3, seed=0, apart=0.7):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    return apart * rng.normal(size=(n_classes, d))[y] + rng.normal(size=(n, d)), y


def class_mean_rows(X, y):
    return np.array([X[y == label].mean(axis=0) for label in y])


def slow_sfda(X, y):
    n_classes = y.max() + 1
    priors = np.bincount(y) / len(y)

    def posteriors(X, shrinkage):
        means = np.array([X[y == c].mean(axis=0) for c in range(n_classes)])
        within = sum(priors[c] * np.cov(X[y == c].T, bias=True) for c in range(n_classes))
        if shrinkage is None:
            b = within.sum(axis=1)
            for _ in range(3):
                a = within @ b / np.linalg.norm(within @ b)
                b = within @ a / np.linalg.norm(within @ a)
            shrinkage = max(np.exp(-5 * (b @ within @ a)), 1e-10)
        identity = np.eye(len(within))
        shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / len(within) * identity
        total = np.cov(X.T, bias=True)
        between = (1 - shrinkage) * total + shrinkage * np.trace(total) / len(total) * identity - shrunk
        axes = linalg.eigh(between, shrunk)[1]
        coef = means @ axes @ axes.T
        logits = X @ coef.T - 0.5 * np.diag(means @ coef.T) + np.log(priors)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True), means, shrinkage

    first, means, shrinkage = posteriors(X, None)
    soft = np.exp(first) / np.exp(first).sum(axis=1, keepdims=True)
    mixed = X.copy()
    for i, label in enumerate(y):
        others = np.delete(means, label, axis=0).mean(axis=0)
        mixed[i] = soft[i, label] * X[i] + (1 - soft[i, label]) * others
    second = posteriors(mixed, shrinkage)[0]
    return second[np.arange(len(y)), y]


@pytest.mark.parametrize(("n", "d", "n_classes"), [(120, 8, 3), (90, 30, 5), (200, 2, 7)])
def test_h_score_is_the_trace_of_its_definition(n, d, n_classes):
    X, y = classes(n, d, n_classes)
    slow = np.trace(np.linalg.pinv(np.cov(X.T)) @ np.cov(class_mean_rows(X, y).T))
    assert h_score(X, y) == pytest.approx(slow, rel=1e-9)


def test_h_score_by_hand():
    # Total scatter 4 * 1.25, scatter between the classes 4 * 1.
    assert h_score([[-1.5], [-0.5], [0.5], [1.5]], [0, 0, 1, 1]) == pytest.approx(0.8, rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(n=st.integers(12, 60), d=st.integers(1, 10), n_classes=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_h_score_keeps_its_bounds_and_any_linear_map(n, d, n_classes, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, d)), np.arange(n) % n_classes
    value = h_score(X, y)
    assert 0 <= value <= min(n_classes - 1, d) + 1e-9
    assert h_score(X @ rng.normal(size=(d, d)) * 10.0 ** rng.integers(-6, 6) + 5, y) == pytest.approx(value, rel=1e-3)


def test_h_score_with_columns_of_very_different_size():
    X, y = classes()
    assert h_score(X * np.logspace(-8, 8, 8), y) == pytest.approx(h_score(X, y), rel=1e-8)


def test_h_score_of_rank_deficient_features_keeps_its_bound():
    """A pseudo-inverse that keeps rounding noise leaves [0, n_classes - 1] by far."""
    X, y = classes(300, 5, 5)
    wide = (X @ np.random.default_rng(1).normal(size=(5, 60))).astype(np.float32)
    assert h_score(wide.astype(np.float64), y) == pytest.approx(h_score(X, y), rel=1e-4)


def test_h_score_with_fewer_samples_than_features_says_so():
    X, y = classes(20, 30, 3)
    with pytest.warns(UserWarning, match="h_score of 20 samples with 30 features is as high as it can be"):
        assert h_score(X, y) == pytest.approx(2)


@pytest.mark.parametrize(("n", "d"), [(120, 8), (30, 40), (20, 90)])
def test_regularized_h_score_is_the_trace_with_ledoit_and_wolf(n, d):
    X, y = classes(n, d, 3)
    covariance, shrinkage = ledoit_wolf(X)
    slow = (1 - shrinkage) * np.trace(np.linalg.solve(covariance, np.cov(class_mean_rows(X, y).T)))
    assert regularized_h_score(X, y) == pytest.approx(slow, rel=1e-9)


def test_regularized_h_score_sees_a_signal_where_h_score_cannot():
    X, y = classes(40, 200, 2, apart=0.5)
    shuffled = np.random.default_rng(0).permutation(y)
    assert regularized_h_score(X, y) > 1.2 * regularized_h_score(X, shuffled)


@pytest.mark.parametrize(("n", "d", "n_classes"), [(120, 8, 3), (60, 20, 4), (50, 40, 2)])
@pytest.mark.parametrize("scale", [0.1, 1, 3])
def test_sfda_is_that_of_its_authors(n, d, n_classes, scale):
    X, y = classes(n, d, n_classes)
    own = slow_sfda(scale * X, y)
    assert sfda(scale * X, y) == pytest.approx(own.mean(), rel=1e-8)
    assert sfda(scale * X, y, log=True) == pytest.approx(np.log(own).mean(), rel=1e-6)


def test_sfda_with_fewer_samples_than_features_is_that_of_its_authors():
    X, y = classes(30, 45, 3)
    assert sfda(0.1 * X, y) == pytest.approx(slow_sfda(0.1 * X, y).mean(), rel=1e-8)


def test_sfda_saturates_where_the_classes_are_separable():
    X, y = classes(30, 60, 3)
    assert sfda(X, y) == pytest.approx(1, abs=1e-6)


def test_sfda_of_collapsed_classes_is_one():
    y = np.repeat([0, 1, 2], 4)
    assert sfda(np.eye(3)[y], y) == 1
    assert sfda(np.eye(3)[y], y, log=True) == 0


def test_sfda_takes_a_given_shrinkage():
    X, y = classes()
    # With the whole scatter replaced by its mean variance, the rule is that of the nearest mean.
    assert sfda(X, y, shrinkage=1.0) != pytest.approx(sfda(X, y), rel=1e-3)
    with pytest.raises(ValueError, match=r"Got shrinkage=2, but expected a number between 0 and 1"):
        sfda(X, y, shrinkage=2)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(10, 60), d=st.integers(1, 80), scale=st.floats(0.01, 10), seed=st.integers(0, 10**6))
def test_sfda_is_a_probability(n, d, scale, seed):
    rng = np.random.default_rng(seed)
    value = sfda(scale * rng.normal(size=(n, d)), np.arange(n) % 3)
    assert 0 <= value <= 1 + 1e-12


def test_sfda_of_columns_that_cancel_in_every_row_sum():
    """The power method starts from the row sums, which are 0 here; then it starts from a row."""
    X, y = classes()
    mirrored = np.hstack([X, -X])
    assert sfda(mirrored, y) == pytest.approx(sfda(np.sqrt(2) * X, y, shrinkage=1e-10), abs=0.05)


def test_rows_of_equal_length_that_span_their_space_need_no_shrinkage():
    """Ledoit and Wolf's shrinkage is 0 here although the covariance may be singular."""
    X = np.vstack([np.eye(3), -np.eye(3)]) - [0, 0, 1]
    y = np.repeat([0, 1], 3)
    covariance, shrinkage = ledoit_wolf(X)
    slow = (1 - shrinkage) * np.trace(np.linalg.solve(covariance, np.cov(class_mean_rows(X, y).T)))
    assert regularized_h_score(X, y) == pytest.approx(slow, rel=1e-9)
    line = np.array([[-1.0, 0], [-1, 0], [1, 0], [1, 0]])
    assert ledoit_wolf(line)[1] == 0
    assert regularized_h_score(line, [0, 0, 1, 1]) == pytest.approx(4 / 3)


@pytest.mark.parametrize("apart", [0.0, 2.0, 6.0, 40.0])
def test_sfda_shares_the_gram_matrix_however_many_rows_are_sure(apart):
    """From none to all of the rows have the largest confidence there can be."""
    X, y = classes(n=300, d=6, apart=apart)
    moments = Moments(X, y)
    own = np.concatenate([_soften(p, moments.codes[rows]) for rows, p in sfda_posteriors(moments)])
    others = (moments.class_means.sum(axis=0) - moments.class_means) / 2
    rows = own[:, None] * (X - X.mean(axis=0)) + (1 - own)[:, None] * others[y]
    means, within = _mixed_moments(moments, [own], others)
    residual = rows - class_mean_rows(rows, y)
    np.testing.assert_allclose(means[y], class_mean_rows(rows, y), atol=1e-12)
    np.testing.assert_allclose(within, residual.T @ residual / 300, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:h_score of:UserWarning")
def test_h_score_does_not_rank_models_by_rounding():
    rng = np.random.default_rng(0)
    y = np.arange(20) % 4
    assert {h_score(rng.normal(size=(20, d)) * 10.0**d, y) for d in (20, 25, 30, 40)} == {3.0}
