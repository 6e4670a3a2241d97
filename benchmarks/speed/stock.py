"""Networks made of torch_geometric's own layers, to compare with."""

__all__ = ["Additive", "Bipartite"]

import torch
from torch import nn
from torch_geometric.nn import GATConv, GATv2Conv

_LAYERS = {"GATConv": GATConv, "GATv2Conv": GATv2Conv}


class Additive(nn.Module):
    """The network of the SCG4Trf paper: one homogeneous graph, skip combination, an additive decoder.

    Parameters
    ----------
    widths : tuple of int
        The number of features of a model and of a dataset.
    n_nodes : tuple of int
        The number of models and of datasets; each has a learned vector of its own too.
    hidden_dim, n_layers : int
    """

    def __init__(self, widths, n_nodes, hidden_dim=64, n_layers=2):
        super().__init__()
        self.into = nn.ModuleList(nn.Linear(width, hidden_dim) for width in widths)
        self.own = nn.Embedding(sum(n_nodes), hidden_dim)
        self.layers = nn.ModuleList(GATConv(hidden_dim, hidden_dim) for _ in range(n_layers))
        self.combine = nn.Linear(hidden_dim * (n_layers + 1), hidden_dim)
        self.decode = nn.Linear(2 * hidden_dim, 1)

    def forward(self, features, both_ways, models, datasets):
        """Scores of pairs; the messages run along other edges, whose nodes are numbered through."""
        states = torch.cat([into(table) for into, table in zip(self.into, features, strict=True)])
        levels = [states + self.own.weight]
        for layer in self.layers:
            levels.append(layer(levels[-1], both_ways))
        states = self.combine(torch.cat(levels, dim=-1))
        pairs = torch.cat([states[models], states[datasets + len(features[0])]], dim=-1)
        return torch.sigmoid(self.decode(pairs))[:, 0]


class Bipartite(nn.Module):
    """Attention in both directions along the records, with the scores on the edges, and a bilinear decoder.

    Parameters
    ----------
    layer : {"GATConv", "GATv2Conv"}
    widths : tuple of int
        The number of features of a model and of a dataset.
    hidden_dim, n_layers, n_heads, rank : int
        ``hidden_dim`` is what all heads together have.
    """

    def __init__(self, layer, widths, hidden_dim=32, n_layers=2, n_heads=4, rank=32):
        super().__init__()
        self.into = nn.ModuleList(nn.Linear(width, hidden_dim) for width in widths)

        def make():
            return _LAYERS[layer](
                (hidden_dim, hidden_dim), hidden_dim // n_heads, heads=n_heads, edge_dim=1, add_self_loops=False
            )

        self.layers = nn.ModuleList(nn.ModuleList((make(), make())) for _ in range(n_layers))
        self.keep = nn.ModuleList(
            nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(2)) for _ in range(n_layers)
        )
        states = hidden_dim * (n_layers + 1)
        self.addends = nn.ModuleList(nn.Linear(states, 1) for _ in range(2))
        self.factors = nn.ModuleList(nn.Linear(states, rank, bias=False) for _ in range(2))

    def forward(self, features, told, scores, asked):
        """Scores of the pairs ``asked``, from the scores on the edges ``told``: models above, datasets below."""
        models, datasets = (nn.functional.elu(into(x)) for into, x in zip(self.into, features, strict=True))
        levels = [(models, datasets)]
        back = told.flip(0)
        for (to_datasets, to_models), (keep_models, keep_datasets) in zip(self.layers, self.keep, strict=True):
            heard = to_models((datasets, models), back, scores), to_datasets((models, datasets), told, scores)
            models = nn.functional.elu(keep_models(models) + heard[0])
            datasets = nn.functional.elu(keep_datasets(datasets) + heard[1])
            levels.append((models, datasets))
        states = [torch.cat(parts, dim=-1) for parts in zip(*levels, strict=True)]
        ends = [(self.addends[side](states[side])[:, 0], self.factors[side](states[side])) for side in range(2)]
        (addend, factors), (other_addend, other_factors) = ends
        inner = (factors[asked[0]] * other_factors[asked[1]]).sum(-1)
        return addend[asked[0]] + other_addend[asked[1]] + inner
