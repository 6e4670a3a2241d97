"""Models and datasets as a caller names them: by id, by their metadata, or in a frame of metadata."""

__all__ = ["Entities", "name_unnamed", "pair_up", "read_entities"]

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ._fitted import as_ids
from ._frames import as_pandas, is_frame
from .records import hashable_ids, id_codes


@dataclass(frozen=True)
class Entities:
    """Models or datasets: their ids, and what the caller said of them under the names that fit saw.

    Attributes
    ----------
    ids : array of object
    metadata : pandas.DataFrame
        One row an id; no columns when only ids were given.
    """

    ids: np.ndarray
    metadata: pd.DataFrame

    def __len__(self):
        return len(self.ids)

    def take(self, positions):
        """The entities at these positions."""
        return Entities(self.ids[positions], self.metadata.iloc[positions].reset_index(drop=True))


def read_entities(given, role, knowledge, unnamed):
    """Read models or datasets in any of the forms that a caller may use.

    Parameters
    ----------
    given : id, list of ids, dict or frame
    role : {"model", "dataset"}
    knowledge : Knowledge
        Of the recommender: its names and columns.
    unnamed : id
        What to call the one that comes without an id.

    Returns
    -------
    Entities
    """
    if isinstance(given, Mapping):
        frame = as_pandas(pd.DataFrame([{name: _alone(value) for name, value in given.items()}]), f"{role}s")
    elif is_frame(given):
        frame = as_pandas(given, f"{role}s")
    else:
        ids = _listed_ids(given, knowledge.ids[role])
        return _checked(ids, pd.DataFrame(index=range(len(ids))), role)
    column = knowledge.names[role]
    if column in frame.columns:
        ids = as_ids(frame.pop(column))
    elif frame.index.name == column or _names_rows(frame.index):
        ids = as_ids(frame.index)
    elif len(frame) == 1:
        ids = np.array([unnamed], dtype=object)
    else:
        raise ValueError(
            f"{role}s has no column {column!r} with the {role} ids; its columns are {list(frame.columns)}."
        )
    return _checked(ids, _rename(frame, role, knowledge).reset_index(drop=True), role)


def _names_rows(index):
    """Whether an index without a name can only hold ids; integers may count the rows of a table it was taken from."""
    return index.nlevels == 1 and index.name is None and not pd.api.types.is_integer_dtype(index)


def _alone(value):
    """What an array without dimensions holds; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _listed_ids(given, known):
    given = _alone(given)
    alone = not pd.api.types.is_list_like(given)
    if isinstance(given, tuple) and known is not None:
        # A tuple may be an id itself.
        alone = any(isinstance(id_, tuple) and id_ == given for id_ in known)
    return as_ids([given] if alone else given)


def _checked(ids, metadata, role):
    if not len(ids):
        raise ValueError(f"{role}s is empty, but expected at least one {role}.")
    missing = pd.isna(ids)
    if missing.any():
        raise ValueError(f"{role}s has a missing id at position {missing.argmax()}; every {role} needs an id.")
    known, codes = id_codes(hashable_ids(ids, f"{role}s", role))
    twice = np.bincount(codes) > 1
    if twice.any():
        raise ValueError(f"{role}s names {known[twice.argmax()]!r} more than once; every {role} id may occur once.")
    return Entities(ids, metadata)


def _rename(frame, role, knowledge):
    """Give each column the name it had in fit."""
    columns = knowledge.columns
    if columns is None and len(frame.columns):
        raise ValueError(
            f"{role}s has the column {frame.columns[0]!r}, but the recommender was fitted without column names and can "
            "read no metadata by name."
        )
    names = {column: _name_in_fit(column, role, columns) for column in frame.columns}
    unknown = [column for column, name in names.items() if name is None]
    if unknown:
        expected = [name for name, of in columns.items() if of == role]
        raise ValueError(
            f"{role}s has the column {unknown[0]!r}, which the recommender did not see in fit; the columns that "
            f"describe a {role} are {expected}."
        )
    twice = [column for column, name in names.items() if list(names.values()).count(name) > 1]
    if twice:
        raise ValueError(f"{role}s has the columns {twice[0]!r} and {twice[1]!r}, which mean the same.")
    return frame.rename(columns=names)


def _name_in_fit(column, role, columns):
    for name in (column, f"{role}__{column}"):
        if name in columns and columns[name] in (role, "drop", None):
            return name
    return None


def name_unnamed(knowledge, context=None):
    """What a dataset without an id is called: as the one in the context, else a name that no known dataset has."""
    if context is not None:
        ids = context[knowledge.names["dataset"]].dropna().unique()
        if len(ids) == 1:
            return ids[0]
    known = knowledge.ids["dataset"]
    name, taken = "new dataset", set() if known is None else set(known)
    while name in taken:
        name += "'"
    return name


def pair_up(datasets, models, knowledge):
    """All pairs, dataset by dataset, as a frame of records without scores.

    Parameters
    ----------
    datasets, models : Entities
    knowledge : Knowledge

    Returns
    -------
    pandas.DataFrame
    """
    of_dataset = np.repeat(np.arange(len(datasets)), len(models))
    of_model = np.tile(np.arange(len(models)), len(datasets))
    datasets, models = datasets.take(of_dataset), models.take(of_model)
    ids = pd.DataFrame({knowledge.names["model"]: models.ids, knowledge.names["dataset"]: datasets.ids})
    return pd.concat([ids.infer_objects(), models.metadata, datasets.metadata], axis=1)
