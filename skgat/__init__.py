"""Which pre-trained models to fine-tune on your dataset, learned from the history of which did well where."""

from importlib import import_module

# Bound at once: the submodule of the same name would take its place if it were imported later.
from .recommend import recommend

__version__ = "0.1.0"

#: Where each public name lives; nothing is imported before it is asked for.
_HOMES = {
    "BiasRegressor": "baselines",
    "MetadataEncoder": "encoder",
    "TransferabilityGAT": "gat",
    "make_records": "records",
}

_SUBMODULES = (
    "baselines",
    "datasets",
    "embedding",
    "exceptions",
    "inspection",
    "metrics",
    "model_selection",
    "persistence",
    "plotting",
    "presets",
    "report",
    "transferability",
)

__all__ = [
    "BiasRegressor",
    "MetadataEncoder",
    "TransferabilityGAT",
    "__version__",
    "baselines",
    "datasets",
    "embedding",
    "exceptions",
    "inspection",
    "make_records",
    "metrics",
    "model_selection",
    "persistence",
    "plotting",
    "presets",
    "recommend",
    "report",
    "transferability",
]


def __getattr__(name):
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    elif name in _SUBMODULES:
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
