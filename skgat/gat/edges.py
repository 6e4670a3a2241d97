"""Two layouts of the same edges: a table for small graphs, lists for large ones.

A tensor "on the edges" has the shape ``(..., n_models, n_datasets)`` in the table and ``(..., n_edges)`` in the lists.
Both layouts offer the same operations with the same results, so that the network is written once.
"""

__all__ = ["DenseEdges", "SparseEdges", "choose_layout"]

import warnings

import torch
import torch.nn.functional as nnf

from .runtime import as_tensor

_OTHER = {"model": "dataset", "dataset": "model"}
_HIDDEN_LOGIT = -1e9
#: A table may have this many times more cells than there are edges before lists are the better layout.
_SPARSITY = 4
_MOST_CELLS = 2**18


def choose_layout(graph, device):
    """The faster layout for the graph."""
    cells = graph.n_models * graph.n_datasets
    layout = DenseEdges if cells <= min(_MOST_CELLS, _SPARSITY * graph.n_edges + 2**14) else SparseEdges
    return layout(graph, device)


class _AllEdges:
    """What training does otherwise where each process has a part of the edges."""

    def draw(self, uniform):
        """Random numbers on the edges, by a function of a shape."""
        return uniform(*self.shape)

    def backward(self, loss, network):
        """The gradients of a network's weights."""
        loss.backward()


class DenseEdges(_AllEdges):
    """Edges as a table of models by datasets."""

    def __init__(self, graph, device):
        self.shape = (graph.n_models, graph.n_datasets)
        flat = graph.edge_models * graph.n_datasets + graph.edge_datasets
        self._flat = as_tensor(flat, device, torch.int64)
        self.weights = self.place(as_tensor(graph.weights / graph.weights.mean(), device))
        self.present = self.place(torch.ones(graph.n_edges, dtype=torch.float32, device=device)) > 0
        self.device = device

    def place(self, values):
        """Values in the order of the graph's edges, moved on the edges; zero where there is no edge."""
        table = values.new_zeros(values.shape[:-1] + (self.shape[0] * self.shape[1],))
        table[..., self._flat] = values
        return table.unflatten(-1, self.shape)

    def take(self, values):
        """The opposite of ``place``."""
        return values.flatten(-2)[..., self._flat]

    def spread(self, of_models, of_datasets):
        """The sum of the values at the two ends."""
        return of_models[..., :, None] + of_datasets[..., None, :]

    def product(self, of_models, of_datasets):
        """The inner product of the vectors at the two ends."""
        return of_models @ of_datasets.transpose(-1, -2)

    def pairwise(self, function, of_models, of_datasets):
        """A function of the sum of the vectors at the two ends."""
        return function(of_models[..., :, None, :] + of_datasets[..., None, :, :])

    def total(self, values, side):
        """The sum at each model or each dataset."""
        return values.sum(-1 if side == "model" else -2)

    def attention(self, side, query, key, extra, visible):
        """Attention weights on the edges, normalised at each receiver; zero on hidden edges."""
        of_models, of_datasets = (query, key) if side == "model" else (key, query)
        logits = nnf.leaky_relu(self.spread(of_models, of_datasets) + extra, 0.2)
        logits = logits.masked_fill(~visible, _HIDDEN_LOGIT)
        return logits.softmax(-1 if side == "model" else -2) * visible

    def gather(self, side, weights, values):
        """The weighted sum of the senders' vectors at each receiver."""
        return (weights if side == "model" else weights.transpose(-1, -2)) @ values


