"""Broken files: no crash, no hang, and no code run, whatever their bytes.

``HYPOTHESIS_PROFILE=nightly`` tries 100,000 files: saved recommenders, tables for the command, and tables of scores.
"""

import contextlib
import io
import json
import signal
import sys
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
from fuzzing import NIGHTLY, answer
from sklearn.pipeline import make_pipeline

from skgat import MetadataEncoder, make_records
from skgat.baselines import BiasRegressor, NearestDatasets
from skgat.cli import main
from skgat.datasets import make_transfer_records
from skgat.exceptions import PersistenceError
from skgat.persistence import load, save

N_RECOMMENDERS, N_TABLES, N_SCORES = (75_000, 5_000, 20_000) if NIGHTLY else (400, 60, 150)
#: What a file may take at most, in seconds of the processor: a machine that sleeps is no hanging reader.
PATIENCE = 30
#: Nothing of this may happen while a file is read.
FORBIDDEN = {
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen",
    "socket.connect", "pickle.find_class", "ctypes.dlopen", "os.remove", "os.rename", "shutil.rmtree",
}  # fmt: skip
_watch = {"on": False, "seen": []}


def _audit(event, _):
    if _watch["on"] and event in FORBIDDEN:
        _watch["seen"].append(event)


sys.addaudithook(_audit)


@contextlib.contextmanager
def watched():
    """Nothing forbidden happens inside, and it ends in time."""

    def too_long(*_):
        # Not an Exception, which the reader would take for a sign of damage.
        raise KeyboardInterrupt(f"Reading the file takes more than {PATIENCE} s of the processor.")

    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    _watch.update(on=True, seen=[])
    try:
        yield
    finally:
        _watch["on"] = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    assert not _watch["seen"]


def mutate(data, rng, tokens):
    """The bytes with a few of them flipped, cut out, doubled, or replaced by something that means something."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(data) + 1))
        size = int(rng.integers(1, 20))
        kind = rng.integers(0, 6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at : at + size] = rng.bytes(size)
        elif kind == 4:
            token = tokens[rng.integers(0, len(tokens))]
            data[at : at + int(rng.integers(0, 2)) * len(token)] = token
        elif rng.integers(0, 10) == 0:
            del data[at:]
    return bytes(data)


ZIP_TOKENS = [
    b"numpy", b"ndarray", b"os", b"system", b"builtins", b"eval", b"function", b"__class__", b"__module__",
    b"MethodNode", b"TypeNode", b"ObjectNode", b"ReduceNode", b"JsonNode", b"-1", b"null", b"[]", b"1e999", b"{}", b'"',
    b"../../x", b"/etc", b"\x00", b"\xff\xff\xff\xff", b"PK\x03\x04", b"subprocess", b"Popen", b"float64", b"object",
    b"<U9999999",
]  # fmt: skip
CSV_TOKENS = [
    b",", b"\n", b'"', b"\r", b"\x00", b"\xff", b"nan", b"inf", b"-1e999", b"1e400", b"score", b"model", b"dataset",
    b"0x1", b"\xef\xbb\xbf", b";", b"9" * 40, b"True", b"1970-01-01", b"\t", b",,,,", b"=cmd()", b"\xc3\xa9",
]  # fmt: skip


@pytest.fixture(scope="module")
def records():
    return make_transfer_records(5, 4, fill=0.9, n_model_features=2, n_dataset_features=2, random_state=0).records


@pytest.fixture(scope="module")
def saved(records, tmp_path_factory):
    """Two files: a small one that a mutation often hits where it hurts, and one of more parts."""
    folder = tmp_path_factory.mktemp("saved")
    save(BiasRegressor().fit(records), folder / "bias.skgat")
    save(make_pipeline(MetadataEncoder(), NearestDatasets()).fit(records), folder / "pipeline.skgat")
    return [(folder / name).read_bytes() for name in ("bias.skgat", "pipeline.skgat")]


def mutate_inside(data, rng):
    """An archive with sound checksums, in which one of the entries is broken."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    # The schema says what is built from the rest.
    names = [*entries, *["schema.json"] * len(entries)]
    name = names[rng.integers(0, len(names))]
    entries[name] = mutate(entries[name], rng, ZIP_TOKENS)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_broken_recommenders(saved, records, tmp_path):
    """They are refused by name, or what is broken in them is no matter of building."""
    rng = np.random.default_rng(0)
    path = tmp_path / "broken.skgat"
    refused = 0
    for number in range(N_RECOMMENDERS):
        data = saved[number % 8 == 0]
        path.write_bytes(mutate(data, rng, ZIP_TOKENS) if number % 4 == 0 else mutate_inside(data, rng))
        with watched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                load(path)
            except PersistenceError as error:
                refused += str(path) in str(error)
    assert 0.2 * N_RECOMMENDERS < refused < N_RECOMMENDERS


