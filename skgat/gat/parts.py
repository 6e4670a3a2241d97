"""Edges that are too many for the device, which looks at one part of them after the other.

They lie in the memory of the host, sorted by dataset and cut between datasets. What nodes hear is summed up part by
part, and worked out again for the derivative instead of being kept; so is the loss. Nothing is sampled: all edges have
their say in every step, and what is learned is what is learned from all of them at once, but for rounding.
"""

__all__ = ["PartedEdges", "fitting_layout", "needs"]

import copy
import itertools
import math

import torch
from torch.autograd.function import once_differentiable

from ..graph import SIDES
from .edges import SparseEdges
from .messages import Count, Hear, SparseMessages

#: Bytes of an edge; of an edge in a network; besides for each of its layers, for each head of a layer, and where pairs
#: have features. With default sizes it is what a fit takes on the CPU at its peak, see docs/scale.md, which is twice
#: what its tensors hold there: what libraries need in between is not known of other devices.
_OF_EDGE = 40
_OF_MEMBER = 100
_OF_LAYER = 30
_OF_HEAD = 10
_OF_PAIR = 150
#: Numbers of a node for each unit of each of its states.
_OF_UNIT = 28
#: This much of the free memory is used.
_USED = 0.8


def fitting_layout(choose, config):
    """What makes the layout of the edges for training: in parts, where all of them find no room on the device.

    Parameters
    ----------
    choose : callable
        Makes the layout of edges that do, from the graph and the device.
    config : dict
        What the network looks like.

    Returns
    -------
    callable
    """

    def layout(graph, device):
        n_parts = _n_parts(graph, config, device)
        return choose(graph, device) if n_parts == 1 else PartedEdges(graph, device, n_parts)

    return layout


def _n_parts(graph, config, device):
    room = _room(device)
    if room == math.inf or config["conv"] == "gatconv":
        return 1
    of_nodes, of_edges = needs(graph, config)
    room = _USED * room - of_nodes
    return max(math.ceil(of_edges / room), 1) if room > 0 else graph.n_datasets


def needs(graph, config):
    """About how many bytes the nodes and the edges of a graph take on a device while networks are trained."""
    members, layers = config["n_estimators"], config["n_layers"]
    states = members * config["hidden_dim"] * (layers + 1)
    features = sum(config[f"n_{side}_features"] * getattr(graph, f"n_{side}s") for side in SIDES)
    of_nodes = 4 * (_OF_UNIT * states * (graph.n_models + graph.n_datasets) + features)
    of_edge = _OF_MEMBER + layers * (_OF_LAYER + _OF_HEAD * config["n_heads"])
    if config["n_pair_features"]:
        of_edge += _OF_PAIR
    return of_nodes, graph.n_edges * (_OF_EDGE + members * of_edge + 4 * config["n_pair_features"])


def _room(device):
    """The free memory of the device in bytes. What does not fit the host's own cannot be put elsewhere."""
    return torch.cuda.mem_get_info(device)[0] if torch.device(device).type == "cuda" else math.inf


