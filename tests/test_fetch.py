"""Downloads against a real HTTP server on loopback, and the cache on top of them."""

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import get_data_home

from skgat.datasets import _download
from skgat.datasets._cache import cache_folder, fetch_files
from skgat.datasets._download import download
from skgat.exceptions import DownloadError

CONTENT = np.random.RandomState(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Keep stderr for what is tested."""

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        plan = self.server.plan
        step = plan.pop(0) if len(plan) > 1 else plan[0]
        self.close_connection = True
        step(self, self.server.files[self.path.lstrip("/")], asked)


def _send(handler, content, start=None, *, claim=None, cut=None, pause=0.0, length=True):
    """Send what follows ``start``, saying that it starts at ``claim``; break off after ``cut`` bytes."""
    body = content[start or 0 :]
    handler.send_response(200 if start is None else 206)
    if length:
        handler.send_header("Content-Length", str(len(body)))
    if start is not None:
        claim = start if claim is None else claim
        handler.send_header("Content-Range", f"bytes {claim}-{len(content) - 1}/{len(content)}")
    handler.end_headers()
    body = body if cut is None else body[:cut]
    for i in range(0, len(body), 20_000):
        handler.wfile.write(body[i : i + 20_000])
        time.sleep(pause)


def whole(cut=None, pause=0.0, length=True):
    """A server that does not know Range."""
    return lambda handler, content, asked: _send(handler, content, cut=cut, pause=pause, length=length)


def ranged(cut=None, shift=0):
    def step(handler, content, asked):
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else None
        if start is not None and start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        _send(handler, content, start, claim=None if start is None else start + shift, cut=cut)

    return step


def status(code):
    def step(handler, content, asked):
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return step


def silent(handler, content, asked):
    handler.server.released.wait(10)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that goes away is part of the tests."""

    def start(self, *plan, **files):
        """Forget what was asked, and answer the next requests by plan (the last step again and again)."""
        self.plan, self.requests = list(plan), []
        self.files = {name.replace("__", "."): content for name, content in files.items()} or {"data.bin": CONTENT}

    @property
    def ranges(self):
        return [asked for _, asked in self.requests]

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def url(self):
        return f"{self.base_url}/data.bin"


@pytest.fixture(scope="module")
def running():
    server = _Server(("127.0.0.1", 0), _Handler)
    server.released = threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(running, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    running.start(ranged())
    return running


def fetch(server, folder, **options):
    return download(server.url, folder / "data.bin", **{"sha256": SHA256, "delay": 0.0, "timeout": 10.0, **options})


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("step", [ranged(), whole(), whole(length=False)], ids=["range", "no-range", "no-length"])
def test_plain_download(server, tmp_path, step):
    server.start(step)
    folder = tmp_path / "new" / "folder"
    path = fetch(server, folder)
    assert path == folder / "data.bin"
    assert path.read_bytes() == CONTENT
    assert names(folder) == ["data.bin"]
    assert server.ranges == [None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_retries": -1}, "Got n_retries=-1, but expected an integer of at least 0"),
        ({"n_retries": 1.5}, "Got n_retries=1.5, but expected an integer of at least 0"),
        ({"delay": -0.1}, "Got delay=-0.1, but expected a number of seconds of at least 0"),
        ({"timeout": 0}, "Got timeout=0, but expected a number of seconds of more than 0"),
        ({"timeout": float("nan")}, "Got timeout=nan, but expected a number of seconds"),
        ({"timeout": None}, "Got timeout=None, but expected a number of seconds"),
    ],
)
def test_arguments_that_no_download_can_have_are_refused(server, tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        fetch(server, tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_cut_connection_goes_on_where_it_stopped(server, tmp_path):
    server.start(ranged(cut=100_000), ranged(cut=50_000), ranged())
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert names(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("second", [whole(), ranged(shift=-7)], ids=["no-range", "other-range"])
def test_cut_connection_starts_again_when_the_server_cannot_go_on(server, tmp_path, second):
    server.start(whole(cut=100_000), second, whole())
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges[:2] == [None, "bytes=100000-"]
    assert names(tmp_path) == ["data.bin"]


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.tuples(st.booleans(), st.integers(0, 40_000)), max_size=4),
    last=st.sampled_from([whole(), ranged()]),
)
def test_whatever_is_cut_the_file_comes_out_whole(running, tmp_path_factory, cuts, last):
    content = CONTENT[:40_000]
    running.start(*[(ranged if can else whole)(cut=at) for can, at in cuts], last, data__bin=content)
    path = tmp_path_factory.mktemp("cuts") / "data.bin"
    sha256 = hashlib.sha256(content).hexdigest()
    download(running.url, path, sha256=sha256, n_retries=len(cuts), delay=0.0, timeout=10.0)
    assert path.read_bytes() == content
    assert names(path.parent) == ["data.bin"]


def test_what_came_is_kept_for_the_next_call(server, tmp_path):
    server.start(ranged(cut=100_000))
    with pytest.raises(DownloadError, match=r"IncompleteRead.*Check the network"):
        fetch(server, tmp_path, n_retries=0)
    assert names(tmp_path) == ["data.bin.part"]
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:100_000]
    server.start(ranged())
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-"]
    assert names(tmp_path) == ["data.bin"]


@pytest.mark.parametrize(
    ("part", "ranges"),
    [
        (b"x" * 1000, ["bytes=1000-", None]),
        (CONTENT + b"more", [f"bytes={len(CONTENT) + 4}-", None]),
        (CONTENT, [f"bytes={len(CONTENT)}-", None]),
        (b"", [None]),
    ],
    ids=["damaged", "too-long", "complete", "empty"],
)
def test_any_leftover_is_harmless(server, tmp_path, part, ranges):
    (tmp_path / "data.bin.part").write_bytes(part)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ranges
    assert names(tmp_path) == ["data.bin"]


def test_wrong_checksum_stores_nothing(server, tmp_path):
    expected = "0" * 64
    with pytest.raises(DownloadError, match=rf"'data.bin' from .*: its sha256 is {SHA256}, but expected {expected}"):
        fetch(server, tmp_path, sha256=expected)
    assert names(tmp_path) == []
    assert server.ranges == [None]


def test_wrong_checksum_leaves_the_old_file(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"old")
    with pytest.raises(DownloadError, match="is not the file that was expected"):
        fetch(server, tmp_path, sha256="0" * 64)
    assert (tmp_path / "data.bin").read_bytes() == b"old"


@pytest.mark.parametrize("code", [500, 502, 503, 429, 408])
def test_passing_failures_are_tried_again_with_growing_pauses(server, tmp_path, monkeypatch, code):
    pauses = []
    monkeypatch.setattr(_download.time, "sleep", pauses.append)
    server.start(status(code), status(code), status(code), ranged())
    assert fetch(server, tmp_path, delay=0.5).read_bytes() == CONTENT
    assert [pause for pause in pauses if pause] == [0.5, 1.0, 2.0]


def test_lasting_failure_gives_up(server, tmp_path):
    server.start(status(503))
    with pytest.raises(DownloadError, match=r"'data.bin' from http.* \(tried 3 times\): the server said 503 Service"):
        fetch(server, tmp_path, n_retries=2)
    assert len(server.requests) == 3
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [403, 404, 410])
def test_final_replies_are_not_tried_again(server, tmp_path, code):
    server.start(status(code), ranged())
    with pytest.raises(DownloadError, match=rf"Could not download 'data.bin' from http[^ ]*: the server said {code} "):
        fetch(server, tmp_path)
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_silent_server_times_out(server, tmp_path):
    server.start(silent)
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"tried 2 times\): .*timed out"):
        fetch(server, tmp_path, n_retries=1, timeout=0.2)
    assert time.monotonic() - start < 5
    assert names(tmp_path) == []


