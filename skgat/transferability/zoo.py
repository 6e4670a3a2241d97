"""Many models, many measures: :func:`score_zoo`."""

__all__ = ["score_zoo"]

import numbers
import sys
import time
import warnings
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager

import numpy as np
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from ._cache import ScoreCache
from ._inputs import check_choice, read_labels, read_targets
from ._registry import MEASURES, OF_TARGETS, score_model
from ._sources import check_zoo, load
from .collapse import PARTS

#: The columns of a measure that has more than one.
_COLUMNS = {"ncti": ["ncti", *(f"ncti_{part}" for part in PARTS)]}


def score_zoo(
    zoo,
    labels,
    measures=("logme",),
    n_jobs=None,
    *,
    regression=False,
    params=None,
    dataset=None,
    cache_dir=None,
    verbose=0,
):
    """Score every model of a zoo on one labelled dataset.

    Each model's features are read once, and all measures share what they need of them: one Gram matrix, one
    factorisation.

    Parameters
    ----------
    zoo : mapping of model id to source
        A source is an array (numpy or torch) of features, the path of an ``.npy`` file, a callable without arguments
        that returns either, or a mapping with the keys ``"features"``, ``"probabilities"`` (of the source model, for
        ``leep``, ``nce`` and ``pactran``) and ``"source_labels"`` (for ``nce``), of which each is any of the former.
        Files are read in blocks and are never in memory as a whole, unless a measure compares rows with each other.
    labels : array-like of shape (n_samples,) or, with ``regression=True``, (n_samples, n_targets)
        Class labels of the rows, of any dtype, or real targets.
    measures : sequence of str, default=("logme",)
        Names of the measures.
    n_jobs : int, optional
        Number of models that are scored at the same time. The backend is joblib's
        (:func:`joblib.parallel_config`), so that ``backend="dask"`` scores on many machines; models on a GPU want
        ``backend="threading"``.
    regression : bool, default=False
        Whether ``labels`` holds real targets, for which there are ``logme`` and ``lfc``.
    params : mapping of measure to dict, optional
        Further arguments of the measures, as ``{"parc": {"n_dims": 32}}``.
    dataset : optional
        Id of the dataset; adds a column ``dataset``.
    cache_dir : path-like, optional
        Directory that keeps every score as soon as it is known, so that a run that was cut off goes on where it
        stopped. Scores are known again by the contents of arrays, the path, size, inode and times of change of files,
        the model id and name of callables (what a callable returns cannot be known without calling it) with the
        arguments that a :func:`functools.partial` holds, and by labels and arguments. Nothing is kept of callables
        without a name, nor of partials of objects that are neither numbers, strings, paths, arrays nor callables.
    verbose : int, default=0
        1 tells on stderr when a model is done, and in how many seconds.

    Returns
    -------
    scores : DataFrame
        One row a model, in the order of the zoo: ``model``, ``dataset`` if given, one column a measure. Ready for
        ``make_records(pairs=)``. ``ncti`` is scaled over the models of the zoo; its parts stand beside it in
        ``ncti_seli``, ``ncti_ncc`` and ``ncti_vc``. A measure that failed is NaN, with a warning;
        ``scores.attrs["errors"]`` tells all of them as ``{model: {measure: message}}``.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import score_zoo
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3, size=200)
    >>> zoo = {"good": np.eye(3)[y] + rng.normal(size=(200, 3)), "poor": rng.normal(size=(200, 3))}
    >>> scores = score_zoo(zoo, y, ["logme", "lda"], dataset="flowers")
    >>> list(scores.columns)
    ['model', 'dataset', 'logme', 'lda']
    >>> scores.set_index("model")["logme"].idxmax()
    'good'
    """
    labels = read_targets(labels) if regression else read_labels(labels)
    measures, params = _check(zoo, measures, params, OF_TARGETS if regression else MEASURES)
    cache = None if cache_dir is None else ScoreCache(cache_dir, labels)
    tasks = (delayed(_score_one)(name, source, labels, measures, params, cache) for name, source in zoo.items())
    done = {}
    # Pools of processes, such as joblib's "multiprocessing" and "ray", hand over all results at the end.
    lazy = get_active_backend()[0].supports_return_generator
    with _dead_worker_told(zoo, done):
        results = Parallel(n_jobs=n_jobs, return_as="generator" if lazy else "list")(tasks)
        for count, (name, (scores, errors, seconds)) in enumerate(zip(zoo, results, strict=True), 1):
            done[name] = (scores, errors)
            if verbose:
                state = f"{len(errors)} failed" if errors else "done"
                print(f"[{count}/{len(zoo)}] {name}: {state} in {seconds:.1f} s", file=sys.stderr)
    return _frame(done, measures, dataset)


