"""A larger history, measured here: scikit-learn's classifiers on small tasks, 300 x 500 with 17 % of the pairs.

No other matrix has so many results that what only many of them can teach would be seen. A model is a classifier with
drawn arguments, a task a drawn part of one of scikit-learn's own tables or generators, a score the accuracy on samples
that the classifier has not seen. Some models and some tasks are tried more often than others, as everywhere.
"""

__all__ = ["load_classifiers", "measure"]

import warnings
from functools import cache, partial

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from quality_sources import ROOT
from sklearn import datasets, discriminant_analysis, ensemble, linear_model, naive_bayes, neighbors, svm, tree
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skgat._files import replace_file

_FILE = ROOT / "build" / "classifiers.csv"
_MODELS, _TASKS, _FILL = 300, 500, 0.17
_LEAST_TRAINING, _MOST_TRAINING, _TEST = 60, 250, 250
#: How unequal the numbers of results are: the deviation of their logarithms.
_POPULARITY = 0.7

_PREPARATIONS = {
    "none": (),
    "standard": (StandardScaler,),
    "minmax": (MinMaxScaler,),
    "pca": (StandardScaler, lambda: PCA(0.9)),
}
#: By family: how it is made of the arguments, which of them it has, and the kinds that there are.
_FAMILIES = {
    "logistic": (lambda c: linear_model.LogisticRegression(C=c["strength"], max_iter=60), ["strength"], ()),
    "ridge": (lambda c: linear_model.RidgeClassifier(c["strength"]), ["strength"], ()),
    "sgd": (lambda c: linear_model.SGDClassifier(alpha=1e-3 * c["strength"], random_state=0), ["strength"], ()),
    "perceptron": (
        lambda c: linear_model.Perceptron(alpha=1e-3 * c["strength"], penalty="l2", random_state=0), ["strength"], (),
    ),
    "svm": (
        lambda c: svm.SVC(C=c["strength"], kernel=c["kind"], max_iter=2000),
        ["strength"], ("rbf", "linear", "poly", "sigmoid"),
    ),
    "neighbors": (
        lambda c: neighbors.KNeighborsClassifier(c["size"], weights=c["kind"]), ["size"], ("uniform", "distance"),
    ),
    "centroid": (lambda c: neighbors.NearestCentroid(shrink_threshold=c["strength"] / 100), ["strength"], ()),
    "gaussian": (lambda c: naive_bayes.GaussianNB(var_smoothing=1e-4 * c["strength"]), ["strength"], ()),
    "bernoulli": (lambda c: naive_bayes.BernoulliNB(alpha=c["strength"]), ["strength"], ()),
    "lda": (
        lambda c: discriminant_analysis.LinearDiscriminantAnalysis("lsqr", shrinkage=min(c["strength"] / 400, 1.0)),
        ["strength"], (),
    ),
    "qda": (
        lambda c: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=min(c["strength"] / 400, 1.0)),
        ["strength"], (),
    ),
    "tree": (lambda c: tree.DecisionTreeClassifier(max_depth=c["depth"], random_state=0), ["depth"], ()),
    "forest": (
        lambda c: ensemble.RandomForestClassifier(c["size"], max_depth=c["depth"], random_state=0),
        ["size", "depth"], (),
    ),
    "extra trees": (
        lambda c: ensemble.ExtraTreesClassifier(c["size"], max_depth=c["depth"], random_state=0),
        ["size", "depth"], (),
    ),
    "boosting": (
        lambda c: ensemble.GradientBoostingClassifier(
            n_estimators=c["size"], max_depth=min(c["depth"], 4), random_state=0
        ),
        ["size", "depth"], (),
    ),
    "adaboost": (lambda c: ensemble.AdaBoostClassifier(n_estimators=c["size"], random_state=0), ["size"], ()),
    "network": (
        lambda c: MLPClassifier((4 + 2 * c["size"],), alpha=1e-2 * c["strength"], max_iter=40, random_state=0),
        ["strength", "size"], (),
    ),
}  # fmt: skip


def load_classifiers():
    """The records; they are measured once, which takes minutes, and kept in ``build``."""
    if not _FILE.exists():
        _FILE.parent.mkdir(parents=True, exist_ok=True)
        replace_file(_FILE, measure().to_csv(index=False).encode())
    # "none" is a preparation and a kind, not a missing value.
    return pd.read_csv(_FILE, keep_default_na=False, na_values=[""])


def measure(n_models=_MODELS, n_tasks=_TASKS, fill=_FILL, n_jobs=-1):
    """Fit and score the classifiers.

    Parameters
    ----------
    n_models, n_tasks : int
    fill : float
        Share of the pairs that are measured, about.
    n_jobs : int
        Processes, as joblib takes it.

    Returns
    -------
    frame of records
    """
    chosen = _chosen(n_models, n_tasks, fill)
    found = Parallel(n_jobs=n_jobs)(
        delayed(_measure_task)(task, np.flatnonzero(chosen[:, task])) for task in range(n_tasks)
    )
    return pd.DataFrame([record for records in found for record in records])


def _chosen(n_models, n_tasks, fill):
    rng = np.random.default_rng([0, n_models, n_tasks])
    popular = np.outer(*(np.exp(_POPULARITY * rng.normal(size=size)) for size in (n_models, n_tasks)))
    # Nobody is tried more than once, so that the popular ones leave something to the others.
    low, high = 0.0, 1.0 / popular.min()
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if np.minimum(middle * popular, 1.0).mean() < fill else (low, middle)
    return rng.random(popular.shape) < low * popular