class PartedEdges(SparseEdges):
    """All edges on the host, where a tensor "on the edges" is too, and parts of them to be sent to the device.

    What nodes have is on the device, but for the additive effects while they are worked out.

    Parameters
    ----------
    graph : Graph
    device : torch.device
    n_parts : int
        At most so many, of about the same size; a dataset is never in two of them.
    """

    def __init__(self, graph, device, n_parts):
        super().__init__(graph, torch.device("cpu"))
        self.away = device
        starts = self.starts["dataset"].long()
        wanted = torch.linspace(0, graph.n_edges, n_parts + 1)[1:-1]
        inner = starts[torch.searchsorted(starts, wanted.ceil().long()).clamp(max=len(starts) - 1)]
        bounds = [0, *inner.unique().tolist(), graph.n_edges]
        self.rows = [slice(*pair) for pair in itertools.pairwise(bounds) if pair[0] < pair[1]]
        self._parts = [_Part(graph, self.device, rows) for rows in self.rows]

    def parts(self):
        """Each part on the device, with the place of its edges among all."""
        for part, rows in zip(self._parts, self.rows, strict=True):
            yield part.sent(self.away), rows

    def draw(self, uniform, n_members):
        """Random numbers on the edges, which the device draws for one member after the other."""
        return torch.cat([uniform((1, *self.shape)).to(self.device) for _ in range(n_members)])

    def messages(self, residual, visible):
        """What is heard along the visible edges."""
        return _PartedMessages(self, residual, visible)

    def learn(self, judge, inputs, described, targets, supervised, weights):
        """Add the gradient of what a function says of predictions to that of the weights, part by part."""
        mean, terms, shown = described
        leaves = {side: values.detach().requires_grad_() for side, values in terms.items()}
        masses = supervised * self.weights
        mass = self.sum(masses).clamp(min=1e-9)
        losses = torch.zeros(len(supervised), device=self.away)
        for part, rows in self.parts():
            of_part = (targets[:, rows].to(self.away), supervised[:, rows].to(self.away))
            own = judge(inputs.over(part, rows), (mean, leaves, shown), *of_part)
            own = own * (masses[:, rows].sum(-1) / mass).to(self.away)
            own.sum().backward()
            losses += own.detach()
        torch.autograd.backward(list(terms.values()), [leaf.grad for leaf in leaves.values()])
        return losses

    @torch.no_grad()
    def say(self, predict, inputs, described):
        """What a function predicts on the edges, from what is known of the nodes; without derivative."""
        said = [predict(inputs.over(part, rows), *described).to(self.device) for part, rows in self.parts()]
        return torch.cat(said, dim=-1)


class _Part(SparseEdges):
    """Some of the edges. What logits are taken relative to is told to it, or left behind by it."""

    largest = None

    def sent(self, device):
        """The same on a device."""
        sent = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(sent, name, value.to(device))
            elif isinstance(value, dict) and name != "sizes":
                setattr(sent, name, {side: tensor.to(device) for side, tensor in value.items()})
        sent.device = device
        return sent

    def agree(self, largest):
        """What logits are taken relative to: the largest of the part, unless it was told of larger ones."""
        self.largest = largest if self.largest is None else self.largest
        return self.largest


class _PartedMessages(SparseMessages):
    """The visible edges of all members on the host, with the residual score on each."""

    def __init__(self, edges, residual, visible):
        self.edges, self.residual, self.visible = edges, residual, visible
        shown = visible.to(residual.dtype)
        self.counts = {side: Count(edges.add_up(shown, side).to(edges.away)) for side in edges.ends}

    def parts(self):
        """The messages along each part of the edges, on the device."""
        for part, rows in self.edges.parts():
            on_edges = (values[:, rows].to(part.device) for values in (self.residual, self.visible))
            yield SparseMessages(part, *on_edges)

    def add_up(self, query, key, slopes, values, scored, side):
        """What the receivers hear before it is divided by their mass, over all edges."""
        return _HearParts.apply(query, key, slopes, values, scored, self, side)


class _HearParts(torch.autograd.Function):
    """What :class:`~skgat.gat.messages.Hear` sums up, part by part."""

    @staticmethod
    def forward(ctx, query, key, slopes, values, scored, messages, side):
        given = query, key, slopes, values, scored
        sums = largest = None
        for part in messages.parts():
            own = Hear.apply(*given, part, side)
            if sums is None:
                sums, largest = own, part.edges.largest
                continue
            before, largest = largest, torch.maximum(largest, part.edges.largest)
            sums = _times(sums, before, largest) + _times(own, part.edges.largest, largest)
        ctx.messages, ctx.side = messages, side
        ctx.save_for_backward(*given, largest)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        *given, largest = ctx.saved_tensors
        found = [None if values is None else torch.zeros_like(values) for values in given]
        wanted = [place for place, values in enumerate(given) if values is not None]
        for part in ctx.messages.parts():
            part.edges.largest = largest
            with torch.enable_grad():
                leaves = [None if values is None else values.detach().requires_grad_() for values in given]
                own = Hear.apply(*leaves, part, ctx.side)
            for place, part_of in zip(
                wanted, torch.autograd.grad(own, [leaves[i] for i in wanted], gradient), strict=True
            ):
                found[place] += part_of
        return *found, None, None


def _times(sums, before, after):
    """Sums of exp(logit - before) in units of exp(logit - after); zero where nothing was heard."""
    return sums * torch.where(before == after, 1.0, (before - after).exp())[..., None]
