"""Two layouts of the same edges: a table for small graphs, lists for large ones.

A tensor "on the edges" has the shape ``(..., n_models, n_datasets)`` in the table and ``(..., n_edges)`` in the lists.
Both layouts offer the same operations with the same results, so that the network is written once.
"""

__all__ = ["DenseEdges", "SparseEdges", "by_member", "choose_layout"]

import warnings
from functools import cache

import torch
import torch.nn.functional as nnf

from .messages import HIDDEN_LOGIT, OTHER, SLOPE, DenseMessages, SparseMessages, add_up, matrix, pick
from .runtime import as_tensor

#: A table may have this many times more cells than there are edges before lists are the better layout.
_SPARSITY = 4
_MOST_CELLS = 2**18


def choose_layout(graph, device):
    """The faster layout for the graph."""
    cells = graph.n_models * graph.n_datasets
    layout = DenseEdges if cells <= min(_MOST_CELLS, _SPARSITY * graph.n_edges + 2**14) else SparseEdges
    return layout(graph, device)


@cache
def messages_on(device_type):
    """What carries messages along lists of edges on a kind of device."""
    if device_type == "cuda":
        try:
            from .fused import FusedMessages
        except ImportError:
            # torch comes without Triton where there is none, on Windows for one.
            return SparseMessages
        return FusedMessages
    return SparseMessages


def by_member(values, like):
    """One value a member, shaped to go with a tensor on the edges."""
    return values.reshape((-1,) + (1,) * (like.ndim - 1))


class _AllEdges:
    """What training does otherwise where each process, or the device at any time, has a part of the edges."""

    def draw(self, uniform, n_members):
        """Random numbers on the edges, by a function of a shape."""
        return uniform((n_members, *self.shape))

    def learn(self, judge, inputs, described, targets, supervised, weights):
        """Add the gradient of what a function says of predictions to that of the weights.

        Parameters
        ----------
        judge : callable
            The loss of each member, from the other arguments but the last.
        inputs : Inputs
        described : tuple
            What the network knows of the nodes.
        targets, supervised : tensors on the edges
        weights : Parameter

        Returns
        -------
        tensor of shape (n_members,)
        """
        losses = judge(inputs, described, targets, supervised)
        self.backward(losses.sum(), weights)
        return losses.detach()

    def backward(self, loss, weights):
        """Add the gradient of the loss to that of the weights."""
        loss.backward()

    def say(self, predict, inputs, described):
        """What a function predicts on the edges, from what is known of the nodes."""
        return predict(inputs, *described)

    def over_all(self, sums):
        """What processes that have a part of the edges each do with sums at the nodes; here are all edges."""
        return sums


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

    def at_ends(self, values, side):
        """The values of the nodes of a side on their edges, in a shape that goes with a tensor on the edges."""
        return values[..., None] if side == "model" else values[..., None, :]

    def sum(self, values):
        """The sum over all edges."""
        return values.sum((-2, -1))

    def total(self, values, side):
        """The sum at each model or each dataset."""
        return values.sum(-1 if side == "model" else -2)

    def carrying(self, values):
        """A function of what senders have and of a side: the sum at each receiver, times the values on the edges."""

        def carry(of_senders, side):
            return self.total(values * self.at_ends(of_senders, OTHER[side]), side)

        return carry

    def attention(self, side, query, key, slopes, residual, visible):
        """Attention weights on the edges, normalised at each receiver; zero on hidden edges."""
        return self.messages(residual, visible).weigh(side, query, key, slopes)[0]

    def messages(self, residual, visible):
        """What is heard along the visible edges."""
        return DenseMessages(self, residual, visible)


