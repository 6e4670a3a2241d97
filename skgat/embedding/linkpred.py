"""Graph networks trained to tell which model suits which dataset, in torch.

Two layers, full batch. Each step hides a part of the links and all that is known of some nodes but their features,
similar nodes and measures, and predicts the hidden links: so the layers learn to place nodes that they have not seen.
States have length one after each layer, as in GraphSAGE (Hamilton, Ying and Leskovec, NeurIPS 2017).
"""

__all__ = ["train_network"]

import warnings

import torch
import torch.nn.functional as nnf

from ..gat.runtime import as_tensor, fair_share, make_generator, one_thread, own_modes, resolve_device, to_numpy

#: Shares of the links and of the nodes that a step hides.
_HIDDEN_LINKS = 0.3
_HIDDEN_NODES = 0.15
#: The logit of two nodes with the same state, before training, is this above that of two with nothing in common.
_FIRST_SLOPE = 5.0
#: The most pairs of a kind (hidden links, known and random negatives) that a step asks for.
_MOST_PAIRS = 2**14
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
    with own_modes(device), one_thread() if len(graph.weights) < _FEW_EDGES else fair_share():
        return _Training(kind, graph, features, n_components, device, seed).run(n_negative, max_iter, learning_rate)


class _Training:
    def __init__(self, kind, graph, features, n_components, device, seed):
        self.kind, self.graph, self.device = kind, graph, device
        self.random = make_generator(seed, device)
        ends = [as_tensor(part, device, torch.int64) for part in (graph.sources, graph.targets)]
        self.edges = torch.stack(ends)
        self.strengths = as_tensor(graph.weights, device)
        self.neighbors = _Neighbors(self.edges, self.strengths, graph.n_nodes)
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
            values = torch.randn(size, generator=self.random, dtype=torch.float32, device=self.device) * fan_in**-0.5
            weights[name] = torch.zeros_like(values) if "bias" in name else values
        weights["slope"] = torch.full((), _FIRST_SLOPE, dtype=torch.float32, device=self.device)
        weights["offset"] = torch.zeros((), dtype=torch.float32, device=self.device)
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
        asked = self._some(hidden.nonzero()[:, 0])
        strengths = self.strengths[asked]
        losses = nnf.softplus(-self._logits(top, self.edges[:, asked]))
        loss = (losses * strengths).sum() / strengths.sum()
        n_drawn = min(max(1, round(n_negative * len(asked))), _MOST_PAIRS)
        models = self._draw(n_drawn) * self.graph.n_models
        datasets = self._draw(n_drawn) * self.graph.n_datasets
        drawn = torch.stack([models.long(), self.graph.n_models + datasets.long()])
        unlinked = ~torch.isin(drawn[0] * self.graph.n_nodes + drawn[1], self.links)
        if unlinked.any():
            loss = loss + nnf.softplus(self._logits(top, drawn[:, unlinked])).mean()
        if self.negatives.shape[1]:
            known = self._some(torch.arange(self.negatives.shape[1], device=self.device))
            loss = loss + nnf.softplus(self._logits(top, self.negatives[:, known])).mean()
        return loss

    def _some(self, rows):
        """All rows, or as many as a step takes, drawn at random."""
        if len(rows) <= _MOST_PAIRS:
            return rows
        return rows[(self._draw(_MOST_PAIRS) * len(rows)).long()]

    def _draw(self, size):
        return torch.rand(size, generator=self.random, dtype=torch.float32, device=self.device)

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
        visible = visible.repeat(2)[self.neighbors.order]
        layer = self._mean if self.kind == "sage" else self._attention
        levels = [states]
        for number in (0, 1):
            states = layer(number, states, visible)
            states = nnf.normalize(states.relu() if number == 0 else states, dim=1)
            levels.append(states)
        return levels

    def _mean(self, number, states, visible):
        w = self.weights
        heard = self.neighbors.gather(self.neighbors.shares(self.neighbors.strengths * visible), states)
        return states @ w[f"own{number}"] + heard @ w[f"heard{number}"] + w[f"bias{number}"]

    def _attention(self, number, states, visible):
        w, neighbors = self.weights, self.neighbors
        values = states @ w[f"heard{number}"]
        come, go = (values @ w[f"from{number}"])[:, 0], (values @ w[f"to{number}"])[:, 0]
        logits = come[neighbors.senders] + go[neighbors.receivers] + neighbors.strengths * w[f"strength{number}"][0, 0]
        logits = nnf.leaky_relu(logits, 0.2)
        with torch.no_grad():
            largest = logits.new_full((len(states),), -torch.inf).scatter_reduce(0, neighbors.receivers, logits, "amax")
        mass = (logits - largest[neighbors.receivers]).exp() * visible
        heard = neighbors.gather(neighbors.shares(mass), values)
        return states @ w[f"own{number}"] + heard + w[f"bias{number}"]


class _Neighbors:
    """Who hears from whom: every edge in both directions, sorted by receiver."""

    def __init__(self, edges, strengths, n_nodes):
        senders, receivers = torch.cat([edges[0], edges[1]]), torch.cat([edges[1], edges[0]])
        self.order = torch.argsort(receivers, stable=True)
        self.senders, self.receivers = senders[self.order], receivers[self.order]
        self.strengths = torch.cat([strengths, strengths])[self.order]
        self.n_nodes = n_nodes
        counts = torch.bincount(self.receivers, minlength=n_nodes)
        self._starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        # The other direction of each edge is half a turn away.
        place = torch.empty_like(self.order)
        place[self.order] = torch.arange(len(self.order), device=edges.device)
        self._turned = place[(self.order + edges.shape[1]) % len(self.order)]

    def shares(self, mass):
        """What part each edge has of the mass at its receiver."""
        total = mass.new_zeros(self.n_nodes).index_add(0, self.receivers, mass).clamp(min=1e-12)
        return mass / total[self.receivers]

    def gather(self, shares, states):
        """The sum at each receiver of what its senders have."""
        return _Gather.apply(shares, states, self)

    def product(self, values, states):
        """A sparse matrix with these values on the edges, times the states."""
        return self._matrix(values) @ states

    def turned(self, values):
        """The values on the other directions of the edges."""
        return values[self._turned]

    def inner(self, at_receivers, at_senders):
        """The inner product of the vectors at the two ends of each edge."""
        pattern = self._matrix(torch.zeros_like(self.strengths))
        return torch.sparse.sampled_addmm(pattern, at_receivers, at_senders.T, beta=0.0).values()

    def _matrix(self, values):
        with warnings.catch_warnings():
            # torch says once in a process that its sparse matrices are in beta.
            warnings.simplefilter("ignore", UserWarning)
            size = (self.n_nodes, self.n_nodes)
            return torch.sparse_csr_tensor(self._starts, self.senders, values, size=size, check_invariants=False)


class _Gather(torch.autograd.Function):
    """Never makes a tensor of edges by components, forwards or backwards."""

    @staticmethod
    def forward(ctx, shares, states, neighbors):
        ctx.neighbors = neighbors
        ctx.save_for_backward(shares, states)
        return neighbors.product(shares, states)

    @staticmethod
    def backward(ctx, gradient):
        shares, states = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_shares = ctx.neighbors.inner(gradient, states) if ctx.needs_input_grad[0] else None
        return of_shares, ctx.neighbors.product(ctx.neighbors.turned(shares), gradient), None
