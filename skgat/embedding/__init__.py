"""Vectors of models and datasets, learned or measured, for any regressor to read."""

from importlib import import_module

#: Where each public name lives; nothing is imported before it is asked for.
_HOMES = {
    "Archi2Vec": "architectures",
    "GraphEmbedder": "graph_embedder",
    "ProbeEncoder": "probes",
    "domain_similarity": "similarity",
    "label_similarity": "similarity",
}

__all__ = ["Archi2Vec", "GraphEmbedder", "ProbeEncoder", "domain_similarity", "label_similarity"]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
