"""Files that were made to harm: each is refused with one clear error, runs nothing and fills nothing."""

import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

import skgat
from skgat import TransferabilityGAT, _vetting, persistence
from skgat._packing import Packed, pack, unpack
from skgat.baselines import BiasRegressor
from skgat.exceptions import InconsistentSkgatVersionWarning, PersistenceError
from skgat.persistence import load, save

ROOT = Path(skgat.__file__).parent.parent
RECORDS = pd.DataFrame({"model": ["a", "b", "a"], "dataset": ["x", "x", "y"], "score": [0.1, 0.5, 0.4]})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The entries of a saved file, by name."""
    path = tmp_path_factory.mktemp("saved") / "it"
    save(BiasRegressor().fit(RECORDS), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def planted(tmp_path):
    """Write an archive; gives its path."""

    def plant(entries, infos=(), compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / "it", "w", compression) as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
            for info, content in infos:
                archive.writestr(info, content)
        return tmp_path / "it"

    return plant


def _array(entries):
    return next(name for name in entries if name.endswith(".npy"))


def _npy(shape, dtype="<f8", content=b""):
    """A header that promises any shape."""
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize(
    "array",
    [
        _npy((10**12,)),
        _npy((10**6, 10**6), content=bytes(64)),
        _npy((2**62,), "<f4"),
        _npy((1,), "|S2000000000", b"x"),
        _npy((10**15,), "|V0"),
        _npy((-1, -8), content=bytes(64)),
        _npy((10**12, 0, 10**12), content=bytes(64)),
        _npy((2,), "|O", bytes(16)),
        np.array([0.5, 0.7]).tobytes(),
        b"\x93NUMPY\x07\x00" + bytes(64),
        b"",
    ],
    ids=["huge", "square", "overflow", "text", "nothing", "negative", "empty", "objects", "raw", "version", "cut"],
)
def test_array_headers_that_lie(saved, planted, array):
    path = planted(saved | {_array(saved): array})
    with pytest.raises(PersistenceError, match=r"'.*it' is damaged or needs other versions of the libraries"):
        load(path)


@pytest.mark.parametrize(
    "name", ["../../up.npy", "/tmp/absolute.npy", "..\\up.npy", "C:\\up.npy", "a/b.npy", "code.py", "x.json.npy", "n\n"]
)
def test_names_that_lead_elsewhere(saved, planted, tmp_path, name):
    path = planted(saved | {name: b"content"})
    with pytest.raises(PersistenceError, match=r"it has an entry '.*', which no saved file has|is a link or a folder"):
        load(path)
    assert os.listdir(tmp_path) == ["it"]


@pytest.mark.parametrize(("mode", "name"), [(0o120777, "1.npy"), (0o040755, "1.npy"), (0o020666, "1.npy"), (0, "1/")])
def test_entries_that_are_no_files(saved, planted, mode, name):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with pytest.raises(PersistenceError, match=r"its entry '1(\.npy|/)' is a link or a folder"):
        load(planted(saved, [(info, b"/etc/passwd")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(saved, planted):
    with pytest.raises(PersistenceError, match="several entries of one name"):
        load(planted(saved, [(zipfile.ZipInfo("schema.json"), b"{}")]))


def test_more_entries_than_any_model_has(saved, planted, monkeypatch):
    monkeypatch.setattr(_vetting, "_MOST_ENTRIES", len(saved) - 1)
    with pytest.raises(PersistenceError, match=rf"more than {len(saved) - 1} entries"):
        load(planted(saved))


def test_more_text_than_any_model_has(saved, planted, monkeypatch):
    monkeypatch.setattr(_vetting, "_MOST_TEXT", 100)
    with pytest.raises(PersistenceError, match=r"its entry 'schema\.json' has more than 100 bytes"):
        load(planted(saved))


_BOMB = """
import resource, sys
from skgat import persistence
from skgat.baselines import BiasRegressor
from skgat.exceptions import PersistenceError
import skops.io, scipy.sparse
have = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (have + 2**28,) * 2)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for path in sys.argv[1:]:
    try:
        persistence.load(path)
    except PersistenceError as error:
        print(error)
