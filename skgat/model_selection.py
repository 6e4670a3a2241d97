"""Splitters that hold out whole datasets, whole models, both, or a share of each dataset's results.

They read who is in a row from the columns of ``X``, so they work inside ``GridSearchCV`` and ``cross_validate`` without
a ``groups`` argument. Which ids share a fold depends on the ids and how many rows each has, never on the order of rows.
"""

__all__ = ["LeaveBothOut", "LeaveDatasetsOut", "LeaveModelsOut", "MissingEdges"]

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from ._frames import as_pandas, column_names, is_frame
from .records import hashable_ids, id_codes

_MODEL, _DATASET = 0, 1


def read_ids(X, column, position):
    """The model or dataset id of every row: the named column of a frame, or a column of a nameless array by position.

    Parameters
    ----------
    X : frame or array of shape (n_records, n_columns)
    column : str
        Name of the id column.
    position : {0, 1}
        Where the ids stand in an array without column names: models in column 0, datasets in column 1.

    Returns
    -------
    ids : array of shape (n_records,)
    """
    role = ("model", "dataset")[position]
    if is_frame(X):
        names = column_names(X)
        if column in names:
            return check_ids(as_pandas(X, columns=[column])[column], f"Column {column!r}", role)
        if any(isinstance(name, str) for name in names):
            raise ValueError(
                f"X has no column {column!r} with the {role} ids; its columns are {names[:8]}"
                f"{' and more' if len(names) > 8 else ''}. Rename the column or set {role}= to its name."
            )
        X = as_pandas(X)
    X = np.asarray(X)
    if X.ndim != 2 or X.shape[1] < 2:
        raise ValueError(
            f"Got X of shape {X.shape}, but expected a frame with the column {column!r}, or an array with the model "
            "ids in column 0 and the dataset ids in column 1."
        )
    return check_ids(X[:, position], f"Column {position} of X", role)


def check_ids(values, name, role):
    """One-dimensional ids of any type as an array that keeps ``1`` and ``"1"`` apart; missing ids are an error.

    Parameters
    ----------
    values : array-like of shape (n_records,)
    name : str
        What the values are called in the error.
    role : str
        What the ids stand for, for the error.

    Returns
    -------
    ids : array of shape (n_records,)
    """
    if not pd.api.types.is_list_like(values):
        raise ValueError(f"{name} is {values!r}, but expected one {role} id a row.")
    # numpy would turn a list of numbers and strings into strings.
    values = np.asarray(values if hasattr(values, "__array__") else pd.Series(list(values)))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}, but expected one {role} id a row.")
    absent = pd.isna(values)
    if absent.any():
        raise ValueError(
            f"{name} has {absent.sum()} missing {role} id(s), the first in row {absent.argmax()}; every row needs one."
        )
    return hashable_ids(values, name, role)


def _read_both(X, groups, model, dataset):
    if groups is None:
        return read_ids(X, model, _MODEL), read_ids(X, dataset, _DATASET)
    both = as_pandas(groups, "groups") if is_frame(groups) else pd.DataFrame(groups)
    if both.shape[1] != 2:
        raise ValueError(f"Got groups of shape {both.shape}, but expected two columns: the model ids and dataset ids.")
    _check_length(X, len(both))
    return check_ids(both.iloc[:, 0], "groups", "model"), check_ids(both.iloc[:, 1], "groups", "dataset")


def _check_length(X, n_groups):
    n_rows = n_groups if X is None else X.shape[0] if hasattr(X, "shape") else len(X)
    if n_rows != n_groups:
        raise ValueError(f"Got groups for {n_groups} rows, but X has {n_rows} rows.")


def _check_n_splits(n_splits):
    whole = isinstance(n_splits, Integral) and not isinstance(n_splits, bool) and n_splits >= 2
    if not (whole or (isinstance(n_splits, str) and n_splits == "all")):
        raise ValueError(f"Got n_splits={n_splits!r}, but expected an integer of at least 2 or 'all'.")


def _check_enough(n_splits, n_ids, role):
    if n_ids < (2 if n_splits == "all" else n_splits):
        raise ValueError(
            f"Got n_splits={n_splits!r}, but the rows have only {n_ids} distinct {role} id(s); expected at least "
            f"{2 if n_splits == 'all' else n_splits}."
        )


