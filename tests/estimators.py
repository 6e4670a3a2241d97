"""Every public estimator, found by walking the package's names; small ones; and what a fit leaves behind, in bytes."""

import re
from dataclasses import fields, is_dataclass
from inspect import isabstract, isclass
from types import ModuleType

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, is_regressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import skgat
from skgat import MetadataEncoder

#: Small sizes, for time; everything else is the default.
SMALL = {
    "GraphEmbedder": {"max_iter": 5, "n_components": 4, "random_state": 0},
    "TransferabilityGAT": {"max_iter": 10, "hidden_dim": 8, "n_heads": 2, "n_estimators": 1, "random_state": 0},
}


def public_estimators():
    """The classes, by name."""
    names = [getattr(skgat, name) for name in skgat.__all__]
    modules = [value for value in names if isinstance(value, ModuleType)]
    names += [getattr(module, name) for module in modules for name in getattr(module, "__all__", ())]
    classes = {
        value for value in names if isclass(value) and issubclass(value, BaseEstimator) and not isabstract(value)
    }
    return sorted(classes, key=lambda class_: class_.__name__)


def instance(class_, **params):
    """A small one, with a seed where it takes one."""
    seed = {"random_state": 0} if "random_state" in class_().get_params() else {}
    return class_(**SMALL.get(class_.__name__, {}) | seed | params)


def reads_records(class_):
    """Whether it is fitted on records, not on networks or features."""
    return {"model", "dataset"} <= class_().get_params().keys()


def record_estimators():
    """Small ones of all that are fitted on records."""
    return [instance(class_) for class_ in public_estimators() if reads_records(class_)]


def recommenders():
    """What predicts scores from raw records: each regressor behind an encoder, each transformer before a regressor."""
    pipelines = {}
    for estimator in record_estimators():
        name = type(estimator).__name__
        if is_regressor(estimator):
            pipelines[name] = make_pipeline(MetadataEncoder(), estimator)
        elif name == "MetadataEncoder":
            pipelines[name] = make_pipeline(estimator.set_params(output="features"), Ridge())
        else:
            pipelines[name] = make_pipeline(MetadataEncoder(), estimator, Ridge())
    return pipelines


def state_bytes(thing):
    """All that an estimator (or what it holds) is made of; equal bytes are equal states.

    Written out part by part, because pickles of equal objects differ by which of their parts are one object.
    """
    return b"".join(_parts(thing))


def _parts(thing):
    yield type(thing).__qualname__.encode()
    if isinstance(thing, np.ndarray) and thing.dtype == object:
        yield repr(thing.shape).encode()
        yield from _parts(thing.ravel().tolist())
    elif isinstance(thing, np.ndarray | np.generic):
        yield f"{thing.dtype}{thing.shape}".encode() + np.ascontiguousarray(thing).tobytes()
    elif isinstance(thing, list | tuple):
        yield repr(len(thing)).encode()
        for item in thing:
            yield from _parts(item)
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield repr(key).encode()
            yield from _parts(value)
    elif isinstance(thing, pd.DataFrame | pd.Series | pd.Index):
        yield from _parts(_columns(thing))
    elif sparse.issparse(thing):
        yield from _parts([thing.data, thing.indices, thing.indptr, thing.shape])
    elif thing is None or isinstance(thing, str | bytes | int | float | type | np.dtype | pd.Timestamp):
        yield repr(thing).encode()
    else:
        yield from _parts(_attributes(thing))


def _columns(frame):
    if isinstance(frame, pd.DataFrame):
        return [frame.index, list(frame.columns), [frame[column].to_numpy() for column in frame.columns]]
    return [frame.name, str(frame.dtype), frame.to_numpy()]


def _attributes(thing):
    if is_dataclass(thing):
        return {field.name: getattr(thing, field.name) for field in fields(thing)}
    if isinstance(thing, BaseEstimator):
        # Callbacks are no part of what was learned, and what ends in _id is an address in memory.
        return {name: value for name, value in vars(thing).items() if not re.search("^_skl_|_id$", name)}
    if callable(thing):
        return {"name": thing.__qualname__}
    state = thing.__getstate__()
    if state is None:
        raise TypeError(f"no way to write out {type(thing)}")
    return {"state": state}
