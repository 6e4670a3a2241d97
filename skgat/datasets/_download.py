"""One file from the web to one place on disk: whole and checked, or not there at all.

What arrives goes to a temporary file of its own beside the target and is renamed onto it only when its checksum is
right, so a reader never sees half a file and any number of processes may download the same file at once. When the
network gives up for good, what came so far is set aside as ``<name>.part`` and the next call goes on from there.
"""

__all__ = ["download", "sha256_of"]

import hashlib
import http.client
import os
import re
import shutil
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from numbers import Integral, Real
from pathlib import Path
from urllib.error import HTTPError, URLError

from .._files import claim_temporary
from ..exceptions import DownloadError

_CHUNK = 1 << 16
_NETWORK_ERRORS = (OSError, http.client.HTTPException)
#: Replies of the 4xx class that another attempt can change: timeout, too early, too many requests.
_PASSING = (408, 425, 429)
_RANGE_NOT_SATISFIABLE = 416


def download(url, path, *, sha256, n_retries=3, delay=1.0, timeout=30.0, progress=None):
    """Fetch a file whose checksum is known.

    Parameters
    ----------
    url : str
    path : path-like
        Where the file is to lie; missing folders are made.
    sha256 : str
        The checksum of the file, in hexadecimal.
    n_retries : int, default=3
        How often a failed transfer is tried again. A transfer that was cut goes on where it stopped if the server
        can do that, and from the start if not. A reply such as *404 Not Found* is final.
    delay : float, default=1.0
        Seconds before the first retry; doubled for each one after it.
    timeout : float, default=30.0
        Seconds that the server may stay silent.
    progress : bool, optional
        Whether to report on stderr; by default only when stderr is a terminal.

    Returns
    -------
    pathlib.Path
        ``path``, which now holds the file.

    Raises
    ------
    DownloadError
        The file could not be fetched or stored, or what came is not the file that was asked for.
    """
    if not isinstance(n_retries, Integral) or n_retries < 0:
        raise ValueError(f"Got n_retries={n_retries!r}, but expected an integer of at least 0.")
    for name, value, least in (("delay", delay, "at least 0"), ("timeout", timeout, "more than 0")):
        if not isinstance(value, Real) or not (value > 0 or (value == 0 and name == "delay")):
            raise ValueError(f"Got {name}={value!r}, but expected a number of seconds of {least}.")
    path = Path(path)
    part = path.with_name(f"{path.name}.part")
    line = _ProgressLine(path.name, progress)
    retry = {"n_retries": n_retries, "delay": delay, "timeout": timeout, "line": line}
    with ExitStack() as stack:
        with _disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temp = stack.enter_context(claim_temporary(path, part))
        stack.callback(line.close)
        resumed = _size(temp) > 0
        try:
            _persist(url, temp, path, **retry)
            if resumed and sha256_of(temp.name) != sha256:
                # What an earlier call set aside may have been damaged since: once more, from the first byte.
                temp.truncate(0)
                _persist(url, temp, path, **retry)
            _check(temp.name, path, url, sha256)
            with _disk_errors(path):
                os.replace(temp.name, path)
        except DownloadError:
            raise
        except _NETWORK_ERRORS as error:
            _set_aside(temp, part)
            raise _gave_up(url, path, error, n_retries) from error
        except KeyboardInterrupt:
            _set_aside(temp, part)
            raise
    return path


def sha256_of(path):
    """The sha256 checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _disk_errors(path):
    """Say which file could not be stored, where, and how much room there is."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DownloadError(
            f"Could not store {path.name!r} in the folder {path.parent}: {reason} ({_free_space(path.parent)} free). "
            "Make room, or pass data_home= or set SKGAT_DATA to a folder that can be written to."
        ) from error


def _free_space(folder):
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB"


def _size(file):
    return os.fstat(file.fileno()).st_size


def _set_aside(temp, part):
    if _size(temp):
        os.replace(temp.name, part)


def _persist(url, temp, path, *, n_retries, delay, timeout, line):
    for attempt in range(n_retries + 1):
        try:
            _transfer(url, temp, path, timeout, line)
            return
        except DownloadError:
            raise
        except _NETWORK_ERRORS as error:
            if _is_final(error) or attempt == n_retries:
                raise
            time.sleep(delay * 2**attempt)


def _is_final(error):
    return isinstance(error, HTTPError) and 400 <= error.code < 500 and error.code not in _PASSING


def _transfer(url, temp, path, timeout, line):
    response, start = _open(url, temp, timeout)
    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    with response:
        with _disk_errors(path):
            temp.truncate(start)
            temp.seek(start)
        while chunk := response.read(_CHUNK):
            with _disk_errors(path):
                _write(temp, chunk)
            start += len(chunk)
            line.show(start, total)
        with _disk_errors(path):
            os.fsync(temp.fileno())
    # http.client takes an early end of the connection for the end of the file.
    if total is not None and start < total:
        raise http.client.IncompleteRead(b"", total - start)


def _open(url, temp, timeout):
    """The reply to a request for what is missing, and the byte of the file at which it starts."""
    have = _size(temp)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except HTTPError as error:
        error.close()
        if not (have and error.code == _RANGE_NOT_SATISFIABLE):
            raise
        temp.truncate(0)
        return _open(url, temp, timeout)
    if response.status != 206:
        return response, 0
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if given and int(given[1]) == have:
        return response, have
    response.close()
    temp.truncate(0)
    return _open(url, temp, timeout)


def _write(file, chunk):
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _check(temp, path, url, expected):
    got = sha256_of(temp)
    if got != expected:
        raise DownloadError(
            f"{path.name!r} from {url} is not the file that was expected: its sha256 is {got}, but expected "
            f"{expected}. Nothing was stored."
        )


def _gave_up(url, path, error, n_retries):
    tried = "" if _is_final(error) or not n_retries else f" (tried {n_retries + 1} times)"
    return DownloadError(
        f"Could not download {path.name!r} from {url}{tried}: {_told(error)}. Check the network, or fetch the file "
        f"by hand and put it at {path}."
    )


def _told(error):
    if isinstance(error, HTTPError):
        return f"the server said {error.code} {error.reason}"
    if isinstance(error, URLError):
        return str(error.reason)
    return f"{type(error).__name__}: {error}"


class _ProgressLine:
    """One line on stderr: rewritten in place on a terminal, written once at the end elsewhere."""

    def __init__(self, name, progress):
        self.name = name
        self.live = sys.stderr is not None and sys.stderr.isatty()
        self.on = self.live if progress is None else bool(progress)
        self.text = ""

    def show(self, have, total):
        share = f" ({have / total:.0%})" if total else ""
        self.text = f"{self.name}: {have / 1e3:,.0f} kB{share}"
        if self.on and self.live:
            sys.stderr.write(f"\r{self.text}\x1b[K")
            sys.stderr.flush()

    def close(self):
        if self.on and self.text:
            sys.stderr.write("\n" if self.live else f"{self.text}\n")
            sys.stderr.flush()