def test_an_archive_that_is_taken_apart_and_put_together_loads(saved, records, tmp_path):
    """What was refused above was not refused for the way in which it was put together."""
    still = np.random.default_rng(0)
    still_mutate = zipfile.ZipFile(io.BytesIO(saved[0]))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in still.permutation(still_mutate.namelist()).tolist():
            archive.writestr(name, still_mutate.read(name))
    (tmp_path / "whole.skgat").write_bytes(buffer.getvalue())
    assert np.isfinite(load(tmp_path / "whole.skgat").predict(records)).all()


def test_code_in_a_file_is_seen_by_the_watch(tmp_path):
    import pickle

    with pytest.raises(AssertionError), watched():
        pickle.loads(pickle.dumps(len))


def test_broken_tables(saved, records, tmp_path):
    """The command answers with a ranking or with one line and status 2."""
    rng = np.random.default_rng(1)
    recommender, table = tmp_path / "it.skgat", tmp_path / "new.csv"
    recommender.write_bytes(saved[1])
    columns = ["dataset", *(column for column in records if column.startswith("dataset__"))]
    data = records[columns].drop_duplicates().to_csv(index=False).encode()
    statuses = {0: 0, 2: 0}
    for _ in range(N_TABLES):
        table.write_bytes(mutate(data, rng, CSV_TOKENS))
        out, err = io.StringIO(), io.StringIO()
        with watched(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("always")
            status = main(["recommend", str(recommender), "--dataset", str(table), "-k", "2"])
        statuses[status] += 1
        lines = [line for line in err.getvalue().splitlines() if not line.startswith("skgat: warning")]
        assert "Traceback" not in err.getvalue()
        assert (len(lines) == 1 and not out.getvalue()) if status == 2 else "rank" in out.getvalue()
    assert min(statuses.values()) > 0.05 * N_TABLES


def test_broken_scores(records):
    """Where pandas can read them, records or a refusal come of them."""
    rng = np.random.default_rng(2)
    data = records[["model", "dataset", "score", "pair__measure_0"]].to_csv(index=False).encode()
    made = 0
    for _ in range(N_SCORES):
        broken = mutate(data, rng, CSV_TOKENS)
        with watched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                frame = pd.read_csv(io.BytesIO(broken))
            except (ValueError, pd.errors.ParserError):
                continue
        tidy = answer(make_records, frame)
        if tidy is not None:
            made += 1
            assert np.isfinite(tidy["score"]).all()
            assert not tidy.duplicated(["model", "dataset"]).any()
    assert made > 0.1 * N_SCORES


def test_a_header_of_any_json(saved, tmp_path):
    path = tmp_path / "it.skgat"
    for header in (None, [], 3, "x", {}, {"format": []}, {"format": 1, "skgat": {}}, {"format": 1, "skgat": None}):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("skgat.json", json.dumps(header))
        with pytest.raises(PersistenceError):
            load(path)
