"""What nodes hear along lists of visible edges: the table's result, exact derivatives, nothing of what is hidden."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgat.datasets import make_transfer_records
from skgat.gat.edges import DenseEdges, SparseEdges
from skgat.graph import build_graph
from skgat.records import read_pairs

MEMBERS, HEADS, UNITS = 2, 3, 4
SIDES = pytest.mark.parametrize("side", ["model", "dataset"])
SCORES = pytest.mark.parametrize("scores", [True, False], ids=["scores", "no-scores"])


class Reader:
    model, dataset, target = "model", "dataset", "score"


@pytest.fixture(scope="module")
def graph():
    records = make_transfer_records(9, 7, fill=0.6, random_state=0).records[["model", "dataset", "score"]]
    return build_graph(read_pairs(Reader(), records, reset=True, scores=True))


@pytest.fixture
def heard_of(graph):
    """Residuals and visible edges by member; the second hears of no edge of the first model."""
    rng = np.random.default_rng(0)
    visible = rng.random((MEMBERS, graph.n_edges)) < 0.6
    visible[1, graph.edge_models == 0] = False
    residual = rng.normal(size=visible.shape) * visible
    return torch.tensor(residual), torch.tensor(visible)


def operands(graph, side, scores):
    """Queries, slopes, keys, values and scored values, in double precision."""
    generator = torch.Generator().manual_seed(1)
    n_nodes = {"model": graph.n_models, "dataset": graph.n_datasets}
    n_receivers = n_nodes.pop(side)
    (n_senders,) = n_nodes.values()
    shapes = [(n_receivers,), (2,), (n_senders,), (UNITS, n_senders), (UNITS, n_senders)]
    drawn = [
        torch.randn(MEMBERS, HEADS, *shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    ]
    return drawn if scores else [drawn[0], None, *drawn[2:4], None]


def hear(edges, heard_of, side, given):
    residual, visible = (edges.place(values) for values in heard_of)
    return edges.messages(residual, visible > 0).hear(side, *given)


@SIDES
@SCORES
def test_lists_are_the_table(graph, heard_of, side, scores):
    given = operands(graph, side, scores)
    inputs = [one for one in given if one is not None]
    found = []
    for layout in (DenseEdges, SparseEdges):
        heard = hear(layout(graph, "cpu"), heard_of, side, given)
        # A sum of squares has another derivative for each output.
        found.append([heard.detach(), *torch.autograd.grad(heard.square().sum(), inputs)])
    for one, other in zip(*found, strict=True):
        assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.untraced
@SIDES
@SCORES
def test_derivatives_are_differences(graph, heard_of, side, scores):
    given = operands(graph, side, scores)
    edges = SparseEdges(graph, "cpu")
    inputs = [one for one in given if one is not None]

    def function(*inputs):
        left = iter(inputs)
        return hear(edges, heard_of, side, [None if one is None else next(left) for one in given])

    assert torch.autograd.gradcheck(function, inputs)


@SIDES
def test_hidden_edges_say_nothing(graph, heard_of, side):
    given, edges = operands(graph, side, True), SparseEdges(graph, "cpu")
    residual, visible = heard_of
    louder = torch.where(visible, residual, 1e6)
    assert_array_equal(
        hear(edges, (residual, visible), side, given).detach(), hear(edges, (louder, visible), side, given).detach()
    )


@SIDES
def test_the_same_for_all_members(graph, heard_of, side):
    """Where all members see the same edges, their lists are made once."""
    given, edges = operands(graph, side, True), SparseEdges(graph, "cpu")
    residual, visible = heard_of
    shared = visible[0].expand(MEMBERS, -1)
    assert_array_equal(
        hear(edges, (residual, shared), side, given).detach(),
        hear(edges, (residual, shared.clone()), side, given).detach(),
    )


@pytest.mark.parametrize("layout", [DenseEdges, SparseEdges])
def test_without_edges_nothing_is_heard(graph, heard_of, layout):
    edges = layout(graph, "cpu")
    residual, visible = heard_of
    messages = edges.messages(edges.place(residual), edges.place(visible) > 0)
    assert messages.counts["model"].number[1, 0] == 0
    assert messages.counts["model"].number.sum() == visible.sum() == messages.counts["dataset"].number.sum()
    heard = messages.hear("model", *operands(graph, "model", True))
    silent = messages.counts["model"].number == 0
    for member in range(MEMBERS):
        assert (heard[member][..., silent[member]] == 0).all()
        assert (heard[member][..., ~silent[member]] != 0).all()
