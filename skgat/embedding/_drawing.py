"""The attributed graph of a network's operations, and how it is put together."""

__all__ = ["Architecture", "Drawing", "module_numbers", "weight_numbers"]

from dataclasses import dataclass

import numpy as np

from ._operators import operator_name


@dataclass(frozen=True)
class Architecture:
    """The operations of a network and what flows between them.

    Attributes
    ----------
    operators : tuple of str
        One name a node.
    numbers : array of shape (n_nodes, 5)
        Kernel size, stride, output channels, groups and parameters of each; zero where there is no such thing.
    sources, targets : integer arrays of shape (n_edges,)
        Both ends of each edge; sources stand before targets.
    method : {"fx", "export", "modules"}
        How it was found out.
    reasons : tuple of str
        Why not in a better way.
    """

    operators: tuple
    numbers: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    method: str
    reasons: tuple = ()

    def depths(self):
        """For each node the length of the longest path that leads to it."""
        depth = [0] * len(self.operators)
        # Sorted by target, so every node is done before its edges are followed.
        for source, target in zip(self.sources.tolist(), self.targets.tolist(), strict=True):
            depth[target] = max(depth[target], depth[source] + 1)
        return np.array(depth, dtype=np.int64)


class Drawing:
    """A graph that grows in the order of execution.

    Parameters
    ----------
    method : str
    reasons : tuple of str
        See :class:`Architecture`.
    """

    def __init__(self, method, reasons=()):
        self._method = method
        self._reasons = reasons
        self._operators = []
        self._numbers = []
        self._sources = []
        self._nodes = {}
        self._weights = {}

    def hold(self, key, weights):
        """Remember what stands for weights, not for an operation."""
        self._weights[key] = weights
        self._nodes[key] = ()

    def held(self, key):
        """The weights that stand, or were viewed, under a key."""
        return self._weights.get(key, [])

    def matters(self, key):
        """Tell whether data or weights come from a key, not mere sizes."""
        return bool(self._nodes[key] or self._weights.get(key))

    def join(self, key, inputs):
        """Pass by an operation that computes nothing."""
        self._nodes[key] = self._reached(inputs)
        self._weights[key] = [weight for source in inputs for weight in self.held(source)]

    def add(self, key, operator, numbers, inputs):
        """Add an operation."""
        self._sources.append(self._reached(inputs))
        self._nodes[key] = (len(self._operators),)
        self._operators.append(operator)
        self._numbers.append(numbers)

    def _reached(self, inputs):
        return tuple(dict.fromkeys(node for source in inputs for node in self._nodes[source]))

    def finish(self):
        """The graph of what the output depends on.

        Returns
        -------
        Architecture
        """
        kept = {node for node, operator in enumerate(self._operators) if operator == "output"}
        for node in reversed(range(len(self._operators))):
            if node in kept:
                kept.update(self._sources[node])
        order = sorted(kept)
        place = {node: i for i, node in enumerate(order)}
        edges = [(place[source], place[node]) for node in order for source in self._sources[node]]
        sources, targets = np.array(edges, dtype=np.int64).reshape(-1, 2).T
        operators = tuple(self._operators[node] for node in order)
        numbers = np.array([self._numbers[node] for node in order]).reshape(-1, 5)
        return Architecture(operators, numbers, sources, targets, self._method, self._reasons)


_CHANNELS = (
    "out_channels",
    "out_features",
    "num_features",
    "num_channels",
    "embed_dim",
    "embedding_dim",
    "hidden_size",
)


def module_numbers(module):
    """The operator of a module and its numbers.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    operator : str
    numbers : array of shape (5,)
    """
    name = operator_name(type(module).__name__)
    weight = getattr(module, "weight", None)
    if name == "conv" and getattr(weight, "ndim", 0) == 2:
        name = "linear"
    channels = next((getattr(module, key) for key in _CHANNELS if hasattr(module, key)), None)
    if channels is None:
        channels = getattr(module, "normalized_shape", 0)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    parts = (getattr(module, "kernel_size", 0), getattr(module, "stride", 0), channels, getattr(module, "groups", 0))
    return name, np.array([*map(_largest, parts), parameters], dtype=np.float64)


#: Where the arguments of functions stand: kernel size, stride and groups.
_PLACES = {
    "conv": (None, 3, 6),
    "conv_transpose": (None, 3, 6),
    "max_pool": (1, 2, None),
    "avg_pool": (1, 2, None),
}


def weight_numbers(name, weights, args, kwargs):
    """The numbers of an operation that is a function of weights.

    Parameters
    ----------
    name : str
    weights : list of tensors
    args : tuple
    kwargs : dict
        Of the call.

    Returns
    -------
    array of shape (5,)
    """
    shapes = [tuple(map(int, weight.shape)) for weight in weights]
    places = _PLACES.get(name, (None, None, None))
    kernel, stride, groups = (
        _largest(kwargs.get(key, args[place] if place is not None and place < len(args) else 0))
        for key, place in zip(("kernel_size", "stride", "groups"), places, strict=True)
    )
    widest = max(shapes, key=len, default=())
    flat = [shape[0] for shape in shapes if len(shape) == 1]
    if flat:
        channels = flat[0]
    else:
        channels = widest[0 if name == "linear" or name.startswith("conv") else -1] if widest else 0
    if name.startswith("conv") and len(widest) > 2:
        kernel, stride, groups = max(widest[2:]), stride or 1, groups or 1
    parameters = sum(int(np.prod(shape)) for shape in shapes)
    return np.array([kernel, stride, channels, groups, parameters], dtype=np.float64)


def _largest(value):
    """A size as one number; zero for what is no number, such as what is only known when the network runs."""
    if isinstance(value, tuple | list):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int | float) else 0
