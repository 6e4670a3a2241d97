"""The networks. Every parameter has a leading axis of ensemble members, which are trained together in one pass."""

__all__ = ["ALL_SHOWN", "BipartiteNetwork", "HomogeneousNetwork", "make_network"]

import copy
import math
from functools import cached_property
from types import MappingProxyType

import torch
import torch.nn.functional as nnf
from torch import nn

from ..graph import SIDES
from .edges import by_member
from .runtime import as_tensor, dropout

#: Every member sees all features.
ALL_SHOWN = MappingProxyType({"model": 1.0, "dataset": 1.0, "pair": 1.0})
#: Prior records that draw the additive effects to zero: models are compared across datasets, so a dataset's level
#: is trusted sooner than a model's.
SHRINKAGE = {"model": 1.0, "dataset": 0.3}
_EFFECT_SWEEPS = 6


def make_network(config, generator):
    """The untrained network that a configuration asks for; without a generator, one whose weights are to be loaded."""
    kind = HomogeneousNetwork if config["conv"] == "gatconv" else BipartiteNetwork
    return kind(config, generator)


def _weights(generator, members, n_in, n_out, gain=1.0):
    return nn.Parameter(_uniform(generator, (members, n_in, n_out), gain * math.sqrt(3.0 / max(n_in, 1))))


def _uniform(generator, shape, bound):
    if generator is None:
        return torch.empty(shape, dtype=torch.float32)
    return (torch.rand(shape, generator=generator, dtype=torch.float32) * 2 - 1) * bound


def _zeros(*shape):
    return nn.Parameter(torch.zeros(shape, dtype=torch.float32))


