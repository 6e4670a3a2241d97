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
    "code_of",
]

import ast
import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from quality_residual import OnResidual, OnStandardized
from quality_simple import MeasureAlone, ModelMean, RandomScores
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skgat
from skgat import MetadataEncoder, TransferabilityGAT, baselines, presets

ROOT = Path(skgat.__file__).resolve().parent.parent
OURS = "gat"

_HERE = "benchmarks/quality"
_IDS = ("skgat/records.py", "skgat/graph.py", "skgat/baselines/_additive.py")
_ENCODER = ("skgat/records.py", "skgat/_frames.py", "skgat/_columns.py", "skgat/encoder.py")
_GAT = (*_ENCODER, "skgat/graph.py", "skgat/gat")
_BIAS = (*_IDS, "skgat/baselines/bias.py")


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
    sources : tuple of str
        The files and folders of the repository that decide what it predicts: when one changes, results are stale.
    column : str or None
        A column that the records must have.
    packages : tuple of str
        What must be installed.
    """

    name: str
    title: str
    make: Callable
    sources: tuple
    column: str | None = None
    packages: tuple = ()

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
    return make_pipeline(MetadataEncoder(), baselines.TransferSpaceRegressor())


def _without_ids(X):
    return X.drop(columns=["model", "dataset", "score"], errors="ignore").to_numpy(dtype=float)


def _graph_embedding(regressor):
    from skgat.embedding import GraphEmbedder

    embedder = GraphEmbedder("node2vec+", random_state=0)
    return make_pipeline(MetadataEncoder(), embedder, FunctionTransformer(_without_ids), regressor())


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
    simple = (f"{_HERE}/quality_simple.py",)
    yield Contestant("random", "random", partial(RandomScores, random_state=0), simple)
    yield Contestant("mean", "model mean", ModelMean, simple)
    yield Contestant("mean-z", "model mean (z)", partial(ModelMean, standardize=True), simple)
    measure = partial(MeasureAlone, "pair__log_me")
    yield Contestant("logme", "LogME alone", measure, simple, "pair__log_me")
    yield Contestant("bias", "BiasRegressor", baselines.BiasRegressor, _BIAS)
    completion = partial(baselines.MatrixCompletion, random_state=0)
    yield Contestant("completion", "MatrixCompletion", completion, (*_IDS, "skgat/baselines/matrix_completion.py"))
    nearest = partial(_encoded, baselines.NearestDatasets)
    nearest_sources = (*_ENCODER, "skgat/graph.py", "skgat/baselines/nearest_datasets.py")
    yield Contestant("nearest", "NearestDatasets", nearest, nearest_sources)
    for name, title, make, packages in _LEARNERS:
        yield Contestant(name, title, make, _ENCODER, packages=packages)
    for name, title, make, packages in _LEARNERS:
        sources = (*_ENCODER, *_BIAS, f"{_HERE}/quality_residual.py")
        residual = partial(_on, OnResidual, make)
        yield Contestant(f"bias-{name}", f"bias + {title}", residual, sources, packages=packages)
    for name, title, make, _ in _LEARNERS[:2]:
        standardized = partial(_on, OnStandardized, make)
        yield Contestant(f"{name}-z", f"{title} (z)", standardized, (*_ENCODER, f"{_HERE}/quality_residual.py"))
    for name, title, standardize in (("gp", "Gaussian process", False), ("gp-z", "Gaussian process (z)", True)):
        make = partial(_gaussian_process, standardize)
        yield Contestant(name, title, make, (*_ENCODER, f"{_HERE}/quality_gp.py"))
    space_sources = (*_ENCODER, "skgat/graph.py", "skgat/baselines")
    needs = ("skgat.baselines:TransferSpaceRegressor",)
    yield Contestant("space", "Fennec (TransferSpaceRegressor)", _transfer_space, space_sources, packages=needs)
    graph_sources = (*_ENCODER, "skgat/graph.py", "skgat/embedding")
    needs = ("skgat.embedding:GraphEmbedder",)
    forest = partial(_graph_embedding, partial(RandomForestRegressor, random_state=0))
    title = "TransferGraph (node2vec+, random forest)"
    yield Contestant("embedding-forest", title, forest, graph_sources, packages=needs)
    title = "TransferGraph (node2vec+, XGBoost)"
    yield Contestant("embedding-xgboost", title, _embedding_boosting, graph_sources, packages=(*needs, "xgboost"))
    for name, preset in (("g4trf", presets.g4trf), ("scg4trf", presets.scg4trf)):
        make = partial(_encoded, partial(preset, random_state=0))
        yield Contestant(name, f"presets.{name}()", make, _GAT)
    ours = partial(_encoded, partial(TransferabilityGAT, random_state=0))
    yield Contestant(OURS, "TransferabilityGAT()", ours, _GAT)


CONTESTANTS = {contestant.name: contestant for contestant in _all()}

#: What is changed about the default, one thing at a time.
ABLATIONS = {
    "no additive part": {"additive": False},
    "linear decoder": {"decoder": "linear"},
    "mlp decoder": {"decoder": "mlp"},
    "no feature dropout": {"feature_dropout": 0.0},
    "no node dropout": {"node_dropout": 0.0},
    "no ranking loss": {"rank_weight": 0.0},
    "squared error": {"loss": "squared_error"},
    "no scores on edges": {"edge_features": False},
    "one layer": {"n_layers": 1},
    "similarity edges": {"n_neighbors": 5},
    "raw targets": {"target_transform": "none"},
    "z-scored targets": {"target_transform": "zscore"},
    "rank targets": {"target_transform": "rank"},
    "ensemble of 1": {"n_estimators": 1},
    "ensemble of 8": {"n_estimators": 8},
}

#: Where they are measured: matrix, scenario, the most splits.
ABLATION_SPLITS = (
    ("domainnet", "edges", 3),
    ("image", "lodo", 8),
    ("text", "lodo", 8),
    ("vision", "lodo", 11),
    ("image", "hide20", 2),
    ("text", "new-models", 3),
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
        found[name] = Contestant(name, title, make, _GAT)
    return found


def available(contestant, records):
    """Tell whether the contestant can take part with these records."""
    return not contestant.missing() and (contestant.column is None or contestant.column in records.columns)


def build(contestant):
    """The estimator, and a text that changes whenever its arguments or the code behind it do."""
    estimator = contestant.make()
    params = {name: _plain(value) for name, value in estimator.get_params(deep=True).items()}
    return estimator, repr((type(estimator).__name__, sorted(params.items()), _digest(contestant.sources)))


def _plain(value):
    if hasattr(value, "get_params"):
        return type(value).__name__
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return getattr(value, "__qualname__", None) or repr(value)


@cache
def _digest(sources):
    """A digest of the code of these files; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for source in sorted(set(sources)):
        path = ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(code_of(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def code_of(text):
    """What is left of a module without its comments and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            node.body = body[1:]
    return ast.dump(tree)