def _deal(codes, n_folds, rng):
    """Give each id a fold: the number of ids differs by one at most, and the number of rows little."""
    n_rows = np.bincount(codes)
    order = np.arange(len(n_rows)) if rng is None else rng.permutation(len(n_rows))
    order = order[np.argsort(-n_rows[order], kind="stable")]
    fold = np.empty(len(n_rows), dtype=np.int64)
    load = np.zeros(n_folds, dtype=np.int64)
    # One id of about the same size to every fold in each round, the largest to the fold with the fewest rows.
    for first in range(0, len(order), n_folds):
        ids = order[first : first + n_folds]
        folds = np.argsort(load, kind="stable") if rng is None else rng.permutation(n_folds)
        fold[ids] = folds[: len(ids)]
        load[folds[: len(ids)]] += n_rows[ids]
    return fold


def _indices(train, test, name):
    for purpose, mask in (("train", train), ("test", test)):
        if not mask.any():
            raise ValueError(f"{name} has no record to {purpose} on; the records are too few or too sparse for it.")
    return np.flatnonzero(train), np.flatnonzero(test)


class _Splitter(BaseCrossValidator):
    """Groups are asked for when given, with or without metadata routing."""

    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def split(self, X, y=None, groups=None):
        """Yield the rows to train on and the rows to test on.

        Parameters
        ----------
        X : frame or array of shape (n_records, n_columns)
            Records; an array without column names has the model ids in column 0 and the dataset ids in column 1.
        y : ignored
        groups : array-like, optional
            Ids to use instead of the columns of ``X``: one id a row, or for the splitters that look at both kinds a
            model id and a dataset id a row (two columns).

        Yields
        ------
        train : integer array
        test : integer array
        """
        for number, (train, test) in enumerate(self._masks(X, groups)):
            yield _indices(train, test, f"Split {number} of {type(self).__name__}")


class _Leave(_Splitter):
    def _random(self):
        # shuffle=None keeps the splits constant, which successive halving insists on, unless a seed asks for chance.
        shuffle = self.random_state is not None if self.shuffle is None else self.shuffle
        return check_random_state(self.random_state) if shuffle else None

    def _folds(self, ids, role, rng):
        ids, codes = id_codes(ids)
        _check_enough(self.n_splits, len(ids), role)
        return codes if self.n_splits == "all" else _deal(codes, self.n_splits, rng)[codes]

    def get_n_splits(self, X=None, y=None, groups=None):
        """Tell the number of splits.

        Parameters
        ----------
        X : frame or array of shape (n_records, n_columns), optional
            Needed to count the ids with ``n_splits="all"``.
        y : ignored
        groups : array-like, optional
            Ids to count instead of those in the columns of ``X``.

        Returns
        -------
        n_splits : int
        """
        if self.n_splits != "all":
            return self.n_splits
        if X is None and groups is None:
            raise ValueError("Got X=None, but n_splits='all' needs X (or groups) to count the ids.")
        return self._n_all(X, groups)


class _LeaveOneKindOut(_Leave):
    def _ids(self, X, groups):
        if groups is None:
            return read_ids(X, getattr(self, self._role), (_MODEL, _DATASET)[self._role == "dataset"])
        ids = check_ids(groups, "groups", self._role)
        _check_length(X, len(ids))
        return ids

    def _n_all(self, X, groups):
        return len(id_codes(self._ids(X, groups))[0])

    def _masks(self, X, groups):
        folds = self._folds(self._ids(X, groups), self._role, self._random())
        for fold in range(folds.max() + 1):
            yield folds != fold, folds == fold


class LeaveDatasetsOut(_LeaveOneKindOut):
    """Hold out whole datasets: how good is the ranking for a dataset without any result?

    The folds differ by one dataset at most, and little in their rows.

    Parameters
    ----------
    n_splits : int or "all", default=5
        Number of folds; ``"all"`` makes one fold of each dataset.
    dataset : str, default="dataset"
        Name of the column with the dataset ids.
    shuffle : bool, optional
        Whether chance decides which datasets share a fold. By default it does when ``random_state`` is given.
        With ``n_splits="all"`` there is nothing to shuffle.
    random_state : int, RandomState instance or None, default=None

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat.model_selection import LeaveDatasetsOut
    >>> X = pd.DataFrame({"model": ["a", "b"] * 3, "dataset": ["x", "x", "y", "y", "z", "z"]})
    >>> for train, test in LeaveDatasetsOut(n_splits="all").split(X):
    ...     print(train, test)
    [2 3 4 5] [0 1]
    [0 1 4 5] [2 3]
    [0 1 2 3] [4 5]
    """

    _role = "dataset"

    def __init__(self, n_splits=5, *, dataset="dataset", shuffle=None, random_state=None):
        _check_n_splits(n_splits)
        self.n_splits = n_splits
        self.dataset = dataset
        self.shuffle = shuffle
        self.random_state = random_state


