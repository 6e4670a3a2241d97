"""Saving a fitted recommender to a file that runs no code when it is loaded."""

__all__ = ["load", "save"]

import io
import json
import os
import re
import stat
import threading
import zipfile
from pathlib import Path

from .exceptions import PersistenceError

#: Counts up when a file of an older skgat can no longer be read as it is.
_FORMAT = 1

#: Numpy makes a syntax tree of the header of every array, and Python 3.11 mistakes those of several threads for one.
_PARSING = threading.Lock()

#: The only types that a file may hold beside scikit-learn's estimators, numpy's arrays and Python's containers.
_TRUSTED = (
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "skgat._packing.Packed",
    "skgat._columns.Categories",
    "skgat._columns.Numbers",
    "skgat._columns.Words",
    "skgat.baselines._placement.Placement",
    "skgat.baselines.bias.BiasRegressor",
    "skgat.baselines.matrix_completion.MatrixCompletion",
    "skgat.baselines.nearest_datasets.NearestDatasets",
    "skgat.baselines.transfer_space.TransferSpaceRegressor",
    "skgat.embedding._documents.LearnedDocuments",
    "skgat.embedding._documents.SingularDocuments",
    "skgat.embedding.architectures.Archi2Vec",
    "skgat.embedding.probes.ProbeEncoder",
    "skgat._likeness.Likeness",
    "skgat.embedding._placing.Placement",
    "skgat.embedding._transfer_graph.Measures",
    "skgat.embedding._transfer_graph.TransferGraph",
    "skgat.embedding.graph_embedder.GraphEmbedder",
    "skgat.encoder.MetadataEncoder",
    "skgat.gat.estimator.TransferabilityGAT",
    "skgat.gat.forest.Forest",
    "skgat.gat.grove.Grove",
    "skgat.gat.inference.FrozenNetwork",
    "skgat.gat.kernel.KernelRegression",
    "skgat.gat.kernel.Strengths",
    "skgat.gat.placement.Placement",
    "skgat.gat.targets.TargetScale",
    "skgat.graph.Graph",
)


def save(recommender, path):
    """Save a fitted recommender.

    The file is a skops archive: arrays and text, from which :func:`load` builds only types of a fixed list. It is
    written under a temporary name beside ``path`` and renamed when complete, so that a failure on the way leaves
    what was there before. What a process that was killed left under such a name, the next ``save`` removes.

    Parameters
    ----------
    recommender : estimator
        An estimator of skgat or a Pipeline that holds one, with scikit-learn's estimators beside it. What the file
        could not hold safely is refused; ``joblib.dump`` takes everything that can be pickled.
    path : str or path-like
        Where to; an existing file is replaced.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from skgat.baselines import BiasRegressor
    >>> from skgat.persistence import load, save
    >>> records = pd.DataFrame({"model": ["a", "b"], "dataset": ["x", "x"], "score": [0.5, 0.7]})
    >>> bias = BiasRegressor().fit(records)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(bias, Path(folder) / "bias.skgat")
    ...     loaded = load(Path(folder) / "bias.skgat")
    >>> bool((loaded.predict(records) == bias.predict(records)).all())
    True
    """
    from ._compat import import_skops
    from ._files import replace_file
    from ._packing import pack

    skops = import_skops()
    name = type(recommender).__name__
    try:
        data = skops.dumps(pack(recommender))
    except (TypeError, ValueError, AttributeError) as error:
        raise PersistenceError(f"{name} cannot be saved: {error}. joblib.dump may take it.") from error
    refused = sorted(set(skops.get_untrusted_types(data=data)) - set(_TRUSTED))
    if refused:
        raise PersistenceError(
            f"{name} cannot be saved: it holds {', '.join(refused)}, which load would refuse to build. "
            "Save a part without it (such as best_estimator_), or use joblib.dump."
        )
    whole = _with_header(data)
    _check_own(whole, name)
    # Through a link: its target is replaced, not the link.
    replace_file(os.path.realpath(path), whole)


def _check_own(data, name):
    from ._vetting import check_content, check_entries

    try:
        check_entries(data)
        with _PARSING:
            check_content(data)
    except ValueError as error:
        raise PersistenceError(
            f"{name} cannot be saved: load would refuse the file, as {error}. joblib.dump may take it."
        ) from error


def _with_header(data):
    import numpy
    import pandas
    import sklearn

    from ._vetting import DESCRIPTION, HEADER

    libraries = {module.__name__: module.__version__ for module in (numpy, pandas, sklearn)}
    header = {"format": _FORMAT, "skgat": _own_version(), **libraries}
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(HEADER, json.dumps(header))
        for name in source.namelist():
            content = source.read(name)
            if name == DESCRIPTION:
                # skops indents it for human readers, which makes it two thirds blanks.
                content = json.dumps(json.loads(content), separators=(",", ":"))
            archive.writestr(name, content)
    return buffer.getvalue()


def _own_version():
    from . import __version__

    return __version__


def load(path):
    """Load a recommender that :func:`save` wrote, without running any code from the file.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    recommender : estimator
        It predicts what the saved one predicted, to the bit.

    Raises
    ------
    PersistenceError
        When the file is damaged, was not written by skgat, comes from a newer skgat, or holds a type that is not
        on skgat's list. A file that was made to harm neither runs code nor fills the memory.
    FileNotFoundError
        When there is no such file.
    """
    path = Path(path)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise PersistenceError(f"{str(path)!r} is {kind}, but expected a file that skgat saved.")
    data = path.read_bytes()
    _check_archive(data, path)
    return _build(data, path)


def _check_archive(data, path):
    from ._vetting import HEADER, check_entries

    try:
        header = check_entries(data)
    except (ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise PersistenceError(
            f"{str(path)!r} is not a file that skgat saved, or it is damaged or cut off ({error})."
        ) from error
    if not isinstance(header, dict) or not {"format", "skgat"} <= header.keys():
        raise PersistenceError(f"{str(path)!r} is an archive, but not one that skgat saved: it has no {HEADER} entry.")
    if header["format"] != _FORMAT or _release(header["skgat"]) > _release(_own_version()):
        raise PersistenceError(
            f"{str(path)!r} was saved by skgat {header['skgat']} (format {header['format']}), which is newer than this "
            f"skgat {_own_version()} (format {_FORMAT}); update skgat to load it."
        )


def _release(version):
    return tuple(int(number) for number in re.findall(r"\d+", str(version))[:3])


def _build(data, path):
    from ._compat import import_skops
    from ._packing import unpack
    from ._trees import check_trees
    from ._vetting import check_content

    skops = import_skops()
    try:
        with _PARSING:
            check_content(data)
            recommender = unpack(skops.loads(data, trusted=list(_TRUSTED)))
        check_trees(recommender)
    except skops.exceptions.UntrustedTypesFoundException as error:
        refused = sorted(set(skops.get_untrusted_types(data=data)) - set(_TRUSTED))
        raise PersistenceError(
            f"{str(path)!r} holds {', '.join(refused)}, which is not on skgat's list of types to load; nothing was "
            "loaded."
        ) from error
    except MemoryError as error:
        raise MemoryError(f"There is not enough memory to load {str(path)!r}.") from error
    except Exception as error:
        raise PersistenceError(
            f"{str(path)!r} is damaged or needs other versions of the libraries ({type(error).__name__}: {error})."
        ) from error
    return recommender