def _measure_task(number, models):
    about, train, test = _task(number)
    records = []
    for model in models:
        told, estimator = _model(model)
        with warnings.catch_warnings():
            # Few steps and collinear columns are part of the history.
            warnings.simplefilter("ignore")
            try:
                score = estimator.fit(*train).score(*test)
            except np.linalg.LinAlgError:
                continue  # too few samples of a class for its covariance: no result, as a user would have none
        records.append({**told, **about, "score": score})
    return records


def _model(number):
    """Metadata of a model, and the classifier."""
    rng = np.random.default_rng([1, number])
    family = str(rng.choice(list(_FAMILIES)))
    preparation = str(rng.choice(list(_PREPARATIONS)))
    make, has, kinds = _FAMILIES[family]
    arguments = {
        "strength": float(np.exp(rng.uniform(-6.0, 6.0))),
        "size": int(rng.integers(1, 15)),
        "depth": int(rng.integers(1, 15)),
        "kind": str(rng.choice(kinds)) if kinds else "none",
    }
    told = {name: arguments[name] if name in has else np.nan for name in ("strength", "size", "depth")}
    record = {"model": f"model_{number:03d}", "model__family": family, "model__preparation": preparation}
    record |= {"model__kind": arguments["kind"], "model__log_strength": np.log(told["strength"])}
    record |= {f"model__{name}": told[name] for name in ("size", "depth")}
    return record, make_pipeline(*(part() for part in _PREPARATIONS[preparation]), make(arguments))


def _task(number):
    """Metadata of a task, and samples with their labels to learn from and to be scored on."""
    rng = np.random.default_rng([2, number])
    source = str(rng.choice(list(_SOURCES)))
    size = int(np.exp(rng.uniform(np.log(_LEAST_TRAINING), np.log(_MOST_TRAINING))))
    samples, labels = _SOURCES[source](rng, size + _TEST)
    # Units that differ, as those of measured things do.
    samples = samples * np.exp(rng.choice([0.0, 1.0, 2.0]) * rng.normal(size=samples.shape[1]))
    order = rng.permutation(len(labels))
    size = min(size, len(labels) // 2)
    labels = np.unique(labels, return_inverse=True)[1]
    shares = np.bincount(labels) / len(labels)
    record = {
        "dataset": f"task_{number:03d}",
        "dataset__source": source,
        "dataset__log_size": np.log(size),
        "dataset__n_features": samples.shape[1],
        "dataset__n_classes": len(shares),
        "dataset__majority": shares.max(),
    }
    train, test = order[:size], order[size : size + _TEST]
    return record, (samples[train], labels[train]), (samples[test], labels[test])


def _with_noise_columns(rng, samples, most):
    return np.column_stack([samples, rng.normal(size=(len(samples), rng.integers(most)))])


def _some_columns(rng, samples, least):
    return samples[:, np.sort(rng.permutation(samples.shape[1])[: rng.integers(least, samples.shape[1] + 1)])]


@cache
def _table(name):
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def _digits(rng, _):
    samples, labels = _table("digits")
    rows = np.isin(labels, rng.permutation(10)[: rng.integers(2, 11)])
    samples = samples[rows] / 16.0 + rng.choice([0.0, 0.0, 0.2, 0.5]) * rng.normal(size=(rows.sum(), 64))
    return (_some_columns(rng, samples, 8) if rng.random() < 0.3 else samples), labels[rows]


def _measured(name, rng, _):
    samples, labels = _table(name)
    samples = _some_columns(rng, samples, 2)
    return samples + rng.choice([0.0, 0.5, 1.0]) * samples.std(axis=0) * rng.normal(size=samples.shape), labels


def _seed(rng):
    return int(rng.integers(2**31))


def _clusters(rng, size):
    n_features = int(rng.integers(4, 40))
    informative = int(rng.integers(3, max(n_features // 2, 3) + 1))
    return datasets.make_classification(
        size,
        n_features,
        n_informative=informative,
        n_redundant=min(int(rng.integers(4)), n_features - informative),
        n_classes=int(rng.integers(2, 5)),
        n_clusters_per_class=int(rng.integers(1, 3)),
        class_sep=rng.choice([0.5, 1.0, 2.0]),
        flip_y=rng.choice([0.0, 0.05, 0.2]),
        random_state=_seed(rng),
    )


def _moons(rng, size):
    samples, labels = datasets.make_moons(size, noise=rng.choice([0.05, 0.2, 0.4]), random_state=_seed(rng))
    return _with_noise_columns(rng, samples, 10), labels


def _circles(rng, size):
    noise, factor = rng.choice([0.02, 0.1, 0.2]), rng.choice([0.3, 0.6, 0.8])
    samples, labels = datasets.make_circles(size, noise=noise, factor=factor, random_state=_seed(rng))
    return _with_noise_columns(rng, samples, 6), labels


def _quantiles(rng, size):
    n_features, n_classes = int(rng.integers(2, 15)), int(rng.integers(2, 5))
    return datasets.make_gaussian_quantiles(
        n_samples=size, n_features=n_features, n_classes=n_classes, random_state=_seed(rng)
    )


def _friedman(rng, size):
    noise = rng.choice([0.0, 1.0, 4.0])
    samples, values = datasets.make_friedman1(size, int(rng.integers(5, 15)), noise=noise, random_state=_seed(rng))
    return samples, values > np.median(values)


_SOURCES = {
    "digits": _digits,
    "breast_cancer": partial(_measured, "breast_cancer"),
    "wine": partial(_measured, "wine"),
    "clusters": _clusters,
    "moons": _moons,
    "circles": _circles,
    "hastie": lambda rng, size: datasets.make_hastie_10_2(size, random_state=_seed(rng)),
    "quantiles": _quantiles,
    "friedman": _friedman,
}