def stalling(handler, content, asked):
    """Send a third of the file and then nothing more."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[:100_000])
    handler.wfile.flush()
    handler.server.released.wait(10)


def test_server_that_stalls_half_way(server, tmp_path):
    server.start(stalling)
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"Could not download 'data.bin' .*timed out\. Check the network, or fetch"):
        fetch(server, tmp_path, n_retries=0, timeout=0.3)
    assert time.monotonic() - start < 5
    kept = (tmp_path / "data.bin.part").stat().st_size
    assert kept > 0
    server.start(ranged())
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={kept}-"], "the next call goes on"
    assert names(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("at", [0, 150_000, len(CONTENT) - 1])
def test_one_changed_byte_is_refused(server, tmp_path, at):
    changed = bytearray(CONTENT)
    changed[at] ^= 1
    server.start(ranged(), data__bin=bytes(changed))
    with pytest.raises(DownloadError, match="is not the file that was expected"):
        fetch(server, tmp_path)
    assert names(tmp_path) == []


@POSIX
def test_what_a_killed_download_left_is_removed_by_the_next(server, tmp_path):
    server.start(whole(pause=0.2))
    process = start_process(server, tmp_path / "data.bin")
    wait_for_bytes(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert [name.endswith(".tmp") for name in names(tmp_path)] == [True]
    server.start(ranged())
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["data.bin"]


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/data.bin"
        with pytest.raises(DownloadError, match="fetch the file by hand and put it at") as caught:
            download(url, tmp_path / "data.bin", sha256=SHA256, n_retries=0, timeout=5.0)
    message = str(caught.value)
    assert url in message
    assert str(tmp_path / "data.bin") in message
    assert "refused" in message
    assert names(tmp_path) == []


def test_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"Could not store 'data.bin' in the folder .*file.*MB free\)"):
        fetch(server, tmp_path / "file" / "folder")
    assert server.requests == []


def test_full_disk(server, tiny_disk):
    with pytest.raises(DownloadError, match=r"'data.bin' in the folder .*tiny: No space left.* \(0\.\d MB free\)"):
        fetch(server, tiny_disk)
    assert names(tiny_disk) == []
    assert len(server.requests) == 1


_IN_A_PROCESS = """
import sys
from skgat.datasets._download import download
{before}
download(sys.argv[1], sys.argv[2], sha256=sys.argv[3], n_retries=0)
"""


def wait_for_bytes(folder):
    """Until a download has written something."""
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start_process(server, path, before=""):
    return subprocess.Popen(
        [sys.executable, "-c", _IN_A_PROCESS.format(before=before), server.url, str(path), SHA256],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(_download.__file__).parents[2],
    )


@POSIX
def test_file_size_limit(server, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))"
    process = start_process(server, tmp_path / "data.bin", limit)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "DownloadError: Could not store 'data.bin' in the folder" in error
    assert "File too large" in error
    assert names(tmp_path) == []


def test_processes_at_once_all_end_well(server, tmp_path):
    server.start(whole(pause=0.05))
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    processes = [start_process(server, tmp_path / "data.bin") for _ in range(3)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert errors == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["data.bin"]
    assert len(server.requests) == 3


@POSIX
def test_ctrl_c_keeps_what_came(server, tmp_path):
    server.start(whole(pause=0.2))
    process = start_process(server, tmp_path / "data.bin")
    wait_for_bytes(tmp_path)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    assert names(tmp_path) == ["data.bin.part"]
    part = (tmp_path / "data.bin.part").read_bytes()
    assert 0 < len(part) < len(CONTENT)
    assert CONTENT.startswith(part)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("terminal", "progress", "lines"),
    [
        (False, None, []),
        (False, True, ["data.bin: 300 kB (100%)\n"]),
        (True, False, []),
        (True, None, ["data.bin: 300 kB (100%)\x1b[K\n"]),
    ],
)
def test_progress(server, tmp_path, monkeypatch, terminal, progress, lines):
    stream = _Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    fetch(server, tmp_path, progress=progress)
    shown = stream.getvalue()
    assert [shown.rpartition("\r")[2]] * bool(shown) == lines
    assert (shown.count("\r") > 1) == (terminal and bool(lines))


def test_progress_without_a_known_length(server, tmp_path, capsys):
    server.start(whole(length=False))
    fetch(server, tmp_path, progress=True)
    assert capsys.readouterr().err == "data.bin: 300 kB\n"


FILES = {"a.csv": b"first", "b.csv": b"second"}
CHECKSUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


@pytest.fixture
def upstream(server):
    server.start(ranged())
    server.files = FILES
    return server


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in [folder, *folder.rglob("*")]}


def test_cache_is_filled_once(upstream, tmp_path):
    paths = fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path)
    assert paths == {name: tmp_path / "set" / name for name in FILES}
    assert {name: path.read_bytes() for name, path in paths.items()} == FILES
    assert len(upstream.requests) == 2
    before = state(tmp_path)
    assert fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path, download_if_missing=False) == paths
    assert fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path) == paths
    assert len(upstream.requests) == 2
    assert state(tmp_path) == before


def test_read_only_cache_that_is_full_works(upstream, tmp_path):
    paths = fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path)
    for path in [*paths.values(), tmp_path / "set", tmp_path]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path) == paths
    finally:
        tmp_path.chmod(0o755)
        (tmp_path / "set").chmod(0o755)


def test_damaged_file_is_fetched_again(upstream, tmp_path):
    paths = fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path)
    paths["b.csv"].write_bytes(b"secund")
    got = hashlib.sha256(b"secund").hexdigest()
    message = rf"b\.csv is damaged \(its sha256 is {got}, but expected {CHECKSUMS['b.csv']}\), and download_if_missing"
    with pytest.raises(DownloadError, match=message):
        fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path, download_if_missing=False)
    upstream.requests.clear()
    fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path)
    assert paths["b.csv"].read_bytes() == FILES["b.csv"]
    assert upstream.requests == [("/b.csv", None)]


def test_missing_file_that_may_not_be_downloaded(upstream, tmp_path):
    with pytest.raises(DownloadError, match=r"The file .*a\.csv is not there, and download_if_missing=False"):
        fetch_files(upstream.base_url, "set", CHECKSUMS, data_home=tmp_path, download_if_missing=False)
    assert upstream.requests == []
    assert names(tmp_path) == []


def test_cache_folder_order(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sklearn"))
    monkeypatch.setenv("SKGAT_DATA", str(tmp_path / "variable"))
    assert cache_folder(tmp_path / "argument") == tmp_path / "argument"
    assert cache_folder() == tmp_path / "variable"
    monkeypatch.setenv("SKGAT_DATA", "")
    assert cache_folder() == tmp_path / "sklearn" / "skgat"
    assert str(cache_folder().parent) == get_data_home()
    monkeypatch.delenv("SKGAT_DATA")
    assert cache_folder() == tmp_path / "sklearn" / "skgat"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("~/mine") == tmp_path / "mine"
