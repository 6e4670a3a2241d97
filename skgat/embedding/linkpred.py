"""Graph networks trained to tell which model suits which dataset, in torch.

Two layers, full batch. Each step hides a part of the links and all that is known of some nodes but their features,
similar nodes and measures, and predicts the hidden links: so the layers learn to place nodes that they have not seen.
States have length one after each layer, as in GraphSAGE (Hamilton, Ying and Leskovec, NeurIPS 2017).
"""

__all__ = ["train_network"]

import torch
import torch.nn.functional as nnf

from ..gat.runtime import as_tensor, make_generator, one_thread, resolve_device, to_numpy

#: Shares of the links and of the nodes that a step hides.
_HIDDEN_LINKS = 0.3
_HIDDEN_NODES = 0.15
#: The logit of two nodes with the same state, before training, is this above that of two with nothing in common.
_FIRST_SLOPE = 5.0
#: Graphs with fewer edges than this train on one thread.
_FEW_EDGES = 20_000


def train_network(kind, graph, features, n_components, n_negative, max_iter, learning_rate, device, seed):
    """Train a network by link prediction.

    Parameters
    ----------
    kind : {"sage", "gat"}
    graph : TransferGraph
    features : dict of float arrays
        By side, one row a node, scaled.
    n_components : int
    n_negative : float
        Random negatives for one hidden link.
    max_iter : int
    learning_rate : float
    device : str
    seed : int

    Returns
    -------
    levels : list of float arrays of shape (n_nodes, n_components)
        The states of the nodes: what goes in, and what comes out of each layer.
    weights : dict of float arrays
    losses : list of float
    """
    device = resolve_device(device)
    if len(graph.weights) < _FEW_EDGES:
        with one_thread():
            return _Training(kind, graph, features, n_components, device, seed).run(n_negative, max_iter, learning_rate)
    return _Training(kind, graph, features, n_components, device, seed).run(n_negative, max_iter, learning_rate)


