"""The plan of the house holds: who imports whom, and what a fresh process loads."""

import ast
import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from inspect import ismodule
from pathlib import Path

import pytest

import skgat

PACKAGE = Path(skgat.__file__).parent

#: A room imports only rooms on lower floors; rooms that share a line may not import each other unless noted below.
FLOORS = {
    "__init__": 6,
    "__main__": 6,
    "cli": 5,
    "_commands": 5,
    "embedding": 4,
    "baselines": 4,
    "presets": 4,
    "report": 4,
    "gat": 3,
    "encoder": 3,
    "recommend": 3,
    "_candidates": 3,
    "datasets": 3,
    "plotting": 3,
    "inspection": 3,
    "graph": 2,
    "records": 2,
    "metrics": 2,
    "model_selection": 2,
    "_columns": 2,
    "_entities": 2,
    "_fitted": 2,
    "_likeness": 2,
    "_output": 2,
    "_ranking": 2,
    "_ranking_html": 2,
    "_regressor": 2,
    "persistence": 1,
    "_packing": 1,
    "_factors": 1,
    "_trees": 1,
    "_versioned": 1,
    "_vetting": 1,
    "_frames": 1,
    "_ids": 1,
    "_compat": 1,
    "exceptions": 1,
    "_files": 0,
    "transferability": 0,
}

#: Arrows between rooms on one floor. They must not close a circle.
NEIGHBOURS = {
    ("__main__", "cli"),
    ("_columns", "records"),
    ("_candidates", "recommend"),
    ("_entities", "_fitted"),
    ("_entities", "records"),
    ("_fitted", "records"),
    ("_packing", "_frames"),
    ("_packing", "_versioned"),
    ("_regressor", "records"),
    ("_versioned", "exceptions"),
    ("cli", "_commands"),
    ("_likeness", "graph"),
    ("_likeness", "records"),
    ("graph", "records"),
    ("inspection", "gat"),
    ("inspection", "plotting"),
    ("metrics", "_ranking"),
    ("metrics", "model_selection"),
    ("metrics", "records"),
    ("model_selection", "records"),
    ("persistence", "_compat"),
    ("persistence", "_packing"),
    ("persistence", "_trees"),
    ("persistence", "_vetting"),
    ("persistence", "exceptions"),
    ("plotting", "_candidates"),
    ("plotting", "recommend"),
    ("recommend", "_candidates"),
    ("transferability", "_files"),
}

OTHER_FRAMES = {"narwhals", "polars", "pyarrow", "modin", "dask", "cudf", "duckdb", "pyspark", "ibis"}


