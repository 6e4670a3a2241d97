"""Do the tests notice when the code is wrong? Change one thing at a time, run the fast tests, count who is caught.

    python benchmarks/mutants/run.py [--sample N] [--seed N] [MODULE ...]

A mutant differs from a module in one comparison, operator, number, truth value, condition or return value; text is left
alone. It is killed when a test of its module fails, the first of which ends the run, or when they take more than a
minute of the processor. Every mutant lives in a process of its own, forked from one that has the libraries loaded; it
writes no file beside the code. Needs Linux or macOS.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import resource
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The tests that are fast and about the module.
TESTS = {
    "metrics": ["test_metrics.py", "test_ranking_scorers.py"],
    "graph": ["test_graph.py", "test_baselines.py"],
    "encoder": ["test_encoder.py"],
    "model_selection": ["test_model_selection.py"],
}
#: Of a mutant, in seconds of the processor: the tests of each module take less than 15 on a machine of today.
PATIENCE = 60
_COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_BINARY = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_SKIPPED = (ast.Raise, ast.arguments, ast.AnnAssign, ast.Import, ast.ImportFrom)


def mutants(tree):
    """The changed trees, each with the line and what was changed."""
    for path in _places(tree, ()):
        node = _at(tree, path)
        for change in _changes(node):
            other = copy.deepcopy(tree)
            parent, name = _at(other, path[:-1]), path[-1]
            fresh = ast.copy_location(change, node)
            if isinstance(name, tuple):
                getattr(parent, name[0])[name[1]] = fresh
            else:
                setattr(parent, name, fresh)
            yield (
                node.lineno,
                f"{ast.unparse(node)[:60]}  ->  {ast.unparse(change)[:60]}",
                ast.fix_missing_locations(other),
            )


def _places(node, path):
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, ast.AST) and not isinstance(item, _SKIPPED):
                    yield from _with_children(item, (*path, (name, number)))
        elif isinstance(value, ast.AST) and not isinstance(value, _SKIPPED) and name != "returns":
            yield from _with_children(value, (*path, name))


def _with_children(node, path):
    if hasattr(node, "lineno"):
        yield path
    yield from _places(node, path)


def _at(node, path):
    for name in path:
        node = getattr(node, name[0])[name[1]] if isinstance(name, tuple) else getattr(node, name)
    return node


def _changes(node):
    """What may stand in the place of a node."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
        yield ast.Compare(node.left, [_COMPARE[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        yield ast.BinOp(node.left, _BINARY[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.If | ast.IfExp):
        yield type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield ast.Return(ast.Constant(None))


class _Swap(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutant where the module is asked for."""

    def __init__(self, name, path, tree):
        self.name, self.path, self.code = name, path, compile(tree, str(path), "exec")

    def find_spec(self, fullname, path, target=None):
        """The mutant's spec, or None for all other modules."""
        return (
            importlib.util.spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None
        )

    def create_module(self, spec):
        """Leave it to Python."""

    def exec_module(self, module):
        """Run the mutant's code."""
        exec(self.code, module.__dict__)


def survives(module, tree):
    """Whether all tests of the module pass with the tree in its place."""
    child = os.fork()
    if not child:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
        import pytest

        sys.meta_path.insert(0, _Swap(f"skgat.{module}", ROOT / "skgat" / f"{module}.py", tree))
        tests = [str(ROOT / "tests" / name) for name in TESTS[module]]
        quick = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
        os._exit(pytest.main([*quick, *tests]) != 0)
    return os.waitpid(child, 0)[1] == 0


def _calm_hypothesis():
    """The same examples for every mutant, and no search for a smaller one."""
    from hypothesis import Phase, settings

    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate)
    )


def main():
    """Print the share of killed mutants and the survivors, module by module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "modules", nargs="*", default=[], metavar="MODULE", help=f"of {', '.join(TESTS)}; all by default"
    )
    parser.add_argument(
        "--sample", type=int, default=None, help="mutants of each module, drawn at random; all by default"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    _calm_hypothesis()
    # Once for all the forks.
    for name in ("pandas", "polars", "pyarrow", "scipy.stats", "sklearn.model_selection", "torch"):
        importlib.import_module(name)
    for module in args.modules or TESTS:
        path = ROOT / "skgat" / f"{module}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not survives(module, tree):
            sys.exit(f"The tests of {module} fail without any change.")
        found = list(mutants(tree))
        chosen = found if args.sample is None else random.Random(args.seed).sample(found, min(args.sample, len(found)))
        alive = []
        for line, change, mutant in chosen:
            if survives(module, mutant):
                alive.append((line, change))
                print(f"  survives: {module}.py:{line}: {change}", flush=True)
        killed = len(chosen) - len(alive)
        print(
            f"{module}: {killed} of {len(chosen)} killed ({killed / len(chosen):.0%}), of {len(found)} mutants",
            flush=True,
        )


if __name__ == "__main__":
    main()
