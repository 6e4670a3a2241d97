"""The graph networks: against torch_geometric's layers, and what is frozen of them against what was trained."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgat.embedding import linkpred
from skgat.embedding._placing import propagate
from skgat.embedding._transfer_graph import TransferGraph
from skgat.embedding.linkpred import train_network

WIDTH = 6


def _graph(seed=0):
    """Five models, four datasets, all three kinds of edges, one pair linked twice; the last model has none."""
    rng = np.random.default_rng(seed)
    sources = np.array([0, 0, 1, 2, 3, 1, 0, 5, 6])
    targets = np.array([5, 6, 6, 7, 8, 7, 5, 6, 8])
    return TransferGraph(5, 4, sources, targets, rng.uniform(0.3, 1.0, 9), np.array([0, 0, 0, 0, 0, 1, 1, 2, 2]),
                         np.array([[4, 5], [0, 8]]))  # fmt: skip


def _features(seed=0):
    rng = np.random.default_rng(seed)
    return {"model": rng.normal(size=(5, 3)), "dataset": rng.normal(size=(4, 2))}


def _train(kind, seed=0, max_iter=20, features=None):
    return train_network(kind, _graph(), features or _features(), WIDTH, 2.0, max_iter, 0.02, "cpu", seed)


def _torch_layer(kind, weights, number):
    """torch_geometric's layer with the same weights."""
    from torch_geometric.nn import GATConv, SAGEConv

    def put(target, name):
        target.data = torch.as_tensor(weights[f"{name}{number}"]).T.reshape(target.shape).clone()

    if kind == "sage":
        conv = SAGEConv(WIDTH, WIDTH)
        put(conv.lin_l.weight, "heard"), put(conv.lin_r.weight, "own"), put(conv.lin_l.bias, "bias")
        return lambda x, edges, strengths: conv(x, edges)
    conv, skip = GATConv(WIDTH, WIDTH, edge_dim=1, add_self_loops=False), torch.nn.Linear(WIDTH, WIDTH, bias=False)
    put(conv.lin.weight, "heard"), put(conv.att_src, "from"), put(conv.att_dst, "to"), put(conv.bias, "bias")
    put(skip.weight, "own")
    # Its edges have a vector, of which attention sees one product.
    conv.lin_edge.weight.data.fill_(1.0)
    conv.att_edge.data.zero_()
    conv.att_edge.data[..., 0] = float(weights[f"strength{number}"][0, 0])
    return lambda x, edges, strengths: conv(x, edges, strengths[:, None]) + skip(x)


@pytest.mark.parametrize("kind", ["sage", "gat"])
def test_layers_are_those_of_torch_geometric(kind):
    graph = _graph()
    if kind == "sage":  # its layer knows no weights
        graph = TransferGraph(**vars(graph) | {"weights": np.ones(9)})
    levels, weights, _ = train_network(kind, graph, _features(), WIDTH, 2.0, 10, 0.02, "cpu", 0)
    edges = torch.as_tensor(
        np.stack([np.append(graph.sources, graph.targets), np.append(graph.targets, graph.sources)])
    )
    strengths = torch.as_tensor(np.append(graph.weights, graph.weights), dtype=torch.float32)
    with torch.no_grad():
        first = _torch_layer(kind, weights, 0)(torch.as_tensor(levels[0]), edges, strengths).relu()
        first = torch.nn.functional.normalize(first)
        second = torch.nn.functional.normalize(_torch_layer(kind, weights, 1)(first, edges, strengths))
    assert_allclose(first.numpy(), levels[1], atol=1e-5)
    assert_allclose(second.numpy(), levels[2], atol=1e-5)


@pytest.mark.parametrize("kind", ["sage", "gat"])
def test_numpy_propagates_as_torch_trained(kind):
    graph = _graph()
    levels, weights, _ = _train(kind)
    # Nine nodes, and for each of them an entry for either direction of each edge.
    senders, receivers = np.append(graph.sources, graph.targets), np.append(graph.targets, graph.sources)
    strengths = (np.arange(9)[:, None] == receivers) * np.append(graph.weights, graph.weights)
    for number in (0, 1):
        heard = np.broadcast_to(levels[number][senders], (9, 18, WIDTH))
        assert_allclose(
            propagate(kind, weights, number, levels[number], heard, strengths), levels[number + 1], atol=1e-5
        )


