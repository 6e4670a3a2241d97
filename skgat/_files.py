"""Files that are there as a whole or not at all, whatever ends the process that writes them."""

__all__ = ["KeptFile", "claim_temporary", "is_held", "is_special", "replace_file"]

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # a platform without POSIX locks: nothing is swept there, and nothing counts as held
    fcntl = None


def replace_file(path, data):
    """Write a file; a reader sees the old content or the new one, never a part.

    What is written lies under a temporary name beside ``path`` until it is complete and on the disk. What writers
    that were killed left of such files is removed. A file that is replaced keeps its permissions; a device, a pipe or a
    socket is not replaced, but an ``OSError``.

    Parameters
    ----------
    path : path-like
    data : bytes
    """
    path = Path(path)
    try:
        _write(path, data).close()
    except OSError as error:
        if error.errno is None:
            raise
        told = f"{error.strerror} (what was there before, if anything, is unchanged)"
        raise OSError(error.errno, told, str(path)) from error


class KeptFile:
    """A file that is written again and again by one owner, and marked as in use as long as the owner lives.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path):
        self.path = Path(path)
        self._file = None

    def write(self, data):
        """Put new content in the place of the old."""
        previous, self._file = self._file, _write(self.path, data)
        if previous is not None:
            previous.close()

    def release(self):
        """Give up the mark; the file stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self):
        """Remove the file and give up the mark."""
        self.path.unlink(missing_ok=True)
        self.release()


def is_special(path):
    """Tell whether there is a device, a pipe or a socket, which a file must not take the place of."""
    mode = _mode(path)
    return mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_held(path):
    """Tell whether the owner of a :class:`KeptFile` lives."""
    try:
        with open(path, "rb") as file:
            return fcntl is not None and not _lock(file, wait=False)
    except FileNotFoundError:
        return False


@contextmanager
def claim_temporary(path, part=None):
    """A temporary file beside ``path`` that no other process or thread writes to.

    Parameters
    ----------
    path : path-like
        What the file is going to be, once it is complete and renamed.
    part : path-like, optional
        What there is of it already; if this file exists, it is renamed and becomes the temporary file.

    Yields
    ------
    file : raw binary file
        Open for reading and writing; if it still has its name in the end, it is removed.
    """
    path = Path(path)
    _sweep(path)
    file = _open_locked(path, part)
    try:
        yield file
    finally:
        # Its name is drawn at random and never comes back once it was renamed.
        Path(file.name).unlink(missing_ok=True)
        file.close()


def _write(path, data):
    """Write ``path`` and return the file, open and locked."""
    if is_special(path):
        told = "Expected the name of a regular file, but this is a device, a pipe or a socket"
        raise OSError(errno.EEXIST, told, str(path))
    _sweep(path)
    file = _open_locked(path)
    try:
        _keep_permissions(path, file)
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())
        os.replace(file.name, path)
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        file.close()
        raise
    return file


def _mode(path):
    try:
        return os.stat(path).st_mode
    except OSError:
        # Nothing there, or nothing that can be reached: whoever writes hears why.
        return None


def _keep_permissions(path, file):
    mode = _mode(path)
    if mode is None or not stat.S_ISREG(mode):
        return
    # Some file systems have one mode for all files and refuse every change.
    if stat.S_IMODE(mode) != stat.S_IMODE(_mode(file.name)):
        os.chmod(file.name, stat.S_IMODE(mode))


def _open_locked(path, part=None):
    while True:
        name = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
        taken = part is not None and _rename(part, name)
        # Unbuffered, so that a full disk shows in write and not again in close.
        file = open(name, "r+b" if taken else "x+b", buffering=0)  # noqa: SIM115 - the caller closes it
        try:
            _lock(file, wait=True)
            # Between open and lock, another writer may have taken it for the leftover of a dead one.
            if name.exists():
                return file
        except BaseException:
            name.unlink(missing_ok=True)
            file.close()
            raise
        file.close()


def _rename(part, name):
    # Of several processes only one can rename the same file.
    try:
        os.replace(part, name)
    except FileNotFoundError:
        return False
    return True


def _sweep(path):
    """Remove temporary files that no living process holds."""
    if fcntl is None:
        return
    prefix, suffix = f".{path.name}.", ".tmp"
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(suffix)]
    for name in names:
        leftover = path.with_name(name)
        try:
            with open(leftover, "rb") as file:
                if _lock(file, wait=False):
                    leftover.unlink()
        except OSError:
            # Gone meanwhile, or not ours to remove; it is in nobody's way.
            continue


def _lock(file, *, wait):
    """Lock a file; tell whether that was possible."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        # Held by another, or on a file system without locks, where a file of a living writer must not be swept.
        return False
    return True