"""


def _sparse(n):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("data.npy", _npy((n // 8,), content=bytes(n)))
    return buffer.getvalue()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_bombs_fill_neither_memory_nor_disk(saved, tmp_path):
    """In a process with 256 MB to spare and no disk: what unfolds, repeats or refers to itself without end."""
    schema = json.loads(saved["schema.json"])
    knot = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "__id__": 1, "content": []}
    for number in range(2, 60):
        again = {"__id__": knot["__id__"], "__class__": "list", "__module__": "builtins", "__loader__": "ListNode"}
        knot = again | {"__id__": number, "content": [knot, again | {"content": []}]}
    bombs = {
        "deflated": (saved | {"schema.json": b" " * 2**28}, zipfile.ZIP_DEFLATED),
        "bzip2": (saved | {"1.npy": bytes(2**28)}, zipfile.ZIP_BZIP2),
        "sparse": (saved | {"1.npz": _sparse(2**27)}, zipfile.ZIP_STORED),
        "array": (saved | {_array(saved): _npy((2**40,))}, zipfile.ZIP_STORED),
        "knot": (saved | {"schema.json": json.dumps(schema | {"content": knot})}, zipfile.ZIP_STORED),
        "deep": (saved | {"schema.json": '{"a":' * 10**5 + "1" + "}" * 10**5}, zipfile.ZIP_STORED),
        "number": (saved | {"schema.json": "1" * 10**7}, zipfile.ZIP_STORED),
    }
    for name, (entries, compression) in bombs.items():
        with zipfile.ZipFile(tmp_path / name, "w", compression) as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)
    command = [sys.executable, "-c", _BOMB, *bombs]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    told = result.stdout.splitlines()
    assert [line.partition("' ")[0] for line in told] == [f"'{name}" for name in bombs]
    reasons = {
        "deflated": "compressed or overlap",
        "sparse": "has an entry '1.npz', which no saved file has",
        "array": "not as large as it says",
        "knot": "two of its objects have the same number",
        "deep": "RecursionError",
    }
    assert all(reason in told[list(bombs).index(name)] for name, reason in reasons.items()), told
    assert sorted(os.listdir(tmp_path)) == sorted(bombs)


class Exploit:
    """A pickle that leaves a mark where it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("marked",)


def test_pickles_run_nothing(saved, planted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    payload = pickle.dumps(Exploit())
    (tmp_path / "pickle").write_bytes(payload)
    joblib.dump(Exploit(), tmp_path / "joblib")
    with pytest.raises(PersistenceError, match="is not a file that skgat saved"):
        load("pickle")
    with pytest.raises(PersistenceError, match="is not a file that skgat saved"):
        load("joblib")
    # Where an array is expected, and within an array of objects, numpy would call pickle if it were let.
    for content in (payload, _npy((1,), "|O", payload)):
        with pytest.raises(PersistenceError, match="is damaged"):
            load(planted(saved | {_array(saved): content}))
    assert sorted(os.listdir(tmp_path)) == ["it", "joblib", "pickle"]


def _changed(saved, change):
    schema = json.loads(saved["schema.json"])
    return saved | {"schema.json": json.dumps(change(schema))}


_RUNNERS = [
    ("os", "mkdir", "FunctionNode"),
    ("builtins", "eval", "FunctionNode"),
    ("builtins", "eval", "TypeNode"),
    ("subprocess", "Popen", "ObjectNode"),
    ("builtins", "exec", "ConstructorFromReduceNode"),
    ("sklearn.tree._tree", "Tree", "ConstructorFromReduceNode"),
    ("posix", "system", "LossNode"),
]


@pytest.mark.parametrize(("module", "name", "loader"), _RUNNERS)
def test_types_off_the_list_are_never_built(saved, planted, tmp_path, monkeypatch, module, name, loader):
    monkeypatch.chdir(tmp_path)
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": '"marked"'}
    arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [text]}
    node = {"__class__": name, "__module__": module, "__loader__": loader, "__reduce__": {"args": arguments}}
    path = planted(_changed(saved, lambda schema: schema | node | {"content": arguments}))
    with pytest.raises(PersistenceError, match=r"not on skgat's list of types to load|is damaged or needs other"):
        load(path)
    assert os.listdir(tmp_path) == ["it"]


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("__loader__", "CachedNode", "it refers to objects in place of describing them"),
        ("__loader__", "NoNode", "Can't find loader NoNode"),
        ("protocol", 99, "protocol"),
        ("content", [1, 2], "is damaged"),
    ],
)
def test_descriptions_that_are_none(saved, planted, part, value, message):
    with pytest.raises(PersistenceError, match=message):
        load(planted(_changed(saved, lambda schema: schema | {part: value})))


def test_an_array_in_the_place_of_another_kind(saved, planted):
    text = saved["schema.json"].decode()
    name = _array(saved)
    entries = saved | {"1.bin": saved[name], "schema.json": text.replace(name, "1.bin")}
    with pytest.raises(PersistenceError, match=r"it takes '1\.bin' for what it is not"):
        load(planted(entries))


def test_a_tree_that_reads_beyond_its_numbers(tmp_path, planted):
    tree = DecisionTreeRegressor(max_depth=1).fit([[0.0], [1.0]], [0.0, 1.0])
    save(tree, tmp_path / "good")
    with zipfile.ZipFile(tmp_path / "good") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(entries["schema.json"])
    arguments = schema["content"]["content"]["tree_"]["__reduce__"]["args"]["content"]
    assert arguments[2]["content"] == "1"
    arguments[2] = arguments[2] | {"content": str(10**9), "__id__": 1}
    with pytest.raises(PersistenceError, match="a decision tree does not have the outputs that it says"):
        load(planted(entries | {"schema.json": json.dumps(schema)}))


_ONE = np.array([1.0])
_LONG = Packed("range", [0, 10**12, 1, None])


