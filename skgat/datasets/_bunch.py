"""The form in which every loader hands over what it has."""

__all__ = ["make_bunch"]

from sklearn.utils import Bunch

from ..records import make_records

IDS = ["model", "dataset"]
TARGET = "score"


def make_bunch(scores, models, datasets, pairs=None, *, descr, return_X_y=False, as_frame=True, **more):
    """Join scores and metadata to tidy records and bundle them in scikit-learn's form.

    Parameters
    ----------
    scores : DataFrame
        Columns ``model``, ``dataset``, ``score``, perhaps ``pair__*``; one row a record.
    models, datasets : DataFrame
        Metadata; the first column is the id.
    pairs : DataFrame, optional
        Columns ``model``, ``dataset`` and one per pair feature.
    descr : str
    return_X_y : bool, default=False
    as_frame : bool, default=True
        If False, ``data`` and ``target`` are numpy arrays.
    **more
        Further entries of the bunch.

    Returns
    -------
    Bunch, or (data, target) if ``return_X_y``
    """
    known = scores[IDS].merge(pairs, on=IDS, how="left") if pairs is not None else None
    records = make_records(scores, models, datasets, known)
    data, target = records.drop(columns=TARGET), records[TARGET]
    names = list(data.columns)
    if not as_frame:
        data, target = data.to_numpy(dtype=object), target.to_numpy()
    if return_X_y:
        return data, target
    if pairs is not None:
        more["pairs"] = pairs
    return Bunch(
        records=records,
        models=models,
        datasets=datasets,
        data=data,
        target=target,
        frame=records if as_frame else None,
        feature_names=names,
        target_names=[TARGET],
        DESCR=descr,
        **more,
    )