class SparseEdges(_AllEdges):
    """Edges as two lists of ends.

    Everything that touches the nodes is one of two products of a sparse and a dense matrix: sums at the nodes, and
    inner products on the edges. Each is the other's derivative, and neither makes a tensor of edges by features.
    """

    def __init__(self, graph, device):
        self.shape = (graph.n_edges,)
        self.ends = {
            "model": as_tensor(graph.edge_models, device, torch.int64),
            "dataset": as_tensor(graph.edge_datasets, device, torch.int64),
        }
        self.sizes = {"model": graph.n_models, "dataset": graph.n_datasets}
        self.weights = as_tensor(graph.weights / graph.weights.mean(), device)
        self.present = torch.ones(graph.n_edges, dtype=torch.bool, device=device)
        self.device = device
        self._order, self._starts, self._senders, self._incidence = {}, {}, {}, {}
        with warnings.catch_warnings():
            # torch says once in a process that its sparse matrices are in beta.
            warnings.simplefilter("ignore", UserWarning)
            for side, ends in self.ends.items():
                self._index(side, ends)

    def _index(self, side, ends):
        # The edges of a graph are sorted by dataset, so on that side they are in order already.
        order = torch.argsort(ends, stable=True)
        counts = torch.bincount(ends, minlength=self.sizes[side])
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self._order[side] = None if side == "dataset" else order
        self._starts[side], self._senders[side] = starts, self.ends[_OTHER[side]][order]
        self._incidence[side] = torch.sparse_csr_tensor(
            starts, order, torch.ones_like(self.weights), size=(self.sizes[side], len(ends)), check_invariants=False
        )

    def _matrix(self, side, values):
        """The edges as a matrix with a row for each receiver of one side; the values in the order of that side."""
        size = (self.sizes[side], self.sizes[_OTHER[side]])
        starts, senders = self._starts[side], self._senders[side]
        return torch.sparse_csr_tensor(starts, senders, values, size=size, check_invariants=False)

    def multiply(self, side, values, dense):
        """Sums at the receivers of what the senders have, weighted on the edges: (b, e) and (b, s, d) to (b, r, d)."""
        if self._order[side] is not None:
            values = values.index_select(-1, self._order[side])
        return torch.stack([self._matrix(side, value) @ part for value, part in zip(values, dense, strict=True)])

    def inner(self, of_models, of_datasets):
        """Inner products at the two ends of each edge: (b, m, d) and (b, n, d) to (b, e)."""
        pattern = self._matrix("dataset", of_models.new_zeros(self.shape))
        return torch.stack(
            [
                torch.sparse.sampled_addmm(pattern, datasets, models.T, beta=0.0).values()
                for models, datasets in zip(of_models, of_datasets, strict=True)
            ]
        )

    def add_up(self, values, side):
        """Sums of the values on the edges at each node of a side, without derivative."""
        flat = values.reshape(-1, *self.shape)
        return (self._incidence[side] @ flat.T.contiguous()).T.reshape(*values.shape[:-1], -1)

    def place(self, values):
        """Values in the order of the graph's edges, moved on the edges."""
        return values

    def take(self, values):
        """The opposite of ``place``."""
        return values

    def spread(self, of_models, of_datasets):
        """The sum of the values at the two ends."""
        return _AtEnds.apply(of_models, self, "model") + _AtEnds.apply(of_datasets, self, "dataset")

    def product(self, of_models, of_datasets):
        """The inner product of the vectors at the two ends."""
        return _Inner.apply(of_models, of_datasets, self)

    def pairwise(self, function, of_models, of_datasets):
        """A function of the sum of the vectors at the two ends."""
        return function(of_models[..., self.ends["model"], :] + of_datasets[..., self.ends["dataset"], :])

    def total(self, values, side):
        """The sum at each model or each dataset."""
        return _Total.apply(values, self, side)

    def attention(self, side, query, key, extra, visible):
        """Attention weights on the edges, normalised at each receiver; zero on hidden edges."""
        of_models, of_datasets = (query, key) if side == "model" else (key, query)
        logits = nnf.leaky_relu(self.spread(of_models, of_datasets) + extra, 0.2)
        logits = logits.masked_fill(~visible, _HIDDEN_LOGIT)
        with torch.no_grad():
            largest = self.largest(logits, side).index_select(-1, self.ends[side])
        weights = (logits - largest).exp() * visible
        mass = self.total(weights, side).clamp(min=1e-30)
        return weights / _AtEnds.apply(mass, self, side)

    def largest(self, logits, side):
        """The largest logit at each receiver."""
        largest = logits.new_full((*logits.shape[:-1], self.sizes[side]), _HIDDEN_LOGIT)
        return largest.scatter_reduce_(-1, self.ends[side].expand_as(logits), logits, "amax")

    def gather(self, side, weights, values):
        """The weighted sum of the senders' vectors at each receiver."""
        found = _Multiply.apply(weights.flatten(0, -2), values.flatten(0, -3), self, side)
        return found.unflatten(0, values.shape[:-2])


class _AtEnds(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, edges, side):
        ctx.edges, ctx.side = edges, side
        return values.index_select(-1, edges.ends[side])

    @staticmethod
    def backward(ctx, gradient):
        return ctx.edges.add_up(gradient, ctx.side), None, None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, edges, side):
        ctx.edges, ctx.side = edges, side
        return edges.add_up(values, side)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.index_select(-1, ctx.edges.ends[ctx.side]), None, None


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, dense, edges, side):
        ctx.edges, ctx.side = edges, side
        ctx.save_for_backward(values, dense)
        return edges.multiply(side, values, dense)

    @staticmethod
    def backward(ctx, gradient):
        values, dense = ctx.saved_tensors
        gradient = gradient.contiguous()
        ends = (gradient, dense) if ctx.side == "model" else (dense, gradient)
        return ctx.edges.inner(*ends), ctx.edges.multiply(_OTHER[ctx.side], values, gradient), None, None


class _Inner(torch.autograd.Function):
    @staticmethod
    def forward(ctx, of_models, of_datasets, edges):
        ctx.edges = edges
        ctx.save_for_backward(of_models, of_datasets)
        return edges.inner(of_models, of_datasets)

    @staticmethod
    def backward(ctx, gradient):
        of_models, of_datasets = ctx.saved_tensors
        return (
            ctx.edges.multiply("model", gradient, of_datasets),
            ctx.edges.multiply("dataset", gradient, of_models),
            None,
        )