@pytest.mark.parametrize(
    "packed",
    [
        Packed("series", [_LONG, None, [_ONE, None]]),
        Packed("series", [_LONG, None, [np.array(1.0), None]]),
        Packed("frame", [_LONG, Packed("range", [0, 1, 1, None]), [[_ONE, None]]]),
        Packed("series", [Packed("range", [0, 1, 1, None]), None, [np.array(["a"]), "S2000000000"]]),
        Packed("index", [None, [np.array(["a"]), "V2000000000"]]),
        Packed("objects", ["[1, 2]", [10**12]]),
        Packed("dict", [["a", "b"], [1]]),
        Packed("timedelta", [1, "Y"]),
        Packed("date", "yesterday"),
        Packed("datetime", "20200101T99"),
        Packed("nothing", []),
    ],
)
def test_packed_parts_that_are_larger_than_what_they_hold(tmp_path, packed):
    with pytest.raises((ValueError, KeyError)):
        unpack(packed)
    bias = BiasRegressor().fit(RECORDS)
    bias.table_ = packed
    (tmp_path / "it").write_bytes(persistence._with_header(skops.io.dumps(pack(bias))))
    with pytest.raises(PersistenceError, match="is damaged or needs other versions"):
        load(tmp_path / "it")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: Path(path).symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_has_no_end_is_not_read(tmp_path, make):
    make(tmp_path / "it")
    with pytest.raises(PersistenceError, match="is no regular file, but expected a file that skgat saved"):
        load(tmp_path / "it")


def test_nothing_is_saved_that_load_would_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr(_vetting, "_MOST_TEXT", 1000)
    with pytest.raises(PersistenceError, match="BiasRegressor cannot be saved: load would refuse the file, as its en"):
        save(BiasRegressor().fit(RECORDS), tmp_path / "it")
    assert os.listdir(tmp_path) == []


def test_sparse_parts_are_refused_on_both_sides(saved, planted, tmp_path):
    neighbours = KNeighborsRegressor(1, algorithm="brute").fit(csr_array(np.eye(5)), np.arange(5.0))
    with pytest.raises(
        PersistenceError, match=r"KNeighborsRegressor cannot be saved: it holds scipy\.sparse\S+, which"
    ):
        save(neighbours, tmp_path / "other")
    node = {"__class__": "spmatrix", "__module__": "scipy.sparse._matrix", "__loader__": "SparseMatrixNode"}
    forged = _changed(saved, lambda schema: schema | node | {"type": "scipy", "file": _array(saved)})
    with pytest.raises(PersistenceError, match="it holds a sparse matrix, which could unfold to any size"):
        load(planted(forged))


def test_an_object_that_occurs_twice_is_loaded(tmp_path):
    ridge = Ridge().fit(np.eye(3), np.arange(3.0))
    bias = BiasRegressor().fit(RECORDS)
    bias.first_, bias.second_ = [ridge, {"__id__": 1.0}], (ridge, [ridge])
    save(bias, tmp_path / "it")
    loaded = load(tmp_path / "it")
    assert loaded.first_[0] is loaded.second_[1][0]
    assert loaded.first_[1] == {"__id__": 1.0}


@pytest.mark.parametrize("how", ["pickle", "joblib"])
def test_pickles_of_another_version_warn(tmp_path, monkeypatch, how):
    bias = BiasRegressor().fit(RECORDS)
    dump, read = (joblib.dump, joblib.load) if how == "joblib" else (_dump, _read)
    dump(bias, tmp_path / "it")
    assert read(tmp_path / "it").get_params() == bias.get_params()
    written = re.escape(skgat.__version__)
    monkeypatch.setattr(skgat, "__version__", "7.0")
    message = rf"This BiasRegressor was pickled by skgat {written} and is read by skgat 7\.0, which may fail"
    with pytest.warns(InconsistentSkgatVersionWarning, match=message) as caught:
        loaded = read(tmp_path / "it")
    assert caught[0].message.original_skgat_version != caught[0].message.current_skgat_version == "7.0"
    assert "_skgat_version" not in vars(loaded)
    np.testing.assert_array_equal(loaded.predict(RECORDS), bias.predict(RECORDS))


def _dump(obj, path):
    path.write_bytes(pickle.dumps(obj))


def _read(path):
    return pickle.loads(path.read_bytes())


def test_saved_files_of_another_version_load_without_a_warning(tmp_path, monkeypatch):
    bias = BiasRegressor().fit(RECORDS)
    save(bias, tmp_path / "it")
    monkeypatch.setattr(skgat, "__version__", "7.0")
    loaded = load(tmp_path / "it")
    np.testing.assert_array_equal(loaded.predict(RECORDS), bias.predict(RECORDS))
    assert vars(loaded).keys() == vars(bias).keys()


def test_every_public_estimator_knows_its_version():
    names = [getattr(skgat, name) for name in ("baselines", "embedding")]
    classes = [getattr(module, name) for module in names for name in module.__all__]
    classes = [c for c in classes if isinstance(c, type) and issubclass(c, BaseEstimator)]
    classes += [skgat.MetadataEncoder, TransferabilityGAT]
    assert len(classes) >= 9
    for class_ in classes:
        assert class_().__getstate__()["_skgat_version"] == skgat.__version__, class_
