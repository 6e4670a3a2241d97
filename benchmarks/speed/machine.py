"""One line on the machine and the versions, which every script here prints first."""

__all__ = ["describe"]

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("numpy", "pandas", "scikit-learn", "joblib", "torch", "dask", "skops")


def describe():
    """What a figure depends on."""
    told = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            told.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    variables = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    return f"{', '.join(told)}; {_processor()}, {os.cpu_count()} cores{f', {variables}' if variables else ''}"


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
