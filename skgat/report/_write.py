"""The page as a file."""

__all__ = ["write_report"]

import os
from numbers import Integral
from pathlib import Path

from .._files import is_special, replace_file
from ._contents import collect
from ._page import make_page


def write_report(recommender, dataset, path, *, models=None, k=5, max_records=100):
    """Write one self-contained page about the models to fine-tune on a dataset.

    It holds the ranking of all candidates with intervals, sortable and searchable, the evidence behind the first of
    them, the nearest datasets, the table of results around the dataset, known and predicted, and a map of models and
    datasets. It needs no network, and nothing in it can ask for one.

    Parameters
    ----------
    recommender : fitted regressor or Pipeline
        As for :func:`skgat.recommend`. Evidence, the known results and the nearest datasets need a
        :class:`skgat.TransferabilityGAT`, which keeps its history.
    dataset : id, dict or frame of one row
        The dataset, known or unknown.
    path : str or path-like
        Where to; an existing file is replaced when the page is complete.
    models : list of ids, dict or frame, default=None
        The candidates; by default all known models.
    k : int, default=5
        The evidence is shown for so many models.
    max_records : int or None, default=100
        How many past results are looked at for evidence, see :func:`skgat.inspection.explain`.

    Returns
    -------
    path : pathlib.Path

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skgat.baselines import BiasRegressor
    >>> from skgat.datasets import load_vision_zoo
    >>> from skgat.report import write_report
    >>> bias = BiasRegressor().fit(load_vision_zoo().records)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(bias, "pets", Path(folder) / "report.html").read_text(encoding="utf-8")
    >>> "<h1>Which model for <bdi>pets</bdi>?</h1>" in page
    True
    """
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise ValueError(f"Got k={k!r}, but expected an integer of at least 1.")
    path = Path(path)
    if not path.resolve().parent.is_dir():
        raise ValueError(f"Got path {str(path)!r}, but there is no folder {str(path.resolve().parent)!r}.")
    if path.is_dir():
        raise ValueError(f"Got path {str(path)!r}, but that is a folder; expected a file name such as report.html.")
    if is_special(path):
        raise ValueError(f"Got path {str(path)!r}, but expected a regular file, not a device, a pipe or a socket.")
    page = make_page(collect(recommender, dataset, models, k, max_records))
    replace_file(os.path.realpath(path), page.encode("utf-8"))
    return path