@pytest.mark.parametrize("kind", ["sage", "gat"])
def test_training_is_one_seed(kind):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, two, other = _train(kind), _train(kind), _train(kind, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert_array_equal(one[0][-1], two[0][-1])
    assert (one[0][-1] != other[0][-1]).any()
    assert all(isinstance(table, np.ndarray) for table in (*one[0], *one[1].values()))


def test_gathering_has_the_right_derivative():
    graph = _graph()
    edges = torch.as_tensor(np.stack([graph.sources, graph.targets]))
    neighbors = linkpred._Neighbors(edges, torch.as_tensor(graph.weights), 9)
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(18, generator=generator, dtype=torch.float64, requires_grad=True)
    states = torch.rand((9, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    dense = torch.zeros((9, 3), dtype=torch.float64)
    dense = dense.index_add(0, neighbors.receivers, states[neighbors.senders] * shares[:, None])
    assert_allclose(neighbors.gather(shares, states).detach(), dense.detach())
    assert torch.autograd.gradcheck(lambda *given: neighbors.gather(*given), (shares, states))


@pytest.mark.parametrize("kind", ["sage", "gat"])
def test_hidden_links_are_learned(kind):
    """Two blocks; a tenth of the links is kept from training, which has no known negatives."""
    models, datasets = np.divmod(np.arange(30 * 10), 10)
    inside = models % 2 == datasets % 2
    kept = inside & (np.random.default_rng(0).random(300) > 0.1)
    links = models[kept], 30 + datasets[kept]
    kinds = np.zeros(kept.sum(), dtype=int)
    graph = TransferGraph(30, 10, *links, np.ones(len(kinds)), kinds, np.zeros((0, 2), dtype=int))
    features = {"model": np.zeros((30, 0)), "dataset": np.zeros((10, 0))}
    levels, _, losses = train_network(kind, graph, features, 8, 2.0, 200, 0.02, "cpu", 0)
    products = levels[-1][models] @ levels[-1][30:].T
    logits = products[np.arange(300), datasets]
    assert np.median(logits[inside & ~kept]) > np.quantile(logits[~inside], 0.95)
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:5])


@pytest.mark.parametrize("kind", ["sage", "gat"])
def test_threads_are_put_back(kind, monkeypatch):
    before = torch.get_num_threads()
    one = _train(kind)
    monkeypatch.setattr(linkpred, "_FEW_EDGES", 0)
    two = _train(kind)
    assert torch.get_num_threads() == before
    assert_allclose(one[0][-1], two[0][-1], atol=1e-5)


@pytest.mark.parametrize("kind", ["sage", "gat"])
def test_many_pairs_are_sampled(kind, monkeypatch):
    monkeypatch.setattr(linkpred, "_MOST_PAIRS", 1)
    levels, _, losses = _train(kind)
    assert np.isfinite(levels[-1]).all()
    assert losses != _train(kind, seed=1)[2]


def test_a_graph_with_all_links_has_no_random_negatives():
    models, datasets = np.divmod(np.arange(12), 4)
    nothing = np.zeros((0, 2), dtype=int)
    graph = TransferGraph(3, 4, models, 3 + datasets, np.ones(12), np.zeros(12, dtype=int), nothing)
    features = {"model": np.eye(3), "dataset": np.eye(4)}
    levels, _, losses = train_network("sage", graph, features, WIDTH, 2.0, 100, 0.02, "cpu", 0)
    assert losses[-1] < 0.2
    assert (levels[-1][:3] @ levels[-1][3:].T > 0.5).all()


def test_nodes_without_features_are_told_apart():
    none = {"model": np.zeros((5, 0)), "dataset": np.zeros((4, 0))}
    levels, _, _ = _train("sage", features=none)
    assert len(np.unique(levels[-1].round(4), axis=0)) == 9


def test_an_unknown_device_is_named():
    with pytest.raises(ValueError, match="Got device='abacus', but expected"):
        train_network("sage", _graph(), _features(), WIDTH, 2.0, 1, 0.02, "abacus", 0)
