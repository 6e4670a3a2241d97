"""What goes wrong around a program: signals, memory, disks, workers, caches. It is told, and nothing stays behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.model_selection import GridSearchCV

import skgat
from skgat import TransferabilityGAT, cli, persistence
from skgat._files import claim_temporary, replace_file
from skgat.baselines import BiasRegressor
from skgat.datasets import _cache, load_vision_zoo
from skgat.exceptions import DownloadError
from skgat.transferability import score_zoo

ROOT = Path(skgat.__file__).parent.parent
#: How often writers are killed; SKGAT_KILLS=200 for a night.
KILLS = int(os.environ.get("SKGAT_KILLS", "20"))
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, limits and mounts")
pytestmark = POSIX


def run(code, *args, folder=ROOT, **environment):
    """A fresh process; gives its status and its output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def records():
    return load_vision_zoo().records


@pytest.fixture(scope="module")
def table(records, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "records.csv"
    records.to_csv(path, index=False)
    return path


def test_termination_while_saving(table, tmp_path):
    """The signal meets the command with a temporary file that is written but not yet renamed."""
    replace_file(tmp_path / "zoo.skgat", b"old")
    code = """
        import os, sys
        from skgat import _files, cli
        # The first file that is synchronised is the one that is being saved.
        _files.os.fsync = lambda descriptor: os.kill(os.getpid(), 15)
        small = [f"--set=gat.{s}" for s in ("max_iter=1", "n_estimators=1", "kernel_weight=0")]
        sys.exit(cli.main(["fit", sys.argv[1], "-o", "zoo.skgat", *small]))
    """
    result = run(code, table, folder=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (143, "", "skgat: terminated\n")
    assert os.listdir(tmp_path) == ["zoo.skgat"]
    assert (tmp_path / "zoo.skgat").read_bytes() == b"old"


def test_the_command_puts_the_handler_back(capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["recommend", "nothing", "--dataset", "x"]) == 2
    assert signal.getsignal(signal.SIGTERM) is before
    assert "No such file" in capsys.readouterr().err


_LIMITED = """
    import resource, sys
    import numpy as np, pandas as pd
    from skgat import TransferabilityGAT, cli
    from skgat.datasets import load_vision_zoo
    records = load_vision_zoo().records[["model", "dataset", "score"]]
    TransferabilityGAT(max_iter=1, n_estimators=1).fit(records)
    have = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (have + 2**27,) * 2)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_out_of_memory(table, tmp_path):
    code = (
        textwrap.dedent(_LIMITED)
        + """
gat = TransferabilityGAT(max_iter=1, n_estimators=4, hidden_dim=4096, random_state=0)
try:
    gat.fit(records)
except MemoryError as error:
    print(error)
assert not [name for name in vars(gat) if name.endswith("_")]
assert np.isfinite(gat.set_params(hidden_dim=8).fit(records).predict(records)).all()
sys.exit(cli.main(["fit", sys.argv[1], "-o", "zoo.skgat", "--set=gat.hidden_dim=4096"]))
"""
    )
    result = run(code, table, folder=tmp_path, OMP_NUM_THREADS="1")
    assert result.stdout.startswith("There is not enough memory to train the networks. Smaller hidden_dim, n_layers")
    assert result.stderr.startswith("skgat fit: error: out of memory: There is not enough memory to train"), result
    assert result.stderr.count("\n") == 1
    assert result.returncode == 2
    assert os.listdir(tmp_path) == []


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def _zoo(n_models=4):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    return {f"m{i}": np.eye(3)[y] + rng.normal(size=(60, 3)) for i in range(n_models)}, y


@pytest.fixture
def workers():
    """Loky's pool, thrown away afterwards."""
    with parallel_config(backend="loky"):
        yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.usefixtures("workers")
def test_a_worker_that_dies_costs_what_was_not_scored(tmp_path):
    zoo, y = _zoo()
    with pytest.raises(RuntimeError, match=r"A worker process died .* before \d of 5 models were scored, .*cache_dir="):
        score_zoo({**zoo, "deadly": _die}, y, n_jobs=2, cache_dir=tmp_path)
    assert not [name for name in os.listdir(tmp_path) if not name.endswith(".json")]
    again = score_zoo(zoo, y, n_jobs=2, cache_dir=tmp_path)
    pd.testing.assert_frame_equal(again, score_zoo(zoo, y))
    assert len(os.listdir(tmp_path)) == 4


class Mortal(BiasRegressor):
    """An estimator whose fit kills the worker that it runs in."""

    def fit(self, X, y=None):
        if self.shrinkage == 13.0:
            _die()
        return super().fit(X, y)


@pytest.mark.usefixtures("workers")
def test_a_worker_that_dies_in_a_grid_search(records):
    search = GridSearchCV(Mortal(), {"shrinkage": [1.0, 13.0]}, cv=2, n_jobs=2, scoring="r2")
    with pytest.raises(TerminatedWorkerError):
        search.fit(records, records["score"])
    search.set_params(param_grid={"shrinkage": [1.0, 2.0]}).fit(records, records["score"])
    assert search.best_params_["shrinkage"] in (1.0, 2.0)


def test_a_full_disk_leaves_the_old_file(records, tiny_disk):
    save = persistence.save
    small = BiasRegressor().fit(records[["model", "dataset", "score"]])
    save(small, tiny_disk / "it")
    before = (tiny_disk / "it").read_bytes()
    large = BiasRegressor().fit(pd.DataFrame({"model": range(20_000), "dataset": "d", "score": 1.0}))
    with pytest.raises(OSError, match=r"No space left on device \(what was there before.* unchanged\): '.*tiny/it'"):
        save(large, tiny_disk / "it")
    assert os.listdir(tiny_disk) == ["it"]
    assert (tiny_disk / "it").read_bytes() == before
    save(small, tiny_disk / "it")


def test_a_full_disk_costs_the_cache_of_scores_and_not_the_scores(tiny_disk):
    zoo, y = _zoo()
    expected = score_zoo(zoo, y)
    (tiny_disk / "filler").write_bytes(bytes(2**16 - 2**13))
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        scores = score_zoo(zoo, y, cache_dir=tiny_disk)
    pd.testing.assert_frame_equal(scores, expected, check_exact=True)
    assert all(list(told) == ["cache"] for told in scores.attrs["errors"].values())
    assert not [name for name in os.listdir(tiny_disk) if name.endswith((".tmp", ".part"))]
    (tiny_disk / "filler").unlink()
    again = score_zoo(zoo, y, cache_dir=tiny_disk)
    assert again.attrs["errors"] == {}


def test_a_read_only_home(table, read_only, monkeypatch):
    monkeypatch.delenv("SKGAT_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(read_only / "data"))
    with pytest.raises(DownloadError, match=r"cannot be made: .*Read-only.*Pass data_home= or set SKGAT_DATA"):
        _cache.cache_folder()
    with pytest.raises(DownloadError, match=r"'a' in the folder .*home/x: Read-only.* set SKGAT_DATA"):
        _cache.fetch_files("http://127.0.0.1:1", "x", {"a": "0"}, data_home=read_only)
    with pytest.raises(OSError, match=r"cache_dir='.*scores', but this folder cannot be made \(Read-only"):
        score_zoo(*_zoo(), cache_dir=read_only / "scores")
    with pytest.raises(OSError, match="Read-only file system"):
        persistence.save(BiasRegressor(), read_only / "it")


def test_everything_but_fetching_works_with_a_read_only_home(table, read_only, tmp_path, capsys):
    command = [sys.executable, "-m", "skgat", "fit", table, "-o", "zoo.skgat", "--set=gat.max_iter=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(read_only)}
    for name in ("SKGAT_DATA", "SCIKIT_LEARN_DATA", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        environment.pop(name, None)
    (tmp_path / "work").mkdir()
    result = subprocess.run(command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert cli.main(["fit", str(table), "-o", str(read_only / "it")]) == 2
    assert capsys.readouterr().err.endswith("cannot be written to.\n")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"[]", b"1", b'"text"', b'{"logme|{}": "no", "lda|{}": true}', b"[" * 100_000]
)
def test_a_corrupt_cache_of_scores_heals(tmp_path, content):
    zoo, y = _zoo(1)
    measures = ["logme", "lda"]
    expected = score_zoo(zoo, y, measures, cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    good = json.loads(file.read_bytes())
    file.write_bytes(content)
    pd.testing.assert_frame_equal(score_zoo(zoo, y, measures, cache_dir=tmp_path), expected)
    assert json.loads(file.read_bytes()) == good


def test_a_cache_of_scores_that_cannot_be_read_costs_no_scores(tmp_path):
    zoo, y = _zoo(1)
    expected = score_zoo(zoo, y, cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.warns(RuntimeWarning, match="Is a directory"):
        scores = score_zoo(zoo, y, cache_dir=tmp_path)
    assert scores["logme"].tolist() == expected["logme"].tolist()


_KILLED = """
    import os, random, signal, sys, time
    from pathlib import Path
    import pandas as pd
    from skgat._files import replace_file
    from skgat.baselines import BiasRegressor
    from skgat.persistence import load, save

    def fitted(score):
        frame = pd.DataFrame({"model": [f"m{i}" for i in range(2000)], "dataset": "d", "score": float(score)})
        return BiasRegressor(shrinkage=0.0).fit(frame)

    def told(path):
        return float(load(path).predict(pd.DataFrame({"model": ["m1"], "dataset": ["d"]}))[0])

    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    path, pair = folder / "it.skgat", [fitted(1), fitted(2)]
    save(pair[0], path)
    started = time.monotonic()
    save(pair[1], path)
    took, rng, left, seen = time.monotonic() - started, random.Random(0), 0, set()
    for _ in range(kills):
        child = os.fork()
        if not child:
            while True:
                for estimator in pair:
                    save(estimator, path)
        time.sleep(rng.uniform(0.0, 4.0) * took)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen.add(told(path))
        left += len(os.listdir(folder)) > 1
    assert seen <= {1.0, 2.0}, seen
    # A process that dies with the file open and half of it written.
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.fsync = lambda descriptor: (os.write(writer, b"x"), time.sleep(60))
        save(pair[0], path)
    os.read(reader, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(os.listdir(folder)) > 1
    assert told(path) in seen
    save(pair[0], path)
    assert told(path) == 1.0
    print(kills, left, sorted(seen), os.listdir(folder))
"""


def test_killed_writers_leave_the_old_file_or_the_new_one(tmp_path):
    result = run(_KILLED, tmp_path, KILLS)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{KILLS} ")
    assert result.stdout.endswith(" ['it.skgat']\n"), "what was left was not swept"


def test_a_writer_at_work_is_not_swept(tmp_path):
    with claim_temporary(tmp_path / "it") as mine:
        mine.write(b"mine")
        replace_file(tmp_path / "it", b"theirs")
        assert sorted(os.listdir(tmp_path)) == sorted([Path(mine.name).name, "it"])
        os.replace(mine.name, tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["it"]


def test_only_leftovers_of_the_same_file_are_swept(tmp_path):
    for name in (".it.1-aa.tmp", ".other.1-aa.tmp", "it.tmp", ".it.tmpx"):
        (tmp_path / name).touch()
    replace_file(tmp_path / "it", b"new")
    assert sorted(os.listdir(tmp_path)) == sorted([".other.1-aa.tmp", "it.tmp", ".it.tmpx", "it"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_regular_file_is_not_replaced(records, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"Expected the name of a regular file, but this is .* a pipe .*pipe'$"):
        persistence.save(BiasRegressor().fit(records), tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(os.name == "nt", reason="needs permission bits")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    before = os.umask(0o022)
    try:
        replace_file(tmp_path / "new", b"mine")
        for mode in (0o600, 0o664):
            (tmp_path / "it").touch()
            (tmp_path / "it").chmod(mode)
            replace_file(tmp_path / "it", b"mine")
            assert (tmp_path / "it").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o644


def test_interrupted_fit_in_a_library(records):
    """Ctrl-C in a fit is a KeyboardInterrupt, and the estimator can be used as before."""
    few = records[["model", "dataset", "score"]]
    gat = TransferabilityGAT(max_iter=3, n_estimators=1, random_state=0, device="cpu").fit(few)
    before = gat.predict(few)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            gat.set_params(max_iter=10**6).fit(few)
    finally:
        signal.signal(signal.SIGALRM, previous)
    np.testing.assert_array_equal(gat.predict(few), before)
