"""LEEP, NLEEP, NCE and PACTran."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import digamma, gammaln, logsumexp
from sklearn.decomposition import PCA
from sklearn.metrics import mutual_info_score

from skgat.transferability import leep, nce, nleep, pac, pactran


def source(n=150, n_source=6, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    P = rng.dirichlet(np.full(n_source, 0.4), size=n)
    P[np.arange(n), y] += 0.7
    return P / P.sum(axis=1, keepdims=True), y


def slow_leep(P, y):
    total = 0.0
    for theta, label in zip(P, y, strict=True):
        joint = P[y == label].sum(axis=0)
        total += np.log(sum(theta[s] * joint[s] / P[:, s].sum() for s in range(P.shape[1]) if P[:, s].sum()))
    return total / len(y)


def test_leep_is_its_definition():
    P, y = source()
    assert leep(P, y) == pytest.approx(slow_leep(P, y), rel=1e-12)


def test_leep_by_hand():
    P = [[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]
    # P(first | s) = (1 / 2, 1) for the source classes, which got 2 and 1 in total.
    expected = (2 * np.log(0.5 * 0.5 + 0.5 * 1.0) + np.log(0.5)) / 3
    assert leep(P, ["first", "first", "second"]) == pytest.approx(expected, rel=1e-12)


def test_leep_ignores_source_classes_that_never_occur():
    P, y = source()
    assert leep(np.insert(P, 2, 0, axis=1), y) == pytest.approx(leep(P, y), rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(4, 40), n_source=st.integers(1, 8), n_classes=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_leep_lies_between_the_entropy_of_the_labels_and_zero(n, n_source, n_classes, seed):
    rng = np.random.default_rng(seed)
    P, y = rng.dirichlet(np.full(n_source, 0.2), size=n), np.arange(n) % n_classes
    shares = np.bincount(y) / n
    # By Jensen's inequality the expected predictor is at least as good as the shares of the classes.
    assert (shares * np.log(shares)).sum() - 1e-9 <= leep(P, y) <= 0


def test_nce_is_mutual_information_less_entropy():
    rng = np.random.default_rng(0)
    y, z = rng.integers(4, size=300), rng.integers(7, size=300)
    shares = np.bincount(y) / 300
    entropy = -(shares * np.log(shares)).sum()
    assert nce(z, y) == pytest.approx(mutual_info_score(y, z) - entropy, rel=1e-10)


def test_nce_limits():
    y = np.array(["a", "b", "a", "c"])
    assert nce(y, y) == 0
    assert nce(np.zeros(4), y) == pytest.approx(0.5 * np.log(0.5) + 0.5 * np.log(0.25))
    assert nce(np.arange(4), y) == 0


def test_nce_takes_probabilities_and_has_no_bias_with_many_classes():
    P, y = source()
    assert nce(P, y) == nce(P.argmax(axis=1), y)
    rng = np.random.default_rng(0)
    assert nce(rng.permutation(1000), rng.integers(500, size=1000)) == 0


def test_nce_refuses_other_lengths():
    with pytest.raises(ValueError, match="Got 3 source labels for 4 labels"):
        nce([0, 1, 2], [0, 1, 1, 0])


@pytest.mark.parametrize("absent", [None, np.nan])
def test_nce_refuses_missing_source_labels(absent):
    y = [0, 1, 1, 0]
    for source_labels in (["a", absent, "b", "a"], [absent] * 4):
        with pytest.raises(ValueError, match=r"Got source labels with \d (missing|NaN or infinite) value\(s\)"):
            nce(np.array(source_labels, dtype=object if absent is None or "a" in source_labels else float), y)


def clusters(n=300, d=5, seed=0, apart=6.0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 3)
    return rng.normal(size=(n, d)) + apart * np.eye(3, d)[y], y


def test_nleep_of_clusters_that_are_the_classes():
    X, y = clusters(apart=40)
    assert nleep(X, y) == pytest.approx(0, abs=1e-6)
    assert nleep(X, y, log=False) == pytest.approx(1, abs=1e-6)


def test_nleep_of_one_component_is_the_entropy_of_the_labels():
    X, y = clusters()
    assert nleep(X, y, n_components=1) == pytest.approx(-np.log(3), rel=1e-9)


def test_nleep_is_leep_of_a_fit_that_no_step_of_em_improves():
    """Posteriors, means and variances must agree with each other on the principal components."""
    from skgat.transferability._mixture import mixture_posteriors
    from skgat.transferability._moments import Moments

    X, y = clusters()
    posteriors = mixture_posteriors(Moments(X, y), 3, 0.8, "diag", 0)
    assert nleep(X, y, n_components=3) == pytest.approx(leep(posteriors, y), rel=1e-12)
    Z = PCA(0.8).fit_transform(X)
    mass = posteriors.sum(axis=0)
    means = posteriors.T @ Z / mass[:, None]
    logs = np.empty_like(posteriors)
    for k in range(3):
        variance = posteriors[:, k] @ (Z - means[k]) ** 2 / mass[k]
        logs[:, k] = np.log(mass[k]) - 0.5 * (np.log(variance) + (Z - means[k]) ** 2 / variance).sum(axis=1)
    again = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    np.testing.assert_allclose(again, posteriors, atol=0.02)


def test_nleep_repeats_itself_and_depends_on_its_seed_alone():
    X, y = clusters(apart=1.0)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - it is the global state that must not move
    assert nleep(X, y) == nleep(X, y)
    assert nleep(X, y, random_state=1) != nleep(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_nleep_forms_of_covariance_differ():
    X, y = clusters(apart=2.0)
    assert nleep(X, y, energy=1.0) != nleep(X, y, energy=1.0, covariance="spherical")
    with pytest.raises(ValueError, match=r"Got covariance='full', but expected one of \['diag', 'spherical'\]"):
        nleep(X, y, covariance="full")
    with pytest.raises(ValueError, match="Got n_components=0, but expected an integer of at least 1"):
        nleep(X, y, n_components=0)


def slow_dirichlet(P, y, alpha, n_classes):
    """The free energy, minimised over the assignments of each row by brute force."""
    prior = alpha * np.bincount(y, minlength=n_classes) / len(y)

    def energy(logits):
        q = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        posterior = prior[:, None] + np.array([q[y == c].sum(axis=0) for c in range(n_classes)])
        value = P.shape[1] * (gammaln(prior).sum() - gammaln(prior.sum()))
        value += gammaln(posterior.sum(axis=0)).sum() - gammaln(posterior).sum()
        return (value + (q * (np.log(q) - np.log(P))).sum()) / len(y)

    start = np.log(P)
    found = minimize(lambda flat: energy(flat.reshape(P.shape)), start.ravel(), method="L-BFGS-B")
    return -found.fun


def test_pactran_dirichlet_is_the_minimum_of_its_free_energy():
    P, y = source(n=12, n_source=3, n_classes=2)
    assert pactran(P, y, alpha=2.0) == pytest.approx(slow_dirichlet(P, y, 2.0, 2), abs=2e-4)


@pytest.mark.parametrize("bound", ["dirichlet", "gamma"])
def test_pactran_is_a_bound_on_what_the_best_predictor_reaches(bound):
    """The cross entropy of the predictor that the labels were fitted with, LEEP's, is below the bound's."""
    P, y = source()
    assert pactran(P, y, bound=bound) < leep(P, y) + 0.3
    assert pactran(P, y, bound=bound) > pactran(P, np.random.default_rng(0).permutation(y), bound=bound)


def test_pactran_gamma_with_one_source_class_is_known():
    """With one source class only the counts matter: the rate solves b = 1 + n / l with l the total mass over b."""
    y = np.repeat([0, 1], [3, 1])
    prior = np.array([0.75, 0.25])
    posterior = prior + [3, 1]
    rate = 1 / (1 - 4 / posterior.sum())
    level = posterior.sum() / rate
    energy = (gammaln(prior) - gammaln(posterior) + posterior * np.log(rate)).sum() + 4 * (np.log(level) - 1)
    assert pactran(np.ones((4, 1)), y, bound="gamma") == pytest.approx(-energy / 4, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_pactran_gaussian_is_its_formula(scale):
    rng = np.random.default_rng(0)
    y = np.arange(80) % 3
    X = rng.normal(size=(80, 4)) + 2 * np.eye(3, 4)[y]
    X = X - X.mean(axis=0)

    def loss(flat):
        W = flat.reshape(5, 3)
        logits = X @ W[:-1] + W[-1]
        entropy = (logsumexp(logits, axis=1) - logits[np.arange(80), y]).mean()
        return entropy + 0.5 * (W[:-1] ** 2).sum() / 80 / scale**2

    found = minimize(loss, np.zeros(15), tol=1e-10)
    W = found.x.reshape(5, 3)
    p = np.exp(X @ W[:-1] + W[-1])
    p /= p.sum(axis=1, keepdims=True)
    trace = sum((X[i] ** 2).sum() * (p[i] * (1 - p[i])).sum() for i in range(80)) / 80 * scale**2
    expected = found.fun + 0.5 * 12 / 80 * (10 / 4) * np.log(1 + 80 * trace / 12)
    assert pactran(scale * X, y, bound="gaussian") == pytest.approx(-expected, abs=1e-5)


def test_pactran_inputs():
    P, y = source()
    assert pactran(P, y, inputs_are="features") != pactran(P, y)
    with pytest.raises(ValueError, match="bound='gaussian' with probabilities, but expected features"):
        pactran(P, y, bound="gaussian", inputs_are="probabilities")
    with pytest.raises(ValueError, match="Got bound='beta', but expected one of"):
        pactran(P, y, bound="beta")
    with pytest.raises(ValueError, match="Got alpha=-1, but expected a positive finite number"):
        pactran(P, y, alpha=-1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_pactran_knows_probabilities_of_any_precision(dtype):
    torch = pytest.importorskip("torch")
    P, y = source(n=300, n_source=6)
    tensor = torch.tensor(P).to(getattr(torch, dtype))
    assert pactran(tensor, y) == pactran(tensor, y, inputs_are="probabilities")
    if dtype != "bfloat16":
        assert pactran(P.astype(dtype), y) == pactran(P.astype(dtype), y, inputs_are="probabilities")


def test_pactran_takes_what_does_not_sum_to_one_for_features():
    P, y = source()
    assert pactran(1.02 * P, y) == pactran(1.02 * P, y, inputs_are="features")


def plain_rounds(P, y, bound, count):
    """The bound after so many rounds of alternating minimisation, all in logarithms."""
    prior = np.bincount(y) / len(y)
    posterior, rate = np.broadcast_to(prior[:, None], (len(prior), P.shape[1])), np.ones(P.shape[1])
    for _ in range(count):
        value = P.shape[1] * gammaln(prior).sum()
        if bound == "dirichlet":
            logs = digamma(posterior) - digamma(posterior.sum(axis=0))
            value -= P.shape[1] * gammaln(1)
        else:
            logs = digamma(posterior) - np.log(rate)
            level = P @ (posterior.sum(axis=0) / rate)
            value += np.log(level).sum() - len(y)
            rate = 1 + P.T @ (1 / level)
        mixed = np.log(P) + logs[y]
        totals = logsumexp(mixed, axis=1)
        shares = np.exp(mixed - totals[:, None])
        value -= totals.sum()
        sums = np.array([shares[y == c].sum(axis=0) for c in range(len(prior))])
        value += (sums * logs).sum()
        posterior = prior[:, None] + sums
        value -= gammaln(posterior).sum()
        value += gammaln(posterior.sum(axis=0)).sum() if bound == "dirichlet" else (posterior * np.log(rate)).sum()
    return -value / len(y)


@pytest.mark.parametrize("bound", ["dirichlet", "gamma"])
def test_pactran_is_where_plain_rounds_end(bound):
    P, y = source(n=200, n_source=5, n_classes=4)
    assert pactran(P, y, bound=bound) == pytest.approx(plain_rounds(P, y, bound, 3000), abs=1e-4)


@pytest.mark.parametrize("bound", ["dirichlet", "gamma"])
def test_pactran_of_many_classes_does_not_underflow(bound):
    """A prior of 1/1000 a class has factors of exp(-1000)."""
    rng = np.random.default_rng(0)
    y = np.arange(2000) % 1000
    good, poor = (rng.dirichlet(np.full(4, 0.2), size=n)[np.arange(2000) % n] for n in (1000, 2000))
    assert np.isfinite(pactran(good, y, bound=bound))
    assert pactran(good, y, bound=bound) > pactran(poor, y, bound=bound)


@pytest.mark.parametrize("bound", ["dirichlet", "gamma"])
def test_pactran_in_single_precision_is_that_in_double(bound, monkeypatch):
    P, y = source(n=2000, n_source=40, n_classes=7)
    double = pactran(P, y, bound=bound)
    monkeypatch.setattr(pac, "_SINGLE_ENTRIES", 0)
    assert pactran(P, y, bound=bound) == pytest.approx(double, rel=1e-5)