class _Training:
    def __init__(self, kind, graph, features, n_components, device, seed):
        self.kind, self.graph, self.device = kind, graph, device
        self.random = make_generator(seed, device)
        ends = [as_tensor(part, device, torch.int64) for part in (graph.sources, graph.targets)]
        self.edges = torch.stack(ends)
        self.strengths = as_tensor(graph.weights, device)
        self.is_link = as_tensor(graph.kinds != 2, device, torch.bool)
        self.is_score = as_tensor(graph.kinds == 0, device, torch.bool)
        self.links = (self.edges[0] * graph.n_nodes + self.edges[1])[self.is_link]
        self.negatives = as_tensor(graph.negatives, device, torch.int64).T
        self.features = {side: as_tensor(table, device) for side, table in features.items()}
        self.weights = self._initial(n_components)

    def _initial(self, width):
        sizes = {"ids": (self.graph.n_nodes, width)}
        for side, table in self.features.items():
            sizes |= {f"{side}_features": (table.shape[1], width), f"{side}_bias": (1, width)}
        for layer in (0, 1):
            sizes |= {f"own{layer}": (width, width), f"heard{layer}": (width, width), f"bias{layer}": (1, width)}
            if self.kind == "gat":
                sizes |= {f"from{layer}": (width, 1), f"to{layer}": (width, 1), f"strength{layer}": (1, 1)}
        weights = {}
        for name, size in sizes.items():
            fan_in = width if name == "ids" else max(size[0], 1)
            values = torch.randn(size, generator=self.random, device=self.device) * fan_in**-0.5
            weights[name] = torch.zeros_like(values) if "bias" in name else values
        weights["slope"] = torch.full((), _FIRST_SLOPE, device=self.device)
        weights["offset"] = torch.zeros((), device=self.device)
        return {name: values.requires_grad_() for name, values in weights.items()}

    def run(self, n_negative, max_iter, learning_rate):
        """Train, and return what is kept."""
        optimizer = torch.optim.Adam(self.weights.values(), lr=learning_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, max_iter)
        losses = []
        for _ in range(max_iter):
            optimizer.zero_grad()
            loss = self._loss(n_negative)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            levels = self._levels(self._inputs(), torch.ones_like(self.is_link))
        dropped = ("ids", "slope", "offset")
        weights = {name: to_numpy(values) for name, values in self.weights.items() if name not in dropped}
        return [to_numpy(level) for level in levels], weights, losses

    def _loss(self, n_negative):
        links = self.is_link.nonzero()[:, 0]
        unseen = self._draw(self.graph.n_nodes) < _HIDDEN_NODES
        hidden = self.is_link & (self._draw(len(self.is_link)) < _HIDDEN_LINKS)
        hidden |= self.is_score & unseen[self.edges].any(dim=0)
        hidden[links[int(self._draw(1) * len(links))]] = True
        top = self._levels(self._inputs(~unseen), ~hidden)[-1]
        strengths = self.strengths[hidden]
        losses = nnf.softplus(-self._logits(top, self.edges[:, hidden]))
        loss = (losses * strengths).sum() / strengths.sum()
        n_drawn = max(1, round(n_negative * int(hidden.sum())))
        models = self._draw(n_drawn) * self.graph.n_models
        datasets = self._draw(n_drawn) * self.graph.n_datasets
        drawn = torch.stack([models.long(), self.graph.n_models + datasets.long()])
        unlinked = ~torch.isin(drawn[0] * self.graph.n_nodes + drawn[1], self.links)
        if unlinked.any():
            loss = loss + nnf.softplus(self._logits(top, drawn[:, unlinked])).mean()
        if self.negatives.shape[1]:
            loss = loss + nnf.softplus(self._logits(top, self.negatives)).mean()
        return loss

    def _draw(self, size):
        return torch.rand(size, generator=self.random, device=self.device)

    def _logits(self, states, pairs):
        products = (states[pairs[0]] * states[pairs[1]]).sum(dim=1)
        return self.weights["slope"] * products + self.weights["offset"]

    def _inputs(self, seen=None):
        """What goes in: features of either side, and a vector of its own for each node that is seen."""
        described = [self.features[side] @ self.weights[f"{side}_features"] + self.weights[f"{side}_bias"]
                     for side in ("model", "dataset")]  # fmt: skip
        own = self.weights["ids"] if seen is None else self.weights["ids"] * seen[:, None]
        return torch.cat(described) + own

    def _levels(self, states, visible):
        edges, strengths = self.edges[:, visible], self.strengths[visible]
        senders, receivers = torch.cat([edges[0], edges[1]]), torch.cat([edges[1], edges[0]])
        strengths = torch.cat([strengths, strengths])
        layer = self._mean if self.kind == "sage" else self._attention
        levels = [states]
        for number in (0, 1):
            states = layer(number, states, senders, receivers, strengths)
            states = nnf.normalize(states.relu() if number == 0 else states, dim=1)
            levels.append(states)
        return levels

    def _mean(self, number, states, senders, receivers, strengths):
        w = self.weights
        total = strengths.new_zeros(len(states)).index_add(0, receivers, strengths).clamp(min=1e-12)
        shares = strengths / total[receivers]
        heard = torch.zeros_like(states).index_add(0, receivers, states[senders] * shares[:, None])
        return states @ w[f"own{number}"] + heard @ w[f"heard{number}"] + w[f"bias{number}"]

    def _attention(self, number, states, senders, receivers, strengths):
        w = self.weights
        values = states @ w[f"heard{number}"]
        come, go = (values @ w[f"from{number}"])[:, 0], (values @ w[f"to{number}"])[:, 0]
        logits = nnf.leaky_relu(come[senders] + go[receivers] + strengths * w[f"strength{number}"][0, 0], 0.2)
        with torch.no_grad():
            largest = logits.new_full((len(states),), -torch.inf).scatter_reduce(0, receivers, logits, "amax")
        mass = (logits - largest[receivers]).exp()
        total = mass.new_zeros(len(states)).index_add(0, receivers, mass).clamp(min=1e-12)
        shares = mass / total[receivers]
        heard = torch.zeros_like(values).index_add(0, receivers, values[senders] * shares[:, None])
        return states @ w[f"own{number}"] + heard + w[f"bias{number}"]
