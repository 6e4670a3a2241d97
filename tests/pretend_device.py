"""A second device on a machine without one: its tensors lie beside the others and refuse to meet them.

What runs on it computes what the CPU computes, raises where a GPU would (two tensors of different devices in one
operation), and counts the bytes that its tensors hold. The device is called ``meta``, the one name that torch lets
stand for a device without asking hardware.
"""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

AWAY = "meta"
#: Operations that carry values from one device to the other.
_CARRIERS = {"_to_copy", "copy_"}


class _Away(torch.Tensor):
    """A tensor on the pretended device, which is a tensor of the host inside."""

    #: Tensors are told from other arrays by where their class is from.
    __module__ = "torch"

    @staticmethod
    def __new__(cls, inner, memory):
        shape = {}
        if inner.layout is torch.strided:
            shape = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=AWAY, **shape)

    def __init__(self, inner, memory):
        self.inner, self.memory = inner, memory
        if inner.layout is torch.strided:
            memory.hold(self, inner.untyped_storage())

    @property
    def data(self):
        return torch.Tensor.data.__get__(self)

    @data.setter
    def data(self, value):
        torch.Tensor.data.__set__(self, value)
        self.inner = value.inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        away = next(value for value in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(value, cls))
        return _run(function, args, kwargs or {}, away.memory)


class _Memory:
    """The bytes of all storages that tensors of the device hold, and the most that they ever were.

    Also how many numbers the largest tensor had that was brought to the host.
    """

    def __init__(self):
        self.holders, self.now, self.peak, self.largest_brought_home = {}, 0, 0, 0

    def hold(self, tensor, storage):
        place, size = storage._cdata, storage.nbytes()
        if not self.holders.get(place):
            self.now += size
            self.peak = max(self.peak, self.now)
        self.holders[place] = self.holders.get(place, 0) + 1
        weakref.finalize(tensor, self.release, place, size)

    def release(self, place, size):
        self.holders[place] -= 1
        self.now -= size * (not self.holders[place])


class PretendDevice(TorchDispatchMode):
    """Within the block there is a device ``AWAY``; ``memory`` counts what lies there."""

    def __init__(self):
        super().__init__()
        self.memory = _Memory()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {}, self.memory)


def _run(function, args, kwargs, memory):
    name = function.name().partition("::")[2].partition(".")[0]
    wrapped, at_home = {}, []

    def unwrap(value):
        if isinstance(value, _Away):
            wrapped[id(value.inner)] = value
            return value.inner
        # A single number of the host may go along.
        if isinstance(value, torch.Tensor) and value.ndim:
            at_home.append(tuple(value.shape))
        return value

    args, kwargs = tree_map(unwrap, args), tree_map(unwrap, kwargs)
    if wrapped and at_home and name not in _CARRIERS:
        raise RuntimeError(f"{function} was given tensors of both devices, those of the host of shapes {at_home}")
    away = bool(wrapped)
    if kwargs.get("device") is not None:
        away = torch.device(kwargs["device"]).type == AWAY
        kwargs["device"] = "cpu"
    if wrapped and not away:
        brought = max(value.numel() for value in wrapped.values())
        memory.largest_brought_home = max(memory.largest_brought_home, brought)

    def wrap(value):
        if not away or not isinstance(value, torch.Tensor):
            return value
        # What is changed in place is still the same tensor.
        return wrapped[id(value)] if id(value) in wrapped else _Away(value, memory)

    return tree_map(wrap, function(*args, **kwargs))