class LeaveModelsOut(_LeaveOneKindOut):
    """Hold out whole models: where would a model that nobody has fine-tuned yet stand?

    The folds differ by one model at most, and little in their rows.

    Parameters
    ----------
    n_splits : int or "all", default=5
        Number of folds; ``"all"`` makes one fold of each model.
    model : str, default="model"
        Name of the column with the model ids.
    shuffle : bool, optional
        Whether chance decides which models share a fold. By default it does when ``random_state`` is given.
        With ``n_splits="all"`` there is nothing to shuffle.
    random_state : int, RandomState instance or None, default=None

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat.model_selection import LeaveModelsOut
    >>> X = pd.DataFrame({"model": ["a", "b"] * 2, "dataset": ["x", "x", "y", "y"]})
    >>> [test.tolist() for _, test in LeaveModelsOut(n_splits=2).split(X)]
    [[0, 2], [1, 3]]
    """

    _role = "model"

    def __init__(self, n_splits=5, *, model="model", shuffle=None, random_state=None):
        _check_n_splits(n_splits)
        self.n_splits = n_splits
        self.model = model
        self.shuffle = shuffle
        self.random_state = random_state


class LeaveBothOut(_Leave):
    """Hold out models and datasets at once: nothing about either side of a test row is known.

    The models are dealt into ``n_splits`` folds and so are the datasets. Split ``i`` tests on the records of fold
    ``i``'s models on fold ``i``'s datasets and trains on the records that have neither. Records with exactly one of the
    two held out are in **neither** part. Every id is held out once, but only about one record in ``n_splits`` is
    tested; other values of ``random_state`` test others.

    Parameters
    ----------
    n_splits : int or "all", default=5
        Number of splits; ``"all"`` makes one of each (model, dataset) pair that has a record.
    model, dataset : str, default="model", "dataset"
        Names of the id columns.
    shuffle : bool, optional
        Whether chance decides which ids share a fold. By default it does when ``random_state`` is given.
        With ``n_splits="all"`` there is nothing to shuffle.
    random_state : int, RandomState instance or None, default=None

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat.model_selection import LeaveBothOut
    >>> X = pd.DataFrame({"model": ["a", "b"] * 2, "dataset": ["x", "x", "y", "y"]})
    >>> for train, test in LeaveBothOut(n_splits=2).split(X):
    ...     print(train, test)
    [3] [0]
    [0] [3]
    """

    def __init__(self, n_splits=5, *, model="model", dataset="dataset", shuffle=None, random_state=None):
        _check_n_splits(n_splits)
        self.n_splits = n_splits
        self.model = model
        self.dataset = dataset
        self.shuffle = shuffle
        self.random_state = random_state

    def _n_all(self, X, groups):
        models, datasets = (id_codes(ids)[1] for ids in _read_both(X, groups, self.model, self.dataset))
        return len(_distinct_pairs(models, datasets)[0])

    def _masks(self, X, groups):
        models, datasets = _read_both(X, groups, self.model, self.dataset)
        rng = self._random()
        models, datasets = self._folds(models, "model", rng), self._folds(datasets, "dataset", rng)
        if self.n_splits == "all":
            held_models, held_datasets, _ = _distinct_pairs(models, datasets)
        else:
            held_models = held_datasets = np.arange(self.n_splits)
        for held_model, held_dataset in zip(held_models, held_datasets, strict=True):
            model, dataset = models == held_model, datasets == held_dataset
            yield ~(model | dataset), model & dataset


def _distinct_pairs(models, datasets):
    """The distinct pairs of two codes, dataset by dataset, and which of them each row is."""
    n_models = models.max(initial=-1) + 1
    pairs, rows = np.unique(datasets * n_models + models, return_inverse=True)
    return pairs % n_models, pairs // n_models, rows.reshape(-1)


