"""How alike datasets are: by the features of a probe model, or by their labels."""

__all__ = ["domain_similarity", "label_similarity"]

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from ._features import as_mapping, read_datasets

_METRICS = ("cosine", "correlation", "euclidean")
_LEVELS = ("mean", "class_means")


def domain_similarity(features, metric="cosine", by="mean"):
    """Similarity of datasets in the eyes of one probe model.

    Parameters
    ----------
    features : dict or pandas.Series
        By dataset id: the probe model's features of shape (n_samples, n_features), the path of an ``.npy`` file with
        such, or a pair of one of these and labels.
    metric : {"cosine", "correlation", "euclidean"}, default="cosine"
        ``"cosine"`` and ``"correlation"`` are in [-1, 1]; ``"euclidean"`` is 1 / (1 + distance).
    by : {"mean", "class_means"}, default="mean"
        What is compared: the mean of all samples, or the means of the classes, each with the most similar one of the
        other dataset, averaged over the classes of both datasets. The latter needs labels.

    Returns
    -------
    pandas.DataFrame
        Symmetric; rows and columns are the dataset ids in the order given.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.embedding import domain_similarity
    >>> features = {"a": np.eye(2), "b": np.eye(2) * 3, "c": np.array([[1.0, 0.0], [1.0, 0.0]])}
    >>> domain_similarity(features).round(2)
    dataset     a     b     c
    dataset
    a        1.00  1.00  0.71
    b        1.00  1.00  0.71
    c        0.71  0.71  1.00
    """
    for name, value, choices in (("metric", metric, _METRICS), ("by", by, _LEVELS)):
        if value not in choices:
            raise ValueError(f"Got {name}={value!r}, but expected one of {list(choices)}.")
    ids, found = read_datasets(features, labels="needed" if by == "class_means" else "optional")
    tables = [moments.mean[None] if by == "mean" else moments.class_means for moments in found]
    points = np.concatenate(tables)
    similar = _similarities(points, metric)
    starts = np.concatenate([[0], np.cumsum([len(table) for table in tables])[:-1]])
    # The best match of each point in each dataset, then its average over the points of each dataset.
    best = np.maximum.reduceat(similar, starts, axis=1)
    matched = np.add.reduceat(best, starts, axis=0) / np.array([len(table) for table in tables])[:, None]
    return pd.DataFrame((matched + matched.T) / 2, index=ids, columns=ids)


def _similarities(points, metric):
    if metric == "euclidean":
        return 1.0 / (1.0 + cdist(points, points))
    if metric == "correlation":
        points = points - points.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    # A vector of zeros has no direction: it is like nothing but itself.
    directions = points / np.where(lengths > 0, lengths, 1.0)
    similar = np.clip(directions @ directions.T, -1.0, 1.0)
    np.fill_diagonal(similar, 1.0)
    return similar


def label_similarity(labels):
    """Similarity of datasets by the labels that they share: the Jaccard index of their label sets.

    Parameters
    ----------
    labels : dict or pandas.Series
        By dataset id: the labels, in any order; repeated ones count once.

    Returns
    -------
    pandas.DataFrame
        Symmetric; rows and columns are the dataset ids in the order given.

    Examples
    --------
    >>> from skgat.embedding import label_similarity
    >>> label_similarity({"pets": ["cat", "dog"], "farm": ["dog", "cow", "hen"]})
    dataset  pets  farm
    dataset
    pets     1.00  0.25
    farm     0.25  1.00
    """
    labels = as_mapping(labels, "labels")
    if not isinstance(labels, Mapping):
        raise TypeError(
            f"Got labels of type {type(labels).__name__}, but expected a dict from dataset ids to their labels."
        )
    sets = {name: _label_set(name, values) for name, values in labels.items()}
    every = {label: i for i, label in enumerate(dict.fromkeys(label for values in sets.values() for label in values))}
    sizes = np.array([len(values) for values in sets.values()], dtype=np.float64)
    columns = [every[label] for values in sets.values() for label in values]
    rows = np.repeat(np.arange(len(sets)), sizes.astype(np.int64))
    table = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(sets), max(1, len(every))))
    shared = (table @ table.T).toarray()
    ids = pd.Index(list(sets), name="dataset")
    return pd.DataFrame(shared / (sizes[:, None] + sizes - shared), index=ids, columns=ids)


def _label_set(name, values):
    if isinstance(values, str) or not pd.api.types.is_list_like(values):
        raise TypeError(f"Got {values!r} as the labels of dataset {name!r}, but expected a list of labels.")
    values = set(values.tolist() if hasattr(values, "tolist") else values)
    if not values:
        raise ValueError(f"Got no labels for dataset {name!r}, but expected at least 1.")
    return values
