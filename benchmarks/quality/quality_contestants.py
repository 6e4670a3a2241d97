"""Who takes part: every contestant is a scikit-learn regressor, ``fit(records, scores)`` and ``predict(records)``."""

__all__ = [
    "ABLATIONS",
    "ABLATION_SPLITS",
    "CONTESTANTS",
    "OURS",
    "Contestant",
    "ablations",
    "available",
    "build",
    "why_not",
]

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from quality_residual import OnResidual, OnStandardized
from quality_simple import MeasureAlone, ModelMean, RandomScores
from quality_sources import digest_of
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skgat import MetadataEncoder, TransferabilityGAT, baselines, presets

OURS = "gat"
#: Of those who take minutes or hours with more.
_MOST_RECORDS = 5_000


@dataclass(frozen=True)
class Contestant:
    """One contestant.

    Attributes
    ----------
    name : str
        Short, as in file names.
    title : str
        As in the tables.
    make : callable
        Builds the estimator.
    column : str or None
        A column that the records must have.
    packages : tuple of str
        What must be installed.
    most_records : int or None
        Of more it cannot learn in a reasonable time.
    """

    name: str
    title: str
    make: Callable
    column: str | None = None
    packages: tuple = ()
    most_records: int | None = None

    def missing(self):
        """The packages that are not there."""
        return [name for name in self.packages if not _is_there(name)]


def _is_there(name):
    module, _, attribute = name.partition(":")
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
    return found and (not attribute or hasattr(importlib.import_module(module), attribute))


def _numbers(regressor):
    """On what the encoder makes of the metadata; without names, which some libraries restrict."""
    return make_pipeline(MetadataEncoder(output="features"), FunctionTransformer(np.asarray), regressor)


def _ridge():
    return _numbers(make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13))))


def _forest():
    return _numbers(RandomForestRegressor(random_state=0))


def _boosting():
    return _numbers(HistGradientBoostingRegressor(random_state=0))


def _lightgbm():
    from lightgbm import LGBMRegressor

    return _numbers(LGBMRegressor(random_state=0, n_jobs=1, verbose=-1))


def _xgboost():
    from xgboost import XGBRegressor

    return _numbers(XGBRegressor(random_state=0, n_jobs=1))


def _gaussian_process(standardize):
    from quality_gp import PairGaussianProcess

    return PairGaussianProcess(standardize=standardize, random_state=0)


def _encoded(make):
    return make_pipeline(MetadataEncoder(), make())


def _transfer_space():
    return make_pipeline(MetadataEncoder(), baselines.TransferSpaceRegressor(random_state=0))


def _graph_embedding(regressor):
    from skgat.embedding import GraphEmbedder

    embedder = GraphEmbedder("node2vec+", random_state=0)
    return make_pipeline(MetadataEncoder(), embedder, FunctionTransformer(np.asarray), regressor())


def _embedding_boosting():
    from xgboost import XGBRegressor

    return _graph_embedding(partial(XGBRegressor, random_state=0, n_jobs=1))


_LEARNERS = (
    ("ridge", "ridge", _ridge, ()),
    ("forest", "random forest", _forest, ()),
    ("boosting", "HistGradientBoosting", _boosting, ()),
    ("lightgbm", "LightGBM", _lightgbm, ("lightgbm",)),
    ("xgboost", "XGBoost", _xgboost, ("xgboost",)),
)


def _on(wrapper, make):
    return wrapper(make())