class SparseEdges(_AllEdges):
    """Edges as two lists of ends, sorted by dataset; of the graph's edges those of some rows.

    Everything that touches the nodes is one of two products of a sparse and a dense matrix: sums at the nodes, and
    inner products on the edges. Each is the other's derivative, and neither makes a tensor of edges by features.
    """

    def __init__(self, graph, device, rows=slice(None)):
        # What multiplies sparse matrices on the CPU reads 32 bits, and would copy longer numbers at every call.
        self.ends = {
            "model": as_tensor(graph.edge_models[rows], device, torch.int32),
            "dataset": as_tensor(graph.edge_datasets[rows], device, torch.int32),
        }
        self.shape = self.ends["model"].shape
        self.sizes = {"model": graph.n_models, "dataset": graph.n_datasets}
        self.weights = as_tensor((graph.weights / graph.weights.mean())[rows], device)
        self.present = torch.ones(self.shape, dtype=torch.bool, device=device)
        self.device = device
        self.order = torch.argsort(self.ends["model"], stable=True).int()
        self.senders = {"dataset": self.ends["model"], "model": self.ends["dataset"].index_select(0, self.order)}
        self.starts = {side: self._starts(side) for side in self.ends}
        with warnings.catch_warnings():
            # torch says once in a process that its sparse matrices are in beta.
            warnings.simplefilter("ignore", UserWarning)
            self._matrix("dataset", self.weights)

    def _starts(self, side):
        counts = torch.bincount(self.ends[side], minlength=self.sizes[side])
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()

    def _matrix(self, side, values):
        """The edges as a matrix with a row for each receiver of one side; the values in the order of the edges."""
        if side == "model":
            values = values.index_select(0, self.order)
        return matrix(self.starts[side], self.senders[side], values, self.sizes[OTHER[side]])

    def multiply(self, side, values, dense):
        """Sums at the receivers of what the senders have, weighted on the edges: (b, e) and (b, s, d) to (b, r, d)."""
        return torch.stack([self._matrix(side, value) @ part for value, part in zip(values, dense, strict=True)])

    def inner(self, of_models, of_datasets):
        """Inner products at the two ends of each edge: (b, m, d) and (b, n, d) to (b, e)."""
        pattern = self._matrix("dataset", self.weights.to(of_models.dtype))
        return torch.stack(
            [
                torch.sparse.sampled_addmm(pattern, datasets, models.T, beta=0.0).values()
                for models, datasets in zip(of_models, of_datasets, strict=True)
            ]
        )

    def add_up(self, values, side):
        """Sums of the values on the edges at each node of a side, without derivative."""
        return add_up(values, self.ends[side], self.sizes[side])

    def at_ends(self, values, side):
        """The values of the nodes of a side on their edges, without derivative."""
        return pick(values, self.ends[side])

    def agree(self, largest):
        """What they do with the largest values at the nodes."""
        return largest

    def place(self, values):
        """Values in the order of the graph's edges, moved on the edges."""
        return values

    def take(self, values):
        """The opposite of ``place``."""
        return values

    def spread(self, of_models, of_datasets):
        """The sum of the values at the two ends."""
        return _Spread.apply(of_models, of_datasets, self)

    def product(self, of_models, of_datasets):
        """The inner product of the vectors at the two ends."""
        return _Inner.apply(of_models.contiguous(), of_datasets.contiguous(), self)

    def pairwise(self, function, of_models, of_datasets):
        """A function of the sum of the vectors at the two ends."""
        return function(of_models[..., self.ends["model"], :] + of_datasets[..., self.ends["dataset"], :])

    def sum(self, values):
        """The sum over all edges, without derivative."""
        return self.over_all(values.sum(-1))

    def total(self, values, side):
        """The sum at each model or each dataset, without derivative."""
        return self.over_all(self.add_up(values, side))

    def carrying(self, values):
        """A function of what senders have and of a side: the sum at each receiver, times the values on the edges.

        Without derivative.
        """
        matrices = {side: [self._matrix(side, row) for row in values] for side in self.ends}

        def carry(of_senders, side):
            sums = [matrix @ row for matrix, row in zip(matrices[side], of_senders, strict=True)]
            return self.over_all(torch.stack(sums))

        return carry

    def attention(self, side, query, key, slopes, residual, visible):
        """Attention weights on the edges, normalised at each receiver; zero on hidden edges."""
        of_models, of_datasets = (query, key) if side == "model" else (key, query)
        logits = self.spread(of_models, of_datasets)
        if slopes is not None:
            logits = logits + slopes @ torch.stack([residual, residual.abs()], dim=1)
        logits = nnf.leaky_relu(logits, SLOPE) + (~visible).to(logits.dtype)[:, None] * HIDDEN_LOGIT
        weights = (logits - self.at_ends(self.largest(logits, side), side)).exp() * visible[:, None]
        mass = self.add_up(weights, side).clamp(min=1e-30)
        return weights / self.at_ends(mass, side)

    def largest(self, logits, side):
        """The largest logit at each receiver."""
        largest = logits.new_full((*logits.shape[:-1], self.sizes[side]), HIDDEN_LOGIT)
        return largest.scatter_reduce_(-1, self.ends[side].long().expand_as(logits), logits, "amax")

    def messages(self, residual, visible):
        """What is heard along the visible edges."""
        return messages_on(self.weights.device.type)(self, residual, visible)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, of_models, of_datasets, edges):
        ctx.edges = edges
        return edges.at_ends(of_models, "model").add_(edges.at_ends(of_datasets, "dataset"))

    @staticmethod
    def backward(ctx, gradient):
        needed = ctx.needs_input_grad
        return *(
            ctx.edges.add_up(gradient, side) if needs else None
            for side, needs in zip(("model", "dataset"), needed, strict=False)
        ), None  # fmt: skip


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