class _MessagePassing(nn.Module):
    """One attention layer of one side, whose nodes hear from those of the other.

    The message of a sender is its state, plus its state times the residual score on the edge: what a neighbour *is*
    and how well the pair *went*. Both sums factorise, so no tensor of edges by hidden units is ever made.
    """

    def __init__(self, config, generator):
        super().__init__()
        members, width = config["n_estimators"], config["hidden_dim"]
        self.heads = config["n_heads"]
        self.scores = config["edge_features"]
        self.similar = config["n_neighbors"] > 0
        # Each head has the same width, so what is heard may be a little wider than the states.
        heard = self.heads * -(-width // self.heads)
        self.parts = [self.heads, self.heads, heard] + [heard] * self.scores
        self.voice = _weights(generator, members, width, sum(self.parts))
        n_in = heard + self.heads
        if self.scores:
            self.edge = _zeros(members, self.heads, 2)
            self.scored_bias = _zeros(members, heard, 1)
            n_in += heard + 2 * self.heads
        if self.similar:
            self.near = _weights(generator, members, width, heard)
            self.near_query = _weights(generator, members, width, self.heads)
            self.near_key = _weights(generator, members, width, self.heads)
            n_in += heard
        self.out = _weights(generator, members, n_in, width, 0.5)
        self.keep = _weights(generator, members, width, width)
        self.bias = _zeros(members, 1, width)

    def speak(self, states):
        """What the nodes of this side ask as receivers, and what they say as senders.

        Returns
        -------
        query, key : tensors of shape (n_members, n_heads, n_nodes)
        values, scored : tensors of shape (n_members, n_heads, n_units, n_nodes)
            What they say, and what they say times the residual on the edge; the latter is None without scores.
        """
        query, key, values, *scored = (self.voice.mT @ states).split(self.parts, dim=1)
        scored = (scored[0] + self.scored_bias).unflatten(1, (self.heads, -1)) if scored else None
        return query, key, values.unflatten(1, (self.heads, -1)), scored

    def forward(self, receivers, query, said, messages, side, near, shown):
        """The receivers' next states; ``shown`` is 0 where a member is not told which nodes are similar."""
        heard = messages.hear(side, query, self.edge if self.scores else None, *said).flatten(1, 2)
        if self.similar:
            similar = self.hear_similar(receivers.mT, receivers.mT, *near) * shown
            heard = torch.cat([heard, similar.mT], dim=1)
        kept = torch.baddbmm(self.bias.mT, self.keep.mT, receivers)
        return nnf.elu(torch.baddbmm(kept, self.out.mT, heard))

    def hear_similar(self, receivers, known, indices, distances):
        """What nodes hear from the nearest nodes of their own kind."""
        if not indices.shape[1]:
            return receivers.new_zeros(*receivers.shape[:2], self.near.shape[2])
        key = (known @ self.near_key)[:, indices]
        logits = nnf.leaky_relu((receivers @ self.near_query)[:, :, None] + key, 0.2) - distances[..., None]
        weights = logits.softmax(2)
        values = (known @ self.near).unflatten(-1, (self.heads, -1))[:, indices]
        return (weights[..., None] * values).sum(2).flatten(2)


class BipartiteNetwork(nn.Module):
    """Attention over the records in both directions, and a decoder of the states of the two ends.

    A state never depends on who a node is, only on its features and its records, so that an unknown node is no
    special case. Within, the nodes are the last axis of all that is computed of them, so that products of many nodes
    and few units go along memory; what is given and returned has them before the units.
    """

    def __init__(self, config, generator):
        super().__init__()
        self.config = config
        members, width = config["n_estimators"], config["hidden_dim"]
        n_levels = config["n_layers"] + 1 if config["combine"] == "concat" else 1
        states = width * n_levels + 1
        self.into = nn.ParameterDict()
        self.decode = nn.ParameterDict()
        self.layers = nn.ModuleDict()
        rank = self.rank = config["rank"]
        for side in SIDES:
            self.into[side] = _weights(generator, members, config[f"n_{side}_features"], width)
            self.into[f"{side}_bias"] = _zeros(members, 1, width)
            self.layers[side] = nn.ModuleList(_MessagePassing(config, generator) for _ in range(config["n_layers"]))
            self.decode[side] = _zeros(members, states, 1)
            if config["decoder"] == "bilinear":
                self.decode[f"{side}_factors"] = _weights(generator, members, states, rank, 0.5)
            elif config["decoder"] == "mlp":
                self.decode[f"{side}_hidden"] = _weights(generator, members, states, rank, 0.5)
        self.decode["offset"] = _zeros(members)
        if config["decoder"] == "mlp":
            self.decode["hidden_bias"] = _zeros(members, 1, rank)
            self.decode["out"] = _zeros(members, rank)
        if config["n_pair_features"]:
            n_hidden = 8
            self.decode["pair"] = _zeros(members, config["n_pair_features"], 1)
            self.decode["pair_in"] = _weights(generator, members, config["n_pair_features"], n_hidden)
            self.decode["pair_bias"] = _zeros(members, 1, n_hidden)
            self.decode["pair_out"] = _zeros(members, n_hidden, 1)

    def effects(self, target, visible, edges):
        """The mean and the shrunken additive effects, from visible edges alone."""
        visible = visible.to(target.dtype)
        weights = visible * edges.weights
        mass = {side: edges.total(weights, side) for side in SIDES}
        all_mass = mass["model"].sum(-1).clamp(min=1e-9)
        mean = edges.sum(target * weights) / all_mass
        effects = {side: torch.zeros_like(mass[side]) for side in SIDES}
        if self.config["additive"]:
            rest = (target - by_member(mean, target)) * weights
            rest = {side: edges.total(rest, side) for side in SIDES}
            mass = {side: mass[side] + SHRINKAGE[side] for side in SIDES}
            carry = edges.carrying(weights)
            for _ in range(_EFFECT_SWEEPS):
                for side, other in (("dataset", "model"), ("model", "dataset")):
                    effects[side] = (rest[side] - carry(effects[other], side)) / mass[side]
        explained = edges.spread(effects["model"], effects["dataset"]).add_(by_member(mean, target))
        residual = explained.neg_().add_(target).mul_(visible)
        # How far a usual record is off: those of great weight are not, and all others would look like outliers.
        spread = (edges.sum(residual.square()) / edges.sum(visible).clamp_(min=1.0)).sqrt()
        return mean, effects, residual.div_(by_member(spread, target) + 1e-3)

    def encode(self, inputs, target, visible, shown=ALL_SHOWN):
        """The states of all nodes at all levels, with the additive effects.

        ``shown`` tells which features the members see: a factor a role, 1 or 0, or one such factor a member.
        """
        edges = inputs.edges
        with torch.no_grad():
            mean, effects, residual = self.effects(target, visible, edges)
            # What is on the nodes is on the device, wherever the edges are.
            mean, effects = mean.to(inputs.device), {side: effects[side].to(inputs.device) for side in SIDES}
        states = {
            side: nnf.elu(self.into[side].mT @ (inputs.features[side] * shown[side]).mT + self.into[f"{side}_bias"].mT)
            for side in SIDES
        }
        levels = {side: [states[side]] for side in SIDES}
        messages = edges.messages(residual, visible)
        for layers in zip(*(self.layers[side] for side in SIDES), strict=True):
            layers = dict(zip(SIDES, layers, strict=True))
            spoken = {side: layer.speak(states[side]) for side, layer in layers.items()}
            states = {
                side: layers[side](
                    states[side], spoken[side][0], spoken[other][1:], messages, side, inputs.near[side], shown[side]
                )
                for side, other in zip(SIDES, reversed(SIDES), strict=True)
            }
            for side in SIDES:
                levels[side].append(states[side])
        levels = {side: torch.cat(levels[side], dim=1).mT for side in SIDES}
        return mean, effects, levels

    def terms(self, side, levels, effects, generator=None):
        """What the decoder needs of one end of a pair: an addend, then its factors or hidden units."""
        states = levels if self.config["combine"] == "concat" else levels[..., -self.config["hidden_dim"] :]
        states = dropout(torch.cat([states.mT, effects[:, None]], dim=1), self.config["dropout"], generator)
        weights = [self.decode[side]]
        if self.config["decoder"] == "bilinear":
            weights.append(self.decode[f"{side}_factors"] / self.rank**0.25)
        elif self.config["decoder"] == "mlp":
            weights.append(self.decode[f"{side}_hidden"])
        weights = torch.cat(weights, dim=-1)
        # The additive effect is a part of the addend as it is.
        addend = nnf.pad(effects[:, None], (0, 0, 0, weights.shape[-1] - 1))
        terms = torch.baddbmm(addend, weights.mT, states).mT
        if self.config["decoder"] == "mlp" and side == "model":
            terms = terms + nnf.pad(self.decode["hidden_bias"], (1, 0))
        return terms

    def pair_term(self, features):
        """What the features of the pair itself add."""
        hidden = nnf.elu(features @ self.decode["pair_in"] + self.decode["pair_bias"])
        return (features @ self.decode["pair"] + hidden @ self.decode["pair_out"])[..., 0]

    def predict_edges(self, inputs, mean, terms, shown=1.0):
        """The prediction on every edge (in the table: on every cell)."""
        edges = inputs.edges
        models, datasets = terms["model"], terms["dataset"]
        out = edges.spread(models[..., 0], datasets[..., 0])
        out = out + by_member(mean + self.decode["offset"], out)
        if self.config["decoder"] == "bilinear":
            out = out + edges.product(models[..., 1:], datasets[..., 1:])
        elif self.config["decoder"] == "mlp":
            hidden = edges.pairwise(nnf.elu, models[..., 1:], datasets[..., 1:])
            weights = self.decode["out"].reshape((-1,) + (1,) * (hidden.ndim - 2) + (self.rank,))
            out = out + (hidden * weights).sum(-1)
        if inputs.pair_features is not None:
            out = out + edges.place(self.pair_term(inputs.pair_features) * shown)
        return out

    def forward(self, inputs, target, visible, generator=None):
        """The prediction on every edge from what is visible."""
        return inputs.edges.say(self.predict_edges, inputs, self.describe(inputs, target, visible, generator))

    def describe(self, inputs, target, visible, generator=None):
        """What predictions are made of: the mean, the terms of the nodes, and who sees features of pairs.

        ``generator`` is given in training, where it draws the dropout and which members see no features.
        """
        shown = ALL_SHOWN
        if generator is not None and any(self.config[f"blank_{role}"] for role in ALL_SHOWN):
            draws = torch.rand((3, len(visible), 1, 1), generator=generator, dtype=torch.float32, device=inputs.device)
            shown = {
                role: (draw >= self.config[f"blank_{role}"]).float()
                for role, draw in zip(ALL_SHOWN, draws, strict=True)
            }
            shown["pair"] = shown["pair"][..., 0]
        mean, effects, levels = self.encode(inputs, target, visible, shown)
        terms = {side: self.terms(side, levels[side], effects[side], generator) for side in SIDES}
        return mean, terms, shown["pair"]

    @torch.no_grad()
    def attention(self, inputs, target, visible):
        """The attention weights of every layer: pairs of (side of the receiver, weights on the edges)."""
        _, _, residual = self.effects(target, visible, inputs.edges)
        _, _, levels = self.encode(inputs, target, visible)
        width, scores = self.config["hidden_dim"], self.config["edge_features"]
        found = []
        for number in range(self.config["n_layers"]):
            own = slice(number * width, (number + 1) * width)
            spoken = {side: self.layers[side][number].speak(levels[side][..., own].mT) for side in SIDES}
            for side, other in (("model", "dataset"), ("dataset", "model")):
                query, slopes = spoken[side][0], self.layers[side][number].edge if scores else None
                key = spoken[other][1]
                weights = inputs.edges.attention(side, query, key, slopes, residual, visible)
                found.append((side, number, inputs.edges.take(weights)))
        return found


class HomogeneousNetwork(nn.Module):
    """The network of the SCG4Trf paper, with what defines it.

    Models and datasets are nodes of one graph with edges from models to datasets only, the scores on the edges have
    no influence on the attention, nothing is nonlinear but the attention and a final sigmoid, and the linear decoder
    is the sum of a term of the model and a term of the dataset.
    """

    def __init__(self, config, generator):
        super().__init__()
        self.config = config
        members, width = config["n_estimators"], config["hidden_dim"]
        n_nodes = config["n_models"] + config["n_datasets"]
        n_in = sum(config[f"n_{side}_features"] for side in SIDES) + n_nodes
        self.into = nn.ParameterDict()
        bound = n_in**-0.5
        for name, rows in (("ids", n_nodes), ("features", n_in - n_nodes), ("bias", 1)):
            self.into[name] = nn.Parameter(_uniform(generator, (members, rows, width), bound))
        # A second and more to import, and only this network is made of its layers.
        from torch_geometric.nn import GATConv

        # torch_geometric draws from the global stream, which is put back; we draw again from ours.
        with torch.random.fork_rng(devices=[]):
            self.convs = nn.ModuleList(
                nn.ModuleList(GATConv(width, width, heads=config["n_heads"], concat=False) for _ in range(members))
                for _ in range(config["n_layers"])
            )
        self.convs.to(torch.float32)
        for parameter in self.convs.parameters():
            if parameter.ndim > 1:
                bound = math.sqrt(6.0 / (parameter.shape[-1] + parameter.shape[-2]))
                parameter.data = _uniform(generator, parameter.shape, bound)
        n_levels = config["n_layers"] + 1 if config["combine"] == "concat" else 1
        gain = 3**-0.5
        self.out = _weights(generator, members, width * n_levels, width, gain)
        self.out_bias = _zeros(members, 1, width)
        self.decode = nn.ParameterDict({side: _weights(generator, members, width, 1, gain) for side in SIDES})
        self.decode["offset"] = _zeros(members)

    def encode(self, inputs, target, visible, shown=ALL_SHOWN):
        """The states of all nodes at all levels."""
        n_models, n_datasets = inputs.sizes["model"], inputs.sizes["dataset"]
        widths = [self.config[f"n_{side}_features"] for side in SIDES]
        ids, features = self.into["ids"], self.into["features"].split(widths, dim=1)
        known = {"model": ids[:, : self.config["n_models"]], "dataset": ids[:, self.config["n_models"] :]}
        first = torch.cat(
            [
                _pad(known[side], inputs.identity[side]) + inputs.features[side] @ weights
                for side, weights in zip(SIDES, features, strict=True)
            ],
            dim=1,
        )
        levels = [first + self.into["bias"]]
        index = torch.stack([inputs.ends["model"], inputs.ends["dataset"] + n_models])
        for layer in self.convs:
            states = []
            for member, conv in enumerate(layer):
                shown = visible[member] if visible.ndim > 1 else visible
                states.append(conv(levels[-1][member], index[:, inputs.edges.take(shown)]))
            levels.append(torch.stack(states))
        levels = torch.cat(levels, dim=-1)
        mean = torch.zeros(len(levels), dtype=torch.float32, device=levels.device)
        effects = {
            "model": levels.new_zeros(len(levels), n_models),
            "dataset": levels.new_zeros(len(levels), n_datasets),
        }
        return mean, effects, {"model": levels[:, :n_models], "dataset": levels[:, n_models:]}

    def terms(self, side, levels, effects, generator=None):
        """The addend of one end of a pair."""
        states = levels if self.config["combine"] == "concat" else levels[..., -self.config["hidden_dim"] :]
        states = dropout(states, self.config["dropout"], generator)
        return (states @ self.out + self.out_bias) @ self.decode[side]

    def predict_edges(self, inputs, mean, terms, shown=1.0):
        """The prediction on every edge."""
        out = inputs.edges.spread(terms["model"][..., 0], terms["dataset"][..., 0])
        return torch.sigmoid(out + by_member(self.decode["offset"], out))

    forward, describe = BipartiteNetwork.forward, BipartiteNetwork.describe

    @torch.no_grad()
    def attention(self, inputs, target, visible):
        """The attention weights of every layer, from models to datasets."""
        _, _, levels = self.encode(inputs, target, visible)
        both = torch.cat([levels["model"], levels["dataset"]], dim=1)
        n_models, width = inputs.sizes["model"], self.config["hidden_dim"]
        index = torch.stack([inputs.ends["model"], inputs.ends["dataset"] + n_models])
        found = []
        for number, layer in enumerate(self.convs):
            weights = []
            for member, conv in enumerate(layer):
                states = both[member, :, number * width : (number + 1) * width]
                _, (_, alpha) = conv(states, index, return_attention_weights=True)
                weights.append(alpha[: index.shape[1]].T)
            found.append(("dataset", number, torch.stack(weights)))
        return found


def _pad(table, identity):
    """The rows of the known nodes; a node that was not in training has a row of zeros."""
    padded = torch.cat([table, table.new_zeros(len(table), 1, table.shape[2])], dim=1)
    return padded[:, identity]


class Inputs:
    """A graph on a device, in the form that the networks read."""

    def __init__(self, graph, features, near, edges, identity, device):
        self.edges, self.device = edges, device
        self.features = {side: as_tensor(features[side], device) for side in SIDES}
        self.pair_features = as_tensor(features["pair"], edges.device) if features["pair"].shape[1] else None
        self.near = {
            side: (as_tensor(near[side][0], device, torch.int64), as_tensor(near[side][1], device)) for side in SIDES
        }
        self.identity = {side: as_tensor(identity[side], device, torch.int64) for side in SIDES}
        self.sizes = {"model": graph.n_models, "dataset": graph.n_datasets}
        self._graph = graph

    def over(self, edges, rows):
        """The same with some of the edges alone, which are on the device."""
        part = copy.copy(self)
        part.edges = edges
        if self.pair_features is not None:
            part.pair_features = self.pair_features[rows].to(self.device)
        return part

    @cached_property
    def ends(self):
        """The positions of both ends of every edge, for layers that do not go by the layout."""
        device = self.edges.device
        return {side: as_tensor(getattr(self._graph, f"edge_{side}s"), device, torch.int64) for side in SIDES}
