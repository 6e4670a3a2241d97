"""Devices, seeds and the way from numpy to torch and back."""

__all__ = [
    "as_tensor",
    "dropout",
    "fair_share",
    "make_generator",
    "one_thread",
    "own_modes",
    "resolve_device",
    "settle_threads",
    "to_numpy",
]

import os
import threading
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from .unwinding import is_out_of_memory

_lock = threading.Lock()
_held = {"count": 0, "large": 0, "threads": 0}
_here = threading.local()


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
    if resolved.type != "cpu":
        _try(resolved, device)
    return resolved


def _try(resolved, device):
    """Refuse a device that torch knows by name but does not find here, or that has no random streams."""
    try:
        torch.empty(1, device=resolved)
        make_generator(0, resolved)
    except (RuntimeError, AssertionError, ImportError) as error:
        # It is there, and full: what training says then tells what takes less memory.
        if not is_out_of_memory(error):
            raise ValueError(
                f"Got device={device!r}, but torch finds no such device on this machine, or none to train on. Use "
                f'device="auto" or "cpu". ({str(error).partition(chr(10))[0]})'
            ) from error


def make_generator(seed, device):
    """A random stream of its own, so that torch's global one is neither read nor moved."""
    return torch.Generator(device=device).manual_seed(int(seed))


def as_tensor(array, device, dtype=torch.float32):
    """A numpy array as a tensor on the device; the array is copied, so read-only ones will do."""
    return torch.as_tensor(np.array(array), dtype=dtype, device=device)


def to_numpy(tensor):
    """A tensor as a numpy array that owns its memory, in the order of its axes."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def dropout(x, share, generator):
    """Dropout that draws from the given stream."""
    if not share or generator is None:
        return x
    drawn = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return x * drawn.ge_(share).div_(1.0 - share)


@contextmanager
def own_modes(device):
    """Train as ever, in whatever mode of torch the caller is, and leave that mode as it was.

    An interrupt may meet an inner change of the mode when it is about to be put back, and then only the outermost one
    does so: without this, fits after it would find no gradients.
    """
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        kind = torch.device(device).type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            modes.enter_context(torch.autocast(kind, enabled=False))
        # To name a default slows every operation down, so it is done only where the caller has.
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        yield


@contextmanager
def one_thread():
    """Keep torch on one thread: operations on small tensors only lose time in waking others up.

    The number of threads is a setting of the calling thread, but a thread that is new to torch takes over what was set
    last by any. It is put back when the block is left, also when fits run in several threads.
    """
    with _limited():
        torch.set_num_threads(1)
        yield


@contextmanager
def fair_share():
    """Share torch's threads evenly among the fits of large graphs that run in threads of this process.

    Each calling thread has workers of its own in torch, so that several such fits would together start more threads
    than there are cores. :func:`settle_threads` follows as fits come and go.
    """
    with _limited() as threads:
        with _lock:
            _held["large"] += 1
        _here.threads = threads
        settle_threads()
        try:
            yield
        finally:
            _here.threads = None
            with _lock:
                _held["large"] -= 1


def settle_threads():
    """Take the share of the threads that is due now, inside of :func:`fair_share`."""
    threads = getattr(_here, "threads", None)
    if threads is not None:
        share = max(1, threads // max(1, _held["large"]))
        if share != torch.get_num_threads():
            torch.set_num_threads(share)


@contextmanager
def _limited():
    """Note how many threads the calling thread may use, and put that back."""
    with _lock:
        threads = torch.get_num_threads()
        if _held["count"] and not getattr(_here, "inside", 0):
            # A thread that is new to torch has the limit of a fit that runs in another.
            threads = max(threads, _held["threads"])
        if not _held["count"]:
            _held["threads"] = threads
        _held["count"] += 1
        _here.inside = getattr(_here, "inside", 0) + 1
    try:
        yield threads
    finally:
        with _lock:
            _held["count"] -= 1
            _here.inside -= 1
            torch.set_num_threads(threads)


def _forget_other_threads():
    """In a forked child only the thread that forked goes on; a lock that another held would never be given back."""
    global _lock
    _lock = threading.Lock()
    inside, threads = getattr(_here, "inside", 0), _held["threads"]
    if _held["count"] and not inside:
        torch.set_num_threads(threads)
    _held.update(count=inside, large=int(getattr(_here, "threads", None) is not None))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
