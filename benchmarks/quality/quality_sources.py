"""The code behind a contestant, as a digest: when it changes, results are stale."""

__all__ = ["ROOT", "code_of", "digest_of"]

import ast
import hashlib
import importlib
from functools import cache
from inspect import ismodule
from pathlib import Path

import skgat

ROOT = Path(skgat.__file__).resolve().parent.parent
_HERE = Path(__file__).resolve().parent
#: Says who takes part with which arguments; these are looked at by themselves.
_LISTS = ("quality_contestants",)


def digest_of(estimator):
    """A digest of all modules of this repository that an estimator and its parts import, directly or not.

    Comments and docstrings do not count.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    str
    """
    parts = [estimator, *_flat(estimator.get_params(deep=True).values())]
    modules = {getattr(part if callable(part) else type(part), "__module__", None) for part in parts}
    return _digest(frozenset(name for name in modules if name and _path(name)))


def _flat(values):
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


@cache
def _digest(modules):
    found, new = set(), set(modules)
    while new:
        found |= new
        new = {name for module in new for name in _imports(module)} - found
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(code_of(_path(name).read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def _path(module):
    """The file of a module of the package or of this folder; None for all others."""
    if module in _LISTS or module == "skgat":
        return None
    base = (ROOT if module.startswith("skgat.") else _HERE).joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _imports(module):
    """The modules of this repository that a module imports, inside of functions too."""
    path = _path(module)
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            found |= {_home(base, alias.name) for alias in node.names}
    return frozenset(name for name in found if _path(name))


def _home(base, name):
    """The module that a name comes from: itself, or where a package that only collects names has it from."""
    if _path(f"{base}.{name}"):
        return f"{base}.{name}"
    path = _path(base)
    if base == "skgat" or (path and path.name == "__init__.py"):
        value = getattr(importlib.import_module(base), name)
        return value.__name__ if ismodule(value) else getattr(value, "__module__", base)
    return base


def code_of(text):
    """What is left of a module without its comments and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = body[1:]
    return ast.dump(tree)
