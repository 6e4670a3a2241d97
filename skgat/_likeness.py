"""How much alike the nodes of one side are: by a table that the caller has, else by their features."""

__all__ = ["Likeness", "make_likeness", "read_similarity"]

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ._frames import as_pandas, is_frame, is_numeric
from .graph import neighbors
from .records import lookup_ids


@dataclass(frozen=True)
class Likeness:
    """Similarities of nodes to the known nodes of one side, between 0 and 1.

    Attributes
    ----------
    ids : array of shape (n_listed,)
        Whom the table has a row for.
    table : float array of shape (n_listed, n_known)
        Their similarities to the known nodes. A row of the table comes before features.
    features : float array of shape (n_known, n_features)
        Of the known nodes, scaled.
    center, scale : float arrays of shape (n_features,)
        How features are scaled.
    bandwidth : float
        The distance at which a similarity by features has fallen to exp(-1/2).
    n_neighbors : int
    """

    ids: np.ndarray
    table: np.ndarray
    features: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    bandwidth: float
    n_neighbors: int

    def listed(self, ids):
        """The row that the table has for each id; -1 for none."""
        return lookup_ids(self.ids, ids)

    def edges(self):
        """Edges between the known nodes: each to its most similar ones.

        Returns
        -------
        left, right : integer arrays of shape (n_edges,)
            ``left`` is the smaller position.
        weights : float array of shape (n_edges,)
        """
        if len(self.ids):
            near, weights = self.among_known()
        else:
            near, distances = neighbors(self.features, self.features, self.n_neighbors, exclude_self=True)
            weights = self._by_distance(distances)
        rows = np.repeat(np.arange(len(near)), near.shape[1])
        keys = np.minimum(rows, near.ravel()) * len(near) + np.maximum(rows, near.ravel())
        kept = weights.ravel() > 0
        keys, codes = np.unique(keys[kept], return_inverse=True)
        strongest = np.zeros(len(keys))
        np.maximum.at(strongest, codes.reshape(-1), weights.ravel()[kept])
        return *np.divmod(keys, max(len(near), 1)), strongest

    def among_known(self):
        """The other known nodes that the table says are most similar to each known node.

        Returns
        -------
        near : integer array of shape (n_known, k)
        weights : float array of shape (n_known, k)
        """
        known = np.arange(self.table.shape[1])
        weights = self.table[: len(known)].copy()
        weights[known, known] = -1.0
        return self._most(weights, len(known) - 1)

    def by_table(self, rows):
        """The known nodes that the table says are most similar to those of the given rows.

        Returns
        -------
        near : integer array of shape (n_rows, k)
        weights : float array of shape (n_rows, k)
        """
        return self._most(self.table[rows], self.table.shape[1])

    def nearest(self, ids, features):
        """The known nodes that are most similar to nodes that may be unknown.

        Parameters
        ----------
        ids : array of shape (n_nodes,)
        features : float array of shape (n_nodes, n_features)

        Returns
        -------
        near : integer array of shape (n_nodes, k)
        weights : float array of shape (n_nodes, k)
            Zero where there is no similar node.
        """
        near, distances = neighbors((features - self.center) / self.scale, self.features, self.n_neighbors)
        weights = self._by_distance(distances)
        rows = self.listed(ids)
        listed = rows >= 0
        if listed.any():
            best, strengths = self.by_table(rows[listed])
            if not near.shape[1]:
                near, weights = np.zeros((len(ids), best.shape[1]), dtype=np.int64), np.zeros((len(ids), best.shape[1]))
            near[listed], weights[listed] = best, strengths
        return near, weights

    def _most(self, weights, n_others):
        k = min(self.n_neighbors, n_others)
        best = np.argsort(-weights, axis=1, kind="stable")[:, :k]
        return best, np.take_along_axis(weights, best, axis=1)

    def _by_distance(self, distances):
        return np.exp(-0.5 * (distances / self.bandwidth) ** 2)


def make_likeness(known, features, n_neighbors, similarity=None):
    """Learn what is alike from the known nodes.

    Parameters
    ----------
    known : array of ids
    features : float array of shape (n_known, n_features)
    n_neighbors : int
    similarity : pandas.DataFrame, optional
        What :func:`read_similarity` returned.

    Returns
    -------
    Likeness
    """
    center, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale <= 1e-12 * np.abs(center), 1.0, scale)
    scaled = (features - center) / scale
    _, distances = neighbors(scaled, scaled, n_neighbors, exclude_self=True)
    typical = float(np.median(distances)) if distances.size else 0.0
    ids, table = np.array([], dtype=object), np.zeros((0, len(known)))
    if similarity is not None:
        ids, table = _in_order(similarity, known)
    return Likeness(ids, table, scaled, center, scale, typical if typical > 0 else 1.0, n_neighbors)


def _in_order(similarity, known):
    """The table with the known ids first in its rows, and alone in its columns."""
    ids = similarity.index.to_numpy(dtype=object)
    places = lookup_ids(ids, known)
    if (places < 0).any():
        raise ValueError(
            f"similarity has no row for {known[places < 0].tolist()[0]!r}, but expected one for every dataset of X."
        )
    order = np.concatenate([places, np.setdiff1d(np.arange(len(ids)), places)])
    return ids[order], similarity.to_numpy()[np.ix_(order, places)]


def read_similarity(similarity):
    """Check a square table of similarities and scale it to the range from 0 to 1.

    Parameters
    ----------
    similarity : frame
        The ids are the names of the columns, and the index of a pandas frame or else the first column.

    Returns
    -------
    pandas.DataFrame
        Zero on missing entries.
    """
    if not is_frame(similarity):
        raise TypeError(f"similarity must be a dataframe, got {type(similarity).__name__}.")
    frame = as_pandas(similarity, "similarity")
    first = frame.columns[0] if frame.shape[1] else None
    # Ids may be numbers, as similarities are: then the names of the other columns tell that the first holds them.
    if first is not None and (not is_numeric(frame[first]) or set(frame[first]) == set(frame.columns[1:])):
        frame = frame.set_index(first)
    if set(frame.index) != set(frame.columns) or len(frame) != frame.shape[1]:
        raise ValueError(
            f"similarity has {len(frame)} rows and {frame.shape[1]} columns of which not all have the same ids, but "
            "expected a square table with one row and one column for each dataset."
        )
    frame = frame[frame.index.tolist()]
    values = frame.to_numpy(dtype=np.float64, copy=True)
    if np.isinf(values).any():
        raise ValueError("similarity holds infinite values, but expected finite numbers or missing ones.")
    others = values[~np.eye(len(values), dtype=bool) & ~np.isnan(values)]
    if not others.size:
        raise ValueError("similarity holds no number outside its diagonal, but expected similarities of datasets.")
    low, spread = others.min(), np.ptp(others)
    values = np.clip((values - low) / spread, 0.0, 1.0) if spread > 0 else np.where(np.isnan(values), np.nan, 1.0)
    return pd.DataFrame(np.nan_to_num(values), index=frame.index, columns=frame.columns)
