"""How much memory a call takes at its peak, on Linux."""

__all__ = ["growth_during"]

import ctypes
import gc
from pathlib import Path


def _told(name):
    """A line of what the system knows of this process, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def growth_during(function):
    """MiB that the process held at most during a call, less what it held before."""
    gc.collect()
    # What was freed before and not given back would otherwise be used again unseen.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _told("VmRSS")
    function()
    return _told("VmHWM") - before
