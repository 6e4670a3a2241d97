"""Long fits that survive the end of their process: the state of training on disk, written now and then."""

__all__ = ["Checkpoint", "fingerprint"]

import hashlib
import io
import time
import warnings
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from .._files import KeptFile, is_held

#: At least so many seconds lie between two checkpoints, and so many times what writing the last one took.
_REST_SECONDS = 5.0
_REST_SHARE = 20
#: What may differ between the fit that was cut off and the one that goes on, or is looked at where it acts.
_FREE = ("checkpoint_dir", "device", "random_state", "similarity", "verbose")
_PATTERN = "gat-*.checkpoint"


def fingerprint(estimator, task, seed, device, weights):
    """What must be equal for a fit to go on where another was cut off.

    Parameters
    ----------
    estimator : TransferabilityGAT
    task : Task
    seed : int
    device : torch.device
    weights : dict of arrays or None
        What training starts from, if not from scratch.

    Returns
    -------
    str
    """
    from .. import __version__

    params = {name: value for name, value in estimator.get_params().items() if name not in _FREE}
    told = [__version__, torch.__version__, str(device), int(seed), sorted(params.items())]
    digest = hashlib.sha256(repr(told).encode())
    parts = {field.name: getattr(task.graph, field.name) for field in fields(task.graph)}
    # A table of similarities is known by what it says of the datasets of this fit.
    parts |= {f"near {side} {i}": part for side, near in task.near.items() for i, part in enumerate(near)}
    for name, value in sorted({**parts, **(weights or {})}.items()):
        array = np.asarray(value)
        digest.update(f"|{name} {array.dtype} {array.shape}|".encode())
        # Ids may be any objects; what they print as tells them apart, with their types.
        plain = array if array.dtype != object else np.array([f"{type(v).__name__} {v!r}" for v in array.ravel()])
        digest.update(np.ascontiguousarray(plain).tobytes())
    return digest.hexdigest()[:24]


class Checkpoint:
    """The checkpoint of one fit.

    Parameters
    ----------
    folder : path-like
        Made if it is not there.
    identity : str
        The fingerprint of the fit.
    """

    def __init__(self, folder, identity):
        folder = Path(folder).expanduser()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"Got checkpoint_dir={str(folder)!r}, but this folder cannot be made ({error.strerror}); expected one "
                "that can be written to."
            ) from error
        self.folder, self.path = folder, folder / f"gat-{identity}.checkpoint"
        self._file = KeptFile(self.path)
        self._failed = False
        self._due = time.monotonic() + _REST_SECONDS

    def resume(self, trainer):
        """Bring the trainer to where the fit was cut off, if it was."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            self._tell_of_others()
            return
        try:
            trainer.restore(_read(data))
        except (ValueError, KeyError, IndexError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(
                f"The checkpoint {str(self.path)!r} is damaged ({type(error).__name__}: {error}); training starts from "
                "the beginning.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _tell_of_others(self):
        others = [path for path in self.folder.glob(_PATTERN) if not is_held(path)]
        if others:
            warnings.warn(
                f"The folder {str(self.folder)!r} holds {len(others)} checkpoint(s) of fits on other data, with other "
                f"arguments or under other versions, such as {min(others).name!r}; training starts from the beginning. "
                "Remove what no fit is going to go on from.",
                RuntimeWarning,
                stacklevel=2,
            )

    def keep(self, trainer):
        """Write the state of the trainer, if the last time was long enough ago."""
        started = time.monotonic()
        if started < self._due:
            return
        try:
            self._file.write(_written(trainer.state()))
        except OSError as error:
            self._tell_of_failure(error)
        took = time.monotonic() - started
        self._due = started + took + max(_REST_SECONDS, _REST_SHARE * took)

    def drop(self):
        """Leave nothing to go on from."""
        self._file.remove()

    def _tell_of_failure(self, error):
        # The fit is worth more than its checkpoint. Once is enough.
        if not self._failed:
            warnings.warn(
                f"The checkpoint {str(self.path)!r} could not be written ({error.strerror or error}); training goes on "
                "without.",
                RuntimeWarning,
                stacklevel=2,
            )
        self._failed = True

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        """After a finished fit there is nothing to go on from; of one that was cut off, another may go on."""
        if kind is None:
            self._file.remove()
        else:
            self._file.release()


def _written(state):
    buffer = io.BytesIO()
    np.savez(buffer, **state)
    return buffer.getvalue()


def _read(data):
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
