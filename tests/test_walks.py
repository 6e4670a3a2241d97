"""Random walks against the exact transition probabilities, and vectors against the optimum of their loss."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare

from skgat.embedding import skipgram, walks
from skgat.embedding.skipgram import count_pairs, train_vectors
from skgat.embedding.walks import make_walk_graph, random_walks

#: A triangle, a tail, a square and a chord, with strong and weak edges.
EDGES = [(0, 1, 1.0), (1, 2, 0.2), (0, 2, 0.7), (2, 3, 0.9), (3, 4, 0.1), (4, 5, 0.6), (5, 2, 0.5), (1, 5, 0.3)]
BIASES = [(1.0, 1.0, False), (0.25, 4.0, False), (4.0, 0.25, False), (0.5, 2.0, True), (2.0, 0.25, True)]


def _matrix(edges=EDGES, n_nodes=6):
    matrix = np.zeros((n_nodes, n_nodes))
    for i, j, weight in edges:
        matrix[i, j] += weight
        matrix[j, i] += weight
    return matrix


def _graph(edges=EDGES, n_nodes=6):
    sources, targets, weights = (np.array(part) for part in zip(*edges, strict=True))
    return make_walk_graph(sources, targets, weights, n_nodes)


def _exact(matrix, previous, current, p, q, extended):
    """The distribution of the next node, by the definitions of node2vec and node2vec+, one neighbour at a time."""
    strong = [row[row > 0].mean() if row.any() else 0.0 for row in matrix]
    mass = np.zeros(len(matrix))
    for node in np.flatnonzero(matrix[current]):
        back = matrix[previous, node]
        if node == previous:
            bias = 1 / p
        elif not extended:
            bias = 1.0 if back > 0 else 1 / q
        elif back >= strong[node]:
            bias = 1.0
        elif matrix[current, node] < strong[current]:
            bias = min(1.0, 1 / q)
        else:
            bias = 1 / q + (1 - 1 / q) * back / strong[node]
        mass[node] = matrix[current, node] * bias
    return mass / mass.sum()


def _check_steps(walked, probabilities):
    """Chi-square over all steps of each kind; ``probabilities(*before)`` is exact."""
    seen = {}
    for step in map(tuple, walked):
        seen.setdefault(step[:-1], Counter())[step[-1]] += 1
    checked = 0
    for before, counts in seen.items():
        expected = probabilities(*before)
        assert not set(counts) - set(np.flatnonzero(expected).tolist())
        likely = expected > 0
        total = sum(counts.values())
        if likely.sum() > 1 and total * expected[likely].min() > 5:
            observed = [counts[node] for node in np.flatnonzero(likely)]
            assert chisquare(observed, total * expected[likely]).pvalue > 1e-4
            checked += 1
    assert checked >= 5


@pytest.mark.parametrize(("p", "q", "extended"), BIASES)
@pytest.mark.parametrize("tries", [24, 0], ids=["rejecting", "enumerating"])
def test_steps_follow_the_second_order_transitions(p, q, extended, tries, monkeypatch):
    monkeypatch.setattr(walks, "_MOST_TRIES", tries)
    matrix = _matrix()
    walked = random_walks(_graph(), 4000, 5, p, q, extended, np.random.default_rng(1))
    triples = np.concatenate([walked[:, i : i + 3] for i in range(3)])
    _check_steps(triples, lambda previous, current: _exact(matrix, previous, current, p, q, extended))


def test_first_steps_follow_the_weights():
    matrix = _matrix()
    walked = random_walks(_graph(), 5000, 2, 0.1, 10.0, False, np.random.default_rng(0))
    _check_steps(walked, lambda node: matrix[node] / matrix[node].sum())


@pytest.mark.parametrize(("p", "q"), [(0.25, 4.0), (3.0, 0.2), (1e-4, 1e-4)])
@pytest.mark.parametrize("extended", [False, True])
def test_bias_of_every_step(p, q, extended):
    matrix, graph = _matrix(), _graph()
    steps = [
        (previous, current, entry)
        for previous, current in product(range(6), repeat=2)
        if matrix[previous, current] > 0
        for entry in range(graph.indptr[current], graph.indptr[current + 1])
    ]
    previous, current, entries = np.array(steps).T
    mass = graph.weights[entries] * walks._bias(graph, previous, current, entries, p, q, extended)
    for t, v in {(t, v) for t, v, _ in steps}:
        rows = (previous == t) & (current == v)
        found = np.zeros(6)
        found[graph.indices[entries[rows]]] = mass[rows]
        assert_allclose(found / found.sum(), _exact(matrix, t, v, p, q, extended), rtol=1e-12)


def test_without_weights_node2vec_plus_is_node2vec():
    edges = [(i, j, 1.0) for i, j, _ in EDGES]
    runs = [random_walks(_graph(edges), 50, 10, 0.5, 3.0, plus, np.random.default_rng(0)) for plus in (False, True)]
    assert_array_equal(*runs)


def test_weights_make_node2vec_plus_differ():
    runs = [random_walks(_graph(), 50, 10, 0.5, 3.0, plus, np.random.default_rng(0)) for plus in (False, True)]
    assert (runs[0] != runs[1]).any()


def test_walks_start_everywhere_and_follow_edges():
    graph = _graph([*EDGES, (7, 8, 0.4)], n_nodes=10)
    walked = random_walks(graph, 3, 12, 0.3, 2.0, True, np.random.default_rng(0))
    assert walked.shape == (3 * 8, 12)
    assert Counter(walked[:, 0].tolist()) == dict.fromkeys([0, 1, 2, 3, 4, 5, 7, 8], 3)
    matrix = _matrix([*EDGES, (7, 8, 0.4)], n_nodes=10)
    assert (matrix[walked[:, :-1], walked[:, 1:]] > 0).all()


def test_extreme_biases_end():
    path = [(i, i + 1, 1.0) for i in range(5)]
    walked = random_walks(_graph(path), 20, 30, 1e9, 1e9, False, np.random.default_rng(0))
    inner = (walked[:, 1:-1] > 0) & (walked[:, 1:-1] < 5)
    # Back and away are as unlikely as each other, so they are as likely.
    assert 0.3 < (walked[:, :-2] == walked[:, 2:])[inner].mean() < 0.7


def test_parallel_edges_add_up():
    one, two = _graph([*EDGES, (0, 1, 0.5)]), _graph([(0, 1, 1.5), *EDGES[1:]])
    assert_allclose(one.weights, two.weights)
    assert_array_equal(one.indices, two.indices)


def test_pairs_are_counted_within_the_window():
    walked = np.random.default_rng(0).integers(0, 7, size=(40, 9))
    expected = Counter()
    for walk, i, j in product(walked.tolist(), range(9), range(9)):
        if i < j <= i + 3 and walk[i] != walk[j]:
            expected[tuple(sorted((walk[i], walk[j])))] += 1
    pairs, counts = count_pairs(walked, 3, 7)
    assert dict(zip(map(tuple, pairs.tolist()), counts.tolist(), strict=True)) == expected


def test_vectors_reach_the_optimum_of_the_loss():
    """With a component for every node each logit is free: the logarithm of positive over negative mass."""
    rng = np.random.default_rng(0)
    n_nodes = 6
    pairs = np.array([(i, j) for i in range(n_nodes) for j in range(i)])[:, ::-1]
    counts = rng.integers(20, 200, len(pairs))
    vectors, losses = train_vectors(pairs, counts, np.zeros((0, 2), int), n_nodes, 12, 2.0, 4000, 0.02, rng)
    mass = np.bincount(pairs.ravel(), np.repeat(counts, 2)) / (2 * counts.sum())
    noise = mass**0.75 / (mass**0.75).sum()
    left, right = pairs.T
    negative = 2.0 * (mass[left] * noise[right] + mass[right] * noise[left])
    expected = np.log(counts / counts.sum() / negative)
    assert_allclose(np.einsum("ij,ij->i", vectors[left], vectors[right]), expected, atol=0.01)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("negatives", [np.zeros((0, 2), dtype=int), np.array([[0, 3], [1, 4]])], ids=["none", "some"])
@pytest.mark.parametrize("positive", [True, False])
def test_gradients(negatives, positive):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, 3))
    pairs = np.array(sorted([[0, 1], [1, 2], [0, 4], *negatives.tolist()]))
    weights = rng.uniform(size=len(pairs))
    mass, noise = np.array([0.1, 0.0, 0.4, 0.3, 0.2]), np.full(5, 0.2)

    def loss(values, gradient):
        value = skipgram._add_pairs(gradient, values, pairs, weights, positive)
        return value + skipgram._add_noise(gradient, values, mass, noise, rng)

    found = np.zeros_like(vectors)
    loss(vectors, found)
    numeric = np.zeros_like(vectors)
    for place in np.ndindex(*vectors.shape):
        step = np.zeros_like(vectors)
        step[place] = 1e-5
        both = [loss(vectors + sign * step, np.zeros_like(vectors)) for sign in (1, -1)]
        numeric[place] = (both[0] - both[1]) / 2e-5
    assert_allclose(found, numeric, atol=1e-6)


def test_known_negatives_are_driven_apart():
    rng = np.random.default_rng(0)
    pairs = np.array([(i, j) for i in range(8) for j in range(i + 1, 8)])
    apart = np.array([[0, 1], [2, 3]])
    vectors, _ = train_vectors(pairs, np.ones(len(pairs)), apart, 8, 16, 2.0, 1000, 0.02, rng)
    logits = np.einsum("ij,ij->i", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    kept = (pairs[:, None] == apart).all(axis=2).any(axis=1)
    assert logits[kept].max() < logits[~kept].min() - 1.0


def test_sampled_noise_is_right_on_average(monkeypatch):
    rng = np.random.default_rng(0)
    vectors, mass, noise = rng.normal(size=(8, 3)), rng.uniform(size=8), rng.dirichlet(np.ones(8))
    exact = np.zeros_like(vectors)
    loss = skipgram._add_noise(exact, vectors, mass, noise, rng)
    monkeypatch.setattr(skipgram, "_NOISE", 5)
    drawn = np.zeros_like(vectors)
    losses = [skipgram._add_noise(drawn, vectors, mass, noise, rng) for _ in range(4000)]
    assert np.mean(losses) == pytest.approx(loss, rel=0.02)
    assert_allclose(drawn / 4000, exact, atol=0.03 * np.abs(exact).max())


def test_sampled_pairs_come_by_weight(monkeypatch):
    monkeypatch.setattr(skipgram, "_BATCH", 64)
    pairs = np.column_stack([np.arange(100), np.arange(100) + 1])
    weights = np.random.default_rng(0).uniform(size=100)
    sampler = skipgram._Sampler(pairs, weights, np.random.default_rng(1))
    seen = np.zeros(100)
    for _ in range(5000):
        batch, shares = sampler.draw()
        assert shares.sum() == pytest.approx(1.0)
        seen += np.bincount(batch[:, 0], shares, 100)
    assert_allclose(seen / 5000, weights / weights.sum(), atol=1e-3)
