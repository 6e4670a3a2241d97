"""Two layouts of the same edges: a table for small graphs, lists for large ones.

A tensor "on the edges" has the shape ``(..., n_models, n_datasets)`` in the table and ``(..., n_edges)`` in the lists.
Both layouts offer the same operations with the same results, so that the network is written once.
"""

__all__ = ["DenseEdges", "SparseEdges", "choose_layout"]

import torch
import torch.nn.functional as nnf
from torch_geometric.utils import softmax

from .runtime import as_tensor

_HIDDEN_LOGIT = -1e9
#: A table may have this many times more cells than there are edges before lists are the better layout.
_SPARSITY = 16
_MOST_CELLS = 2**18


def choose_layout(graph, device):
    """The faster layout for the graph."""
    cells = graph.n_models * graph.n_datasets
    layout = DenseEdges if cells <= min(_MOST_CELLS, _SPARSITY * graph.n_edges + 2**12) else SparseEdges
    return layout(graph, device)


class DenseEdges:
    """Edges as a table of models by datasets."""

    def __init__(self, graph, device):
        self.shape = (graph.n_models, graph.n_datasets)
        flat = graph.edge_models * graph.n_datasets + graph.edge_datasets
        self._flat = as_tensor(flat, device, torch.int64)
        self.weights = self.place(as_tensor(graph.weights / graph.weights.mean(), device))
        self.present = self.place(torch.ones(graph.n_edges, device=device)) > 0
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


class SparseEdges:
    """Edges as two lists of ends."""

    def __init__(self, graph, device):
        self.shape = (graph.n_edges,)
        self._ends = {
            "model": as_tensor(graph.edge_models, device, torch.int64),
            "dataset": as_tensor(graph.edge_datasets, device, torch.int64),
        }
        self._sizes = {"model": graph.n_models, "dataset": graph.n_datasets}
        self.weights = as_tensor(graph.weights / graph.weights.mean(), device)
        self.present = torch.ones(graph.n_edges, dtype=torch.bool, device=device)
        self.device = device

    def place(self, values):
        """Values in the order of the graph's edges, moved on the edges."""
        return values

    def take(self, values):
        """The opposite of ``place``."""
        return values

    def spread(self, of_models, of_datasets):
        """The sum of the values at the two ends."""
        return of_models[..., self._ends["model"]] + of_datasets[..., self._ends["dataset"]]

    def product(self, of_models, of_datasets):
        """The inner product of the vectors at the two ends."""
        models, datasets = of_models[..., self._ends["model"], :], of_datasets[..., self._ends["dataset"], :]
        return (models * datasets).sum(-1)

    def pairwise(self, function, of_models, of_datasets):
        """A function of the sum of the vectors at the two ends."""
        return function(of_models[..., self._ends["model"], :] + of_datasets[..., self._ends["dataset"], :])

    def total(self, values, side):
        """The sum at each model or each dataset."""
        out = values.new_zeros(values.shape[:-1] + (self._sizes[side],))
        return out.index_add(-1, self._ends[side], values)

    def attention(self, side, query, key, extra, visible):
        """Attention weights on the edges, normalised at each receiver; zero on hidden edges."""
        of_models, of_datasets = (query, key) if side == "model" else (key, query)
        logits = nnf.leaky_relu(self.spread(of_models, of_datasets) + extra, 0.2)
        logits = logits.masked_fill(~visible, _HIDDEN_LOGIT)
        return softmax(logits, self._ends[side], num_nodes=self._sizes[side], dim=-1) * visible

    def gather(self, side, weights, values):
        """The weighted sum of the senders' vectors at each receiver."""
        sender = "dataset" if side == "model" else "model"
        messages = weights[..., None] * values[..., self._ends[sender], :]
        out = values.new_zeros(values.shape[:-2] + (self._sizes[side], values.shape[-1]))
        return out.index_add(-2, self._ends[side], messages)
