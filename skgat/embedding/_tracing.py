"""From a network to the graph of its operations; nothing is computed but what tracing itself demands."""

__all__ = ["trace"]

import warnings
from contextlib import contextmanager

import numpy as np

from ._drawing import Drawing, module_numbers, weight_numbers
from ._operators import PLUMBING, SIZES, operator_name


def trace(network, example_input=None):
    """Draw the graph of a network's operations.

    Parameters
    ----------
    network : torch.nn.Module, torch.fx.GraphModule or torch.export.ExportedProgram
    example_input : tensor, tuple, dict or None
        What to hand to ``torch.export`` where symbolic tracing fails: a tensor, a shape, a tuple of tensors or a dict
        of arguments. By default the network's own ``dummy_inputs``, ``pretrained_cfg`` or
        ``example_input_array``, if it has such.

    Returns
    -------
    Architecture
    """
    import torch

    if isinstance(network, torch.export.ExportedProgram):
        return _from_export(network)
    if isinstance(network, torch.fx.GraphModule):
        return _from_fx(network.graph, network)
    if not isinstance(network, torch.nn.Module):
        raise TypeError(f"got {type(network).__name__}, but expected a torch.nn.Module or a traced graph")
    inputs = _inputs(network, example_input)
    with _at_rest(network):
        try:
            return _from_fx(torch.fx.Tracer().trace(network), network)
        except Exception as error:  # noqa: BLE001 - the network's own code is run, with placeholders it was not made for
            reasons = [f"torch.fx: {_first_line(error)}"]
        if inputs is not None:
            try:
                return _from_export(torch.export.export(network, *inputs, strict=False))
            except Exception as error:  # noqa: BLE001
                reasons.append(f"torch.export: {_first_line(error)}")
    return _from_modules(network, reasons)


def _first_line(error):
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


@contextmanager
def _at_rest(network):
    """Evaluation mode, no gradients, a fork of the random state, no warnings; all is put back afterwards."""
    import torch

    training = [module for module in network.modules() if module.training]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for module in training:
                module.training = False
            yield
    finally:
        for module in training:
            module.training = True


def _inputs(network, example):
    """Positional and keyword arguments of an example call; None where there is none."""
    import torch

    if example is None:
        example = _own_inputs(network)
    if example is None:
        return None
    if isinstance(example, dict):
        return (), dict(example)
    if isinstance(example, tuple | list) and example and all(isinstance(size, int) for size in example):
        return (torch.zeros(*example),), None
    return (tuple(example) if isinstance(example, tuple | list) else (example,)), None


def _own_inputs(network):
    """The example that a network brings along, as those of transformers, timm and Lightning do."""
    import torch

    config, main = getattr(network, "config", None), getattr(network, "main_input_name", None)
    example = getattr(network, "dummy_inputs", None)
    if main == "pixel_values" and config is not None:
        # What they bring along are words, for images too.
        size, channels = getattr(config, "image_size", 224), getattr(config, "num_channels", 3)
        size = (size, size) if isinstance(size, int) else tuple(size)
        return {main: torch.zeros(1, channels, *size)}
    told = getattr(network, "pretrained_cfg", None)
    if example is None and isinstance(told, dict) and told.get("input_size"):
        return torch.zeros(1, *told["input_size"])
    if isinstance(example, dict) and hasattr(config, "use_cache"):
        # A cache in the output is no tensor, and no part of the architecture.
        return example | {"use_cache": False}
    return getattr(network, "example_input_array", None) if example is None else example


def _from_fx(graph, root):
    """The drawing of a graph of torch.fx."""
    import torch

    drawing = Drawing("fx")
    modules = dict(root.named_modules())
    for node in graph.nodes:
        if node.op == "placeholder":
            drawing.add(node, "input", _zeros(), ())
        elif node.op == "get_attr":
            value = _attribute(root, node.target)
            drawing.hold(node, [value] if isinstance(value, torch.nn.Parameter) else [])
        elif node.op == "call_module":
            _add_modules(drawing, node, _leaves(modules[node.target]), node.all_input_nodes)
        elif node.op == "output":
            drawing.add(node, "output", _zeros(), node.all_input_nodes)
        else:
            name = node.target if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
            _add_function(drawing, node, name)
    return drawing.finish()


def _from_export(program):
    """The drawing of a program of torch.export."""
    drawing = Drawing("export")
    signature = program.graph_signature
    parameters = {**signature.inputs_to_parameters}
    inputs = set(signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            drawing.add(node, "input", _zeros(), ())
        elif node.op in ("placeholder", "get_attr"):
            drawing.hold(node, [node.meta["val"]] if node.name in parameters else [])
        elif node.op == "output":
            drawing.add(node, "output", _zeros(), node.all_input_nodes)
        else:
            packet = getattr(node.target, "overloadpacket", node.target)
            _add_function(drawing, node, getattr(packet, "__name__", str(packet)))
    return drawing.finish()


def _from_modules(network, reasons):
    """The modules without children in a row, in the order in which they were made."""
    leaves = _leaves(network)
    if leaves == [network] and not type(network).__module__.startswith("torch.nn"):
        raise ValueError(f"cannot be traced, and has no submodules ({'; '.join(reasons)})")
    drawing = Drawing("modules", tuple(reasons))
    drawing.add("input", "input", _zeros(), ())
    _add_modules(drawing, "body", leaves, ["input"])
    drawing.add("output", "output", _zeros(), ["body"])
    return drawing.finish()


def _zeros():
    return np.zeros(5)


def _attribute(root, target):
    for part in target.split("."):
        root = getattr(root, part)
    return root


def _leaves(module):
    """The modules without children inside a module; attention is one thing with all its parts."""
    children = list(module.children())
    if not children or operator_name(type(module).__name__) == "attention":
        return [module]
    return [leaf for child in children for leaf in _leaves(child)]


def _add_modules(drawing, node, leaves, inputs):
    """One operation a module, one after the other; the last goes by the name of the node."""
    known = [leaf for leaf in leaves if operator_name(type(leaf).__name__) not in PLUMBING]
    for i, leaf in enumerate(known):
        key = node if i == len(known) - 1 else (node, i)
        drawing.add(key, *module_numbers(leaf), inputs)
        inputs = [key]
    if not known:
        drawing.join(node, inputs)


def _add_function(drawing, node, raw):
    name, inputs = operator_name(raw), node.all_input_nodes
    about = node.args[1] if name == "getattr" else name
    if about in SIZES or (inputs and not any(map(drawing.matters, inputs))):
        drawing.hold(node, [])
    elif name in PLUMBING:
        drawing.join(node, inputs)
    else:
        weights = [weight for source in inputs for weight in drawing.held(source)]
        # What follows the input of these are the axes or the size that come out, no kernel.
        whole = raw == "mean" or "adaptive" in raw
        args, kwargs = ((), {}) if whole else (node.args, node.kwargs)
        drawing.add(node, name, weight_numbers(name, weights, args, kwargs), inputs)
