"""What the rows of a call say of a graph that is there already."""

__all__ = ["check_size", "read_features"]

import warnings

import numpy as np

from ..graph import SIDES
from ..records import ROLES


def check_size(graph):
    """Refuse a graph that nothing can be learned from; warn of one with a single node on a side."""
    if graph.n_edges < 2:
        raise ValueError("Found n_samples=1 record, but at least 2 records are required to learn from.")
    for side in SIDES:
        ids = getattr(graph, f"{side}s")
        if len(ids) == 1:
            what = "there is nothing to rank" if side == "model" else "how datasets differ cannot be learned"
            warnings.warn(f"X has a single {side}, {ids.tolist()[0]!r}: {what}.", UserWarning, stacklevel=4)


def read_features(graph, scaling, pairs, roles=ROLES, known=True):
    """The features of the rows, by role; what the call leaves out is filled from what fit saw.

    Parameters
    ----------
    graph : Graph
    scaling : dict of arrays
        With the average of each feature.
    pairs : Pairs
    roles : sequence of str
        Whose features are asked for.
    known : bool, default=True
        Whether those of models and datasets are asked for where nobody in the call is unknown.

    Returns
    -------
    tables : dict of arrays
        By role, one row a pair, in the columns of the graph.
    codes : dict of arrays
        By side: which node of the graph each row is about; -1 for an unknown one.
    bare : dict of sets
        By side, the ids that are not in the graph and come without a single feature, not even of their pairs.
    """
    codes = {side: graph.find(side, getattr(pairs, f"{side}s")) for side in SIDES if side in roles}
    tables, bare = {}, {side: set() for side in codes}
    if not known and all((places >= 0).all() for places in codes.values()):
        roles = [role for role in roles if role not in codes]
    measured = "pair" in roles and any(column in pairs.features for column in graph.pair_columns)
    for role in roles:
        columns = list(getattr(graph, f"{role}_columns"))
        lost = [column not in pairs.features for column in columns]
        values = pairs.features.reindex(columns=columns).to_numpy(dtype=np.float64, copy=True)
        values[:, lost] = scaling[f"{role}_center"][lost]
        if role in codes:
            ids, new = getattr(pairs, f"{role}s"), codes[role] < 0
            if new.any() and any(lost) and not all(lost):
                raise ValueError(
                    f"X has no column {columns[lost.index(True)]!r}, which is needed to place the unknown {role} "
                    f"{ids[new].tolist()[0]!r}."
                )
            if all(lost) and not measured:
                bare[role] = set(ids[new].tolist())
            values = np.where(new[:, None], values, getattr(graph, f"{role}_features")[codes[role]])
        tables[role] = values
    return tables, codes, bare