class MissingEdges(_Splitter):
    """Hide a share of every dataset's results, from few to all of them: the protocol of the SCG4Trf paper.

    In each split the datasets are put in random order into ``len(ratios)`` groups of (nearly) equal size; each dataset
    of group ``i`` keeps ``int(n * ratios[i])`` of its ``n`` models, chosen at random, as known results to train on. The
    rest is the test set. All rows of a (model, dataset) pair stay together.

    Parameters
    ----------
    ratios : sequence of float, default=(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
        Share of known results in each group of datasets, between 0 and 1.
    n_splits : int, default=10
        Number of independent splits.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same splits in every call.
    model, dataset : str, default="model", "dataset"
        Names of the id columns.
    generator : {"numpy", "torch"}, default="numpy"
        ``"numpy"`` splits depend on ``random_state`` and the ids, not on the order of the rows.
        ``"torch"`` splits are those of the paper's published code, bit for bit: split ``j`` is seeded with ``j``, draws
        ``j + 1`` sets of masks and uses the last. Models and datasets are numbered as they first appear in ``X``, so
        the rows must come in the order of the published matrix (its models from top to bottom, its datasets from left
        to right). ``random_state`` must be None. Needs torch.

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat.model_selection import MissingEdges
    >>> X = pd.DataFrame({"model": list("abcd") * 2, "dataset": ["x"] * 4 + ["y"] * 4})
    >>> for train, test in MissingEdges((0.5, 0.0), n_splits=2, random_state=0).split(X):
    ...     print(len(train), len(test))
    2 6
    2 6
    """

    def __init__(
        self,
        ratios=(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0),
        n_splits=10,
        random_state=None,
        *,
        model="model",
        dataset="dataset",
        generator="numpy",
    ):
        shares = np.ravel(ratios).tolist() if np.ndim(ratios) == 1 else []
        if not shares or not all(isinstance(share, Real) and 0 <= share <= 1 for share in shares):
            raise ValueError(f"Got ratios={ratios!r}, but expected a sequence of numbers between 0 and 1.")
        if not isinstance(n_splits, Integral) or isinstance(n_splits, bool) or n_splits < 1:
            raise ValueError(f"Got n_splits={n_splits!r}, but expected an integer of at least 1.")
        if generator not in ("numpy", "torch"):
            raise ValueError(f"Got generator={generator!r}, but expected 'numpy' or 'torch'.")
        if generator == "torch" and random_state is not None:
            raise ValueError(
                f"Got random_state={random_state!r}, but expected None: generator='torch' seeds split j with j."
            )
        self.ratios = ratios
        self.n_splits = n_splits
        self.random_state = random_state
        self.model = model
        self.dataset = dataset
        self.generator = generator

    def get_n_splits(self, X=None, y=None, groups=None):
        """Tell the number of splits.

        Parameters
        ----------
        X, y, groups : ignored

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def _masks(self, X, groups):
        models, datasets = _read_both(X, groups, self.model, self.dataset)
        number = _appearance if self.generator == "torch" else _canonical
        _, datasets, rows = _distinct_pairs(number(models), number(datasets))
        n_models = np.bincount(datasets)
        if len(n_models) < len(self.ratios):
            raise ValueError(
                f"Got {len(self.ratios)} ratios, but X has only {len(n_models)} distinct dataset id(s); expected at "
                "most one ratio a dataset."
            )
        ratios = np.repeat(self.ratios, [len(part) for part in np.array_split(n_models, len(self.ratios))])
        draw = self._torch_ranks if self.generator == "torch" else self._numpy_ranks
        for order, rank in draw(datasets, n_models):
            n_known = np.empty(len(order), dtype=np.int64)
            n_known[order] = n_models[order] * ratios  # cut to an integer as int() would
            known = (rank < n_known[datasets])[rows]
            yield known, ~known

    def _numpy_ranks(self, datasets, n_models):
        """For each split an order of the datasets, and a random rank of every pair within its dataset."""
        rng = check_random_state(self.random_state)
        first = np.cumsum(n_models) - n_models
        for _ in range(self.n_splits):
            order = rng.permutation(len(n_models))
            rank = np.empty(len(datasets), dtype=np.int64)
            rank[np.lexsort((rng.uniform(size=len(datasets)), datasets))] = np.arange(len(datasets))
            yield order, rank - first[datasets]

    def _torch_ranks(self, datasets, n_models):
        """The same, drawn in the order in which the published code draws them."""
        import torch

        first = np.cumsum(n_models) - n_models
        for number in range(self.n_splits):
            generator = torch.Generator().manual_seed(number)
            for _ in range(number + 1):
                order = torch.randperm(len(n_models), generator=generator).numpy()
                drawn = [torch.randperm(int(n_models[d]), generator=generator).numpy() for d in order]
            rank = np.empty(len(datasets), dtype=np.int64)
            for dataset, pairs in zip(order, drawn, strict=True):
                rank[first[dataset] + pairs] = np.arange(len(pairs))
            yield order, rank


def _appearance(ids):
    return pd.factorize(ids)[0]


def _canonical(ids):
    return id_codes(ids)[1]
