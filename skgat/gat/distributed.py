"""Training by several processes, on GPUs or hosts of their own, each of which holds a part of the edges.

What is on the nodes is the same in every process. A sum over edges is the sum of the processes' own sums, in the
forward pass and, as gradients are, in the backward pass; nothing else is exchanged but the gradients of the weights.
"""

__all__ = ["ShardedEdges", "shard_edges", "training_layout"]

import hashlib
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
import torch.distributed as dist

from .edges import SparseEdges
from .messages import SparseMessages

_group = ContextVar("group", default=None)


@contextmanager
def shard_edges(group=None):
    """Let the processes of a group of torch.distributed train one recommender together.

    Within the block, ``fit`` of a :class:`~skgat.TransferabilityGAT` spreads the edges of a large graph over the
    processes. Every process calls ``fit`` with the same records and the same integer ``random_state``, and every one
    ends with the whole fitted recommender: the one that a single process would have fitted, but for rounding. Small
    graphs, which are kept as a table, and ``conv="gatconv"`` are trained whole by every process.

    It has to be asked for, because that a process group exists does not tell that fits are meant to share it.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, optional
        The processes that train together; by default all.

    Examples
    --------
    In a script that ``torchrun --nproc-per-node 2`` starts, with ``backend="nccl"`` and a device for each process
    where there are GPUs::

        torch.distributed.init_process_group("gloo")
        with shard_edges():
            recommender.fit(records)
        if torch.distributed.get_rank() == 0:
            skgat.persistence.save(recommender, "zoo.skgat")
    """
    if not dist.is_available() or not dist.is_initialized():
        raise RuntimeError(
            "shard_edges needs a process group, but there is none; call torch.distributed.init_process_group first."
        )
    token = _group.set(dist.group.WORLD if group is None else group)
    try:
        yield
    finally:
        _group.reset(token)


def training_layout(choose, conv, seed):
    """What makes the layout of the edges for training: in parts, where that was asked for and can be.

    Parameters
    ----------
    choose : callable
        Makes the layout of all edges from the graph and the device.
    conv : str
        The attention layer.
    seed : int
        The seed of the fit.

    Returns
    -------
    callable
    """
    group = _group.get()
    if group is None or conv == "gatconv":
        return choose

    def layout(graph, device):
        _check_alike(graph, seed, group, device)
        edges = choose(graph, device)
        return ShardedEdges(graph, device, group) if isinstance(edges, SparseEdges) else edges

    return layout


def _check_alike(graph, seed, group, device):
    """Processes that fit something else would wait for each other for ever, or learn nonsense."""
    digest = hashlib.blake2b(str(seed).encode(), digest_size=7)
    for values in (graph.edge_models, graph.edge_datasets, graph.scores, graph.weights):
        digest.update(np.ascontiguousarray(values).data)
    own = int.from_bytes(digest.digest(), "big")
    extremes = torch.tensor([own, -own], device=device)
    dist.all_reduce(extremes, dist.ReduceOp.MAX, group=group)
    if int(extremes[0]) != -int(extremes[1]):
        raise ValueError(
            "The processes of shard_edges fit different things, but expected the same records in the same order, and "
            "the same integer as random_state, in every process."
        )


class _Sum(torch.autograd.Function):
    """The sum over the processes. Each has a part of the gradient, and the parts add up to the whole."""

    @staticmethod
    def forward(ctx, values, group):
        ctx.group = group
        return _summed(values, group)

    @staticmethod
    def backward(ctx, gradient):
        return _summed(gradient, ctx.group), None


def _summed(values, group):
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=group)
    return total


class ShardedEdges(SparseEdges):
    """The edges of this process, with the operations of :class:`~skgat.gat.edges.SparseEdges` on all of them.

    A tensor "on the edges" has this process' edges; what comes in by ``place`` and goes out by ``take`` has them all.

    Parameters
    ----------
    graph : Graph
    device : torch.device
    group : torch.distributed.ProcessGroup
    """

    def __init__(self, graph, device, group):
        self.group, self.n_all = group, graph.n_edges
        self.n_processes = dist.get_world_size(group)
        bounds = np.linspace(0, graph.n_edges, self.n_processes + 1).astype(int)
        self.bounds = bounds.tolist()
        rank = dist.get_rank(group)
        self.own = slice(self.bounds[rank], self.bounds[rank + 1])
        super().__init__(graph, device, self.own)

    def place(self, values):
        """This process' part of values in the order of the graph's edges."""
        return values[..., self.own]

    def take(self, values):
        """The opposite of ``place``, without derivative: the parts of all processes."""
        whole = values.new_zeros(*values.shape[:-1], self.n_all)
        whole[..., self.own] = values.detach()
        return _summed(whole, self.group)

    def draw(self, uniform, n_members):
        """Random numbers on the edges: this process' part of what a single process draws."""
        return self.place(uniform((n_members, self.n_all)))

    def messages(self, residual, visible):
        """What is heard along the visible edges, of which each process adds up its own."""
        return SparseMessages(self, residual, visible)

    def backward(self, loss, weights):
        """Add the gradient of the loss, added up over the processes, to that of the weights."""
        (loss / self.n_processes).backward()
        dist.all_reduce(weights.grad, group=self.group)

    def over_all(self, sums):
        """Sums at the nodes over the edges of all processes."""
        return _Sum.apply(sums, self.group)

    def agree(self, largest):
        """The largest values at the nodes over the edges of all processes."""
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        return largest