@contextmanager
def _dead_worker_told(zoo, done):
    """Say what was lost with a worker process, and what to do."""
    try:
        yield
    except BrokenExecutor as error:
        open_ = [name for name in zoo if name not in done]
        raise RuntimeError(
            f"A worker process died (killed, or out of memory) before {len(open_)} of {len(zoo)} models were scored, "
            f"{open_[0]!r} the first of them. Use fewer workers (n_jobs=), and cache_dir= to keep what is scored."
        ) from error


def _check(zoo, measures, params, known):
    check_zoo(zoo)
    measures = (measures,) if isinstance(measures, str) else tuple(measures)
    for measure in measures:
        check_choice(measure, "measure", known)
    if not measures or len(set(measures)) < len(measures):
        raise ValueError(f"Got measures={measures!r}, but expected at least one, each once.")
    params = dict(params or {})
    for measure in params:
        if measure not in measures:
            raise ValueError(
                f"Got params for {measure!r}, but expected only measures that are asked for: {measures!r}."
            )
    return measures, params


def _score_one(name, source, labels, measures, params, cache):
    start = time.perf_counter()
    known, errors = {}, {}
    try:
        entry = None if cache is None else cache.entry(name, source)
        known = {} if entry is None else entry.read(measures, params)
        missing = [measure for measure in measures if measure not in known]
        if missing:
            found, errors = score_model(load(source, labels), missing, params)
            known |= found
            if entry is not None:
                entry.write(found, params)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong with one model, the others are scored
        # With all scores known it is the cache that could not be written.
        missing = [measure for measure in measures if measure not in known]
        errors |= dict.fromkeys(missing or ["cache"], error)
    return known, {measure: _message(error) for measure, error in errors.items()}, time.perf_counter() - start


def _message(error):
    return f"{type(error).__name__}: {error}"


def _frame(done, measures, dataset):
    # pandas is needed for what is handed back only.
    import pandas as pd

    columns = {"model": list(done)}
    if dataset is not None:
        columns["dataset"] = [dataset] * len(done)
    for measure in measures:
        cells = [scores.get(measure, np.nan) for scores, _ in done.values()]
        if measure in _COLUMNS:
            columns |= _standardised(cells)
        else:
            columns[measure] = [cell if isinstance(cell, numbers.Real) else np.nan for cell in cells]
    frame = pd.DataFrame(columns)
    errors = {name: failed for name, (_, failed) in done.items() if failed}
    frame.attrs["errors"] = errors
    if errors:
        told = "; ".join(f"{name!r}: {next(iter(failed.values()))}" for name, failed in list(errors.items())[:3])
        warnings.warn(
            f"{len(errors)} of {len(done)} model(s) could not be scored by all measures, their cells are NaN "
            f"(scores.attrs['errors'] tells all). {told}",
            RuntimeWarning,
            stacklevel=3,
        )
    return frame


def _standardised(cells):
    """The parts of NCTI, and their sum after each is scaled to [0, 1] over the models."""
    parts = np.array([[cell[part] for part in PARTS] if isinstance(cell, dict) else [np.nan] * 3 for cell in cells])
    total = np.zeros(len(cells))
    for column in parts.T:
        known = column[np.isfinite(column)]
        width = np.ptp(known) if len(known) else 0
        # A part that is the same for all models ranks none of them.
        total += (column - known.min()) / width if width > 0 else 0 * column
    return dict(zip(_COLUMNS["ncti"], [total, *parts.T], strict=True))
