"""Devices, seeds and the way from numpy to torch and back."""

__all__ = ["as_tensor", "dropout", "make_generator", "one_thread", "resolve_device", "to_numpy"]

import os
import threading
from contextlib import contextmanager

import numpy as np
import torch

_lock = threading.Lock()
#: Which threads are within a block of :func:`one_thread`, and how many threads torch had before.
_held = {"within": [], "threads": 0}


def resolve_device(device):
    """The torch device that a ``device`` argument means on this machine."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f'Got device={device!r}, but expected "auto", "cpu", "cuda" or another torch device.'
        ) from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f'Got device={device!r}, but torch finds no CUDA device on this machine. Use device="auto" or "cpu".'
        )
    return resolved


def make_generator(seed, device):
    """A random stream of its own, so that torch's global one is neither read nor moved."""
    return torch.Generator(device=device).manual_seed(int(seed))


def as_tensor(array, device, dtype=torch.float32):
    """A numpy array as a tensor on the device; the array is copied, so read-only ones will do."""
    return torch.as_tensor(np.array(array), dtype=dtype, device=device)


def to_numpy(tensor):
    """A tensor as a numpy array that owns its memory."""
    return np.array(tensor.detach().cpu().numpy())


def dropout(x, share, generator):
    """Dropout that draws from the given stream."""
    if not share or generator is None:
        return x
    kept = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device) >= share
    return x * kept / (1.0 - share)


@contextmanager
def one_thread():
    """Keep torch on one thread: operations on small tensors only lose time in waking others up.

    The number of threads is one of torch's global settings; it is put back when the last block is left, also when
    fits run in several threads.
    """
    me = threading.get_ident()
    with _lock:
        if not _held["within"]:
            _held["threads"] = torch.get_num_threads()
            torch.set_num_threads(1)
        _held["within"].append(me)
    try:
        yield
    finally:
        with _lock:
            _held["within"].remove(me)
            if not _held["within"]:
                torch.set_num_threads(_held["threads"])


def _forget_other_threads():
    """In a forked child only the thread that forked goes on; a lock that another held would never be given back."""
    global _lock
    _lock = threading.Lock()
    me = threading.get_ident()
    left = [thread for thread in _held["within"] if thread == me]
    if _held["within"] and not left:
        torch.set_num_threads(_held["threads"])
    _held["within"] = left


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