def _module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def _imports(path):
    """Every import of a file: the absolute module, the imported name or None, and whether it is inside a function."""
    package = _module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found = []

    def visit(node, inside):
        if isinstance(node, ast.Import):
            found.extend((alias.name, None, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.extend((module, alias.name, inside) for alias in node.names)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def _targets(path):
    """The rooms that a file imports from."""
    rooms = set()
    for module, name, _ in _imports(path):
        parts = module.split(".")
        if parts[0] != "skgat":
            continue
        if len(parts) > 1:
            rooms.add(parts[1])
        elif name in FLOORS:
            rooms.add(name)
        elif name != "__version__":
            rooms.add("__init__")
    return rooms - {_room(path)}


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.fixture(params=FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def path(request):
    return request.param


def test_every_room_has_a_floor():
    assert {_room(path) for path in FILES} <= set(FLOORS)


def test_arrows_point_down(path):
    room = _room(path)
    wrong = [
        target
        for target in _targets(path)
        if FLOORS[target] >= FLOORS[room] and not (FLOORS[target] == FLOORS[room] and (room, target) in NEIGHBOURS)
    ]
    assert not wrong, f"{room} imports {wrong}"


def test_no_circles():
    graph = {}
    for path in FILES:
        graph.setdefault(_room(path), set()).update(_targets(path))
    while graph:
        leaves = {room for room, targets in graph.items() if not targets & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {room: targets for room, targets in graph.items() if room not in leaves}


def test_the_training_free_scores_stand_apart(path):
    if _room(path) == "transferability":
        assert _targets(path) <= {"_files", "_frames", "_compat", "exceptions"}
    assert "transferability" not in _targets(path) or _room(path) in ("__init__", "transferability")


def test_only_one_room_names_other_dataframe_libraries(path):
    named = {module.partition(".")[0] for module, _, _ in _imports(path)} & OTHER_FRAMES
    assert not named or _room(path) == "_frames", f"{path.name} imports {named}"


def test_only_one_room_names_what_is_private_to_scikit_learn(path):
    private = [
        (module, name)
        for module, name, _ in _imports(path)
        if module.partition(".")[0] == "sklearn"
        and any(part.startswith("_") and not part.startswith("__") for part in [*module.split("."), name or ""])
    ]
    assert not private or _room(path) == "_compat", f"{path.name} imports {private}"


def test_matplotlib_is_imported_where_it_is_used(path):
    early = [module for module, _, inside in _imports(path) if module.partition(".")[0] == "matplotlib" and not inside]
    assert not early


def test_torch_geometric_has_its_place(path):
    users = {module for module, _, _ in _imports(path) if module.partition(".")[0] == "torch_geometric"}
    assert not users or path.relative_to(PACKAGE).as_posix() == "gat/module.py"


def test_triton_has_its_place(path):
    users = {module for module, _, _ in _imports(path) if module.partition(".")[0] == "triton"}
    assert not users or path.relative_to(PACKAGE).as_posix() == "gat/fused.py"
    # It is not declared, because it comes with torch where there is one for GPUs: only a GPU may ask for it.
    early = [name for module, name, inside in _imports(path) if module == "skgat.gat.fused" and not inside]
    assert not early


@cache
def _distributions():
    """Which distributions bring the packages that are installed; all of them are looked through for it."""
    return packages_distributions()


def test_everything_imported_is_declared(path):
    distributions = _distributions()
    imported = {module.partition(".")[0] for module, _, _ in _imports(path)} - {"skgat", ""}
    third_party = {name for name in imported if name not in sys.stdlib_module_names} - {"triton"}
    declared = {"joblib", "narwhals", "numpy", "pandas", "scikit-learn", "scipy", "skops", "torch", "torch-geometric"}
    names = {distributions[name][0].lower().replace("_", "-") for name in third_party}
    assert names <= declared | {"matplotlib"}


def _fresh(code):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_importing_the_package_is_light():
    heavy = "{'torch', 'torch_geometric', 'matplotlib', 'pandas', 'sklearn'}"
    assert _fresh(f"import sys, skgat; print(*({heavy} & set(sys.modules)))") == []


def test_public_names_load_no_torch():
    code = (
        "import sys, skgat\n"
        "for name in skgat.__all__: getattr(skgat, name)\n"
        "for name in skgat.datasets.__all__: getattr(skgat.datasets, name)\n"
        "for name in skgat.embedding.__all__: getattr(skgat.embedding, name)\n"
        "skgat.embedding.Archi2Vec(); skgat.baselines.TransferSpaceRegressor()\n"
        "skgat.TransferabilityGAT(); skgat.presets.scg4trf()\n"
        "print(*({'torch', 'torch_geometric', 'matplotlib'} & set(sys.modules)))"
    )
    assert _fresh(code) == []


def test_a_fit_loads_no_compiler():
    code = (
        "import sys, skgat\n"
        "records = skgat.datasets.load_vision_zoo().records[['model', 'dataset', 'score']]\n"
        "skgat.TransferabilityGAT(max_iter=2).fit(records)\n"
        "print(*({'torch._dynamo', 'torch._inductor'} & set(sys.modules)), 'torch' in sys.modules)"
    )
    assert _fresh(code) == ["True"]


def test_names_of_the_package():
    assert len(set(skgat.__all__)) == len(skgat.__all__)
    assert set(skgat.__all__) <= set(dir(skgat))
    assert all(getattr(skgat, name) is not None for name in skgat.__all__)
    with pytest.raises(AttributeError, match="module 'skgat' has no attribute 'nothing'"):
        skgat.nothing  # noqa: B018


def test_what_the_package_names_can_be_imported():
    names = [name for name in skgat.__all__ if ismodule(getattr(skgat, name))]
    assert "presets" in names
    code = "; ".join(f"from skgat.{name} import *" for name in names)
    assert _fresh(f"{code}; import skgat; print(scg4trf is skgat.presets.scg4trf)") == ["True"]


@pytest.mark.parametrize(
    "code", ["import skgat.recommend", "from skgat.recommend import recommend", "import skgat._candidates"]
)
def test_recommend_is_the_function(code):
    assert _fresh(f"import skgat\n{code}\nprint(type(skgat.recommend).__name__)") == ["function"]


def test_every_module_lists_its_public_names(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lists = [
        node for node in tree.body if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    if path.name == "__main__.py":
        return
    assert len(lists) == 1, f"{path.name} has no __all__"
    module = import_module(_module_name(path))
    missing = [name for name in ast.literal_eval(lists[0].value) if not hasattr(module, name)]
    assert not missing


def test_files_and_functions_are_small(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 500
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = node.end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 60, f"{node.name} has {length} lines"