def _all():
    yield Contestant("random", "random", partial(RandomScores, random_state=0))
    yield Contestant("mean", "model mean", ModelMean)
    yield Contestant("mean-z", "model mean (z)", partial(ModelMean, standardize=True))
    yield Contestant("logme", "LogME alone", partial(MeasureAlone, "pair__log_me"), column="pair__log_me")
    yield Contestant("bias", "BiasRegressor", baselines.BiasRegressor)
    yield Contestant("completion", "MatrixCompletion", partial(baselines.MatrixCompletion, random_state=0))
    yield Contestant("nearest", "NearestDatasets", partial(_encoded, baselines.NearestDatasets))
    for name, title, make, packages in _LEARNERS:
        yield Contestant(name, title, make, packages=packages)
    for name, title, make, packages in _LEARNERS:
        yield Contestant(f"bias-{name}", f"bias + {title}", partial(_on, OnResidual, make), packages=packages)
    for name, title, make, _ in _LEARNERS[:2]:
        yield Contestant(f"{name}-z", f"{title} (z)", partial(_on, OnStandardized, make))
    for name, title, standardize in (("gp", "Gaussian process", False), ("gp-z", "Gaussian process (z)", True)):
        yield Contestant(name, title, partial(_gaussian_process, standardize), most_records=_MOST_RECORDS)
    needs = ("skgat.baselines:TransferSpaceRegressor",)
    yield Contestant("space", "Fennec (TransferSpaceRegressor)", _transfer_space, packages=needs)
    needs = ("skgat.embedding:GraphEmbedder",)
    forest = partial(_graph_embedding, partial(RandomForestRegressor, random_state=0))
    title = "TransferGraph (node2vec+, random forest)"
    yield Contestant("embedding-forest", title, forest, packages=needs, most_records=_MOST_RECORDS)
    title = "TransferGraph (node2vec+, XGBoost)"
    yield Contestant("embedding-xgboost", title, _embedding_boosting, packages=(*needs, "xgboost"))
    for name, preset in (("g4trf", presets.g4trf), ("scg4trf", presets.scg4trf)):
        yield Contestant(name, f"presets.{name}()", partial(_encoded, partial(preset, random_state=0)))
    ours = partial(_encoded, partial(TransferabilityGAT, random_state=0))
    yield Contestant(OURS, "TransferabilityGAT()", ours)


CONTESTANTS = {contestant.name: contestant for contestant in _all()}

#: What is changed about the default, one thing at a time.
ABLATIONS = {
    "networks alone": {"kernel_weight": 0.0},
    "regression alone": {"kernel_weight": 1.0},
    "no trees": {"forest_weight": 0.0},
    "no completion of the rest": {"factor_weight": 0.0},
    "no additive part": {"additive": False},
    "linear decoder": {"decoder": "linear"},
    "mlp decoder": {"decoder": "mlp"},
    "no feature dropout": {"feature_dropout": 0.0},
    "no node dropout": {"node_dropout": 0.0},
    "no ranking loss": {"rank_weight": 0.0},
    "squared error": {"loss": "squared_error"},
    "no scores on edges": {"edge_features": False},
    "two layers": {"n_layers": 2},
    "similarity edges": {"n_neighbors": 5},
    "raw targets": {"target_transform": "none"},
    "z-scored targets": {"target_transform": "zscore"},
    "rank targets": {"target_transform": "rank"},
    "ensemble of 1": {"n_estimators": 1},
    "ensemble of 8": {"n_estimators": 8},
}

#: Where they are measured: matrix, scenario, the most splits.
ABLATION_SPLITS = (
    ("vision", "lodo", 11),
    ("vision", "new-models", 5),
    ("domainnet", "edges", 2),
    ("text", "lodo", 4),
    ("image", "lodo", 4),
    ("text", "new-models", 3),
    ("image", "hide20", 3),
)


def ablations():
    """The default with one argument changed, as contestants; what is the default anyway is left out."""
    defaults = TransferabilityGAT().get_params()
    found = {}
    for title, changed in ABLATIONS.items():
        if all(defaults[name] == value for name, value in changed.items()):
            continue
        name = "gat-" + "-".join(f"{key}={value}" for key, value in changed.items())
        make = partial(_encoded, partial(TransferabilityGAT, random_state=0, **changed))
        found[name] = Contestant(name, title, make)
    return found


def available(contestant, records):
    """Tell whether the contestant can take part with these records."""
    return not contestant.missing() and why_not(contestant, records) is None


def why_not(contestant, records):
    """What is wrong with the records for the contestant, or None."""
    if contestant.column is not None and contestant.column not in records.columns:
        return f"no column {contestant.column}"
    if contestant.most_records is not None and len(records) > contestant.most_records:
        return f"more than {contestant.most_records:,} records"
    return None


def build(contestant):
    """The estimator, and a text that changes whenever its arguments or the code behind it do."""
    estimator = contestant.make()
    params = {name: _plain(value) for name, value in estimator.get_params(deep=True).items()}
    return estimator, repr((type(estimator).__name__, sorted(params.items()), digest_of(estimator)))


def _plain(value):
    if hasattr(value, "get_params"):
        return type(value).__name__
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return getattr(value, "__qualname__", None) or repr(value)
