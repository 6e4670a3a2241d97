"""Pairs of a call through everything that has a say in their prediction, in numpy alone."""

__all__ = ["end_of", "predict_columns", "predict_of_terms", "predict_pairs"]

import numpy as np

from ..graph import SIDES
from ..records import ROLES, on_any_model, read_pairs
from .inference import ASKED_OF_KNOWN, CASES, End
from .reading import read_features

#: Pairs that are predicted at once: their terms stay in the processor's cache.
_BLOCK = 1024
#: Models that are put beside one dataset at once, so that what is computed of them stays there too.
_COLUMN = 8_192


def predict_pairs(estimator, X, ranking=False):
    """Predict the pairs of a call.

    Parameters
    ----------
    estimator : TransferabilityGAT
        Fitted.
    X : frame of records, array, or what was read of one
    ranking : bool, default=False
        Whether the deviations leave out what all models on a dataset have in common.

    Returns
    -------
    scores, std : arrays of shape (n_records,)
    unknown : dict of sets
        By side, the ids of which nothing is known at all.
    """
    pairs = read_pairs(estimator, X, reset=False, missing=True)
    network = estimator.network_
    tables, codes, unknown = read_features(estimator.graph_, network.scaling, pairs, known=False)
    scaled = {role: network.scale(role, table) for role, table in tables.items()}
    unknown["dataset"] = _unlisted(network, unknown["dataset"])
    ids = {side: getattr(pairs, f"{side}s") for side in SIDES}
    ends = {side: end_of(estimator, side, codes[side], ids[side], scaled.get(side)) for side in SIDES}
    values, variance = np.empty(len(pairs)), np.empty(len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        rows = slice(start, start + _BLOCK)
        values[rows], variance[rows] = predict_of_terms(estimator, ends, rows, scaled["pair"][rows])
    case = 1 * (codes["dataset"] < 0) + 2 * (codes["model"] < 0)
    for name, forest in (estimator.forest_ or {}).items():
        strangers = case == CASES.index(name)
        if forest.need is None and not strangers.any():
            continue
        part = np.where(strangers, forest.share, 0.0)
        known = case == CASES.index(ASKED_OF_KNOWN[name])
        part[known] = forest.of_known(codes["model"][known])
        _add_trees(estimator, forest, part, codes, scaled, values, variance)
    if (codes["model"] < 0).any():
        reach = np.array([_reach(estimator, name) for name in CASES])[case]
        values, variance = values * reach, variance * reach**2
    noise = estimator.ranking_noise_ if ranking else estimator.noise_
    error = np.array([noise[name] for name in CASES])[case] ** 2
    for side in SIDES:
        error *= np.where(codes[side] < 0, 1.0, network.scarcity[side][codes[side]])
    std = np.sqrt(variance + error)
    scale = estimator.target_scale_
    return *scale.inverse(values, std, codes["dataset"], scaled.get("dataset"), ranking), unknown


def predict_columns(estimator, X):
    """Predict all known models on the dataset of each row.

    The tables of the models are read where they lie, once for each dataset: no pair's terms are copied.

    Parameters
    ----------
    estimator : TransferabilityGAT
        Fitted.
    X : frame of records or array
        Of models and of pairs nothing is read.

    Returns
    -------
    scores, std : arrays of shape (n_rows, n_models)
    unknown : dict of set
        The ids of the datasets of which nothing is known at all.
    """
    pairs = read_pairs(estimator, on_any_model(estimator, X), reset=False, missing=True)
    network, graph, scale = estimator.network_, estimator.graph_, estimator.target_scale_
    tables, codes, unknown = read_features(graph, network.scaling, pairs, roles=("dataset",))
    codes, features = codes["dataset"], network.scale("dataset", tables["dataset"])
    end = end_of(estimator, "dataset", codes, pairs.datasets, features)
    scores, std = np.empty((2, len(pairs), graph.n_models))
    for row, code in enumerate(codes):
        rows = slice(row, row + 1)
        case = "dataset" if code < 0 else "pair"
        error = estimator.noise_[case] ** 2 * (1.0 if code < 0 else network.scarcity["dataset"][code])
        moments = scale.of_datasets(codes[rows], features[rows])
        for start in range(0, graph.n_models, _COLUMN):
            models = slice(start, min(start + _COLUMN, graph.n_models))
            values, variance = _of_column(estimator, end, rows, models)
            forest = (estimator.forest_ or {}).get("both" if code < 0 else "model")
            if forest is not None and forest.need is not None:
                pairs_of = {"model": np.arange(models.start, models.stop), "dataset": np.full(len(values), code)}
                tables = {"dataset": np.broadcast_to(features[rows], (len(values), features.shape[1]))}
                part = forest.of_known(pairs_of["model"])
                _add_trees(estimator, forest, part, pairs_of, tables, values, variance)
            off = np.sqrt(variance + error * network.scarcity["model"][models])
            scores[row, models], std[row, models] = scale.on_datasets(values, off, moments)
    return scores, std, {"dataset": _unlisted(network, unknown["dataset"])}


def _of_column(estimator, end, rows, models):
    """Means and variances in the units of training, of a slice of the known models on the dataset of a row."""
    network, regression = estimator.network_, estimator.kernel_
    # What is not known of a pair is taken for the average.
    features = np.zeros((1, network.config["n_pair_features"]))
    terms = end.rows(0, network.terms["dataset"], rows)
    members, exact = network.predict_column(network.terms["model"][:, models], terms, features), None
    if regression is not None:
        terms = end.rows(1, regression.terms["dataset"], rows)
        exact = regression.predict_column(regression.terms["model"][models], terms, features)
    codes = np.arange(models.start, models.stop)
    return _together(estimator, members, exact, codes, np.broadcast_to(end.codes[rows], len(codes)))


def end_of(estimator, side, codes, ids, features):
    """One end of all pairs; an unknown node is attached once."""
    new = codes < 0
    if not new.any():
        return End(codes)
    network, regression = estimator.network_, estimator.kernel_
    rows = np.column_stack([network.listed(side, ids[new]), features[new]])
    rows, inverse = np.unique(rows, axis=0, return_inverse=True)
    listed, features = rows[:, 0].astype(np.int64), rows[:, 1:]
    # The known nodes are looked at only where similar ones are listened to.
    known = getattr(estimator.graph_, f"{side}_features")
    known = network.scale(side, known if network.config["n_neighbors"] else known[:0])
    places = np.zeros(len(codes), dtype=np.int64)
    places[new] = inverse.reshape(-1)
    exact = None if regression is None else regression.attach(side, features)
    return End(codes, places, (network.attach(side, features, known, listed), exact))


def predict_of_terms(estimator, ends, rows, pair_features):
    """Means of some pairs in the units of training, and the variances between networks; without trees for strangers."""
    network, regression = estimator.network_, estimator.kernel_
    members = network.predict(*(ends[side].rows(0, network.terms[side], rows) for side in SIDES), pair_features)
    exact = None
    if regression is not None:
        exact = regression.predict(*(ends[side].rows(1, regression.terms[side], rows) for side in SIDES), pair_features)
    return _together(estimator, members, exact, *(ends[side].codes[rows] for side in SIDES))


def _together(estimator, members, exact, models, datasets):
    """Means and variances of what the networks, the regression and the trees for known pairs say."""
    values, variance = members.mean(axis=0), members.var(axis=0)
    if exact is not None:
        share = estimator.network_.config["kernel_weight"]
        values = (1.0 - share) * values + share * exact
        variance = (1.0 - share) ** 2 * variance
    if estimator.grove_ is not None:
        estimator.grove_.join(models, datasets, values, variance)
    return values, variance


def _add_trees(estimator, forest, part, codes, tables, values, variance):
    """Let the trees have their part of each pair, asked only where they have one; changes values and variance.

    ``tables`` are scaled features of the pairs, by role; where they leave out a role it is that of known nodes, or what
    is not known of a pair, which is taken for the average.
    """
    rows = np.flatnonzero(part)
    if not len(rows):
        return
    codes, part = {side: codes[side][rows] for side in SIDES}, part[rows]
    said = np.full(len(rows), np.nan)
    if forest.told is not None:
        known = (codes["model"] | codes["dataset"]) >= 0
        said[known] = forest.told[codes["model"][known], codes["dataset"][known]]
    asked = np.flatnonzero(np.isnan(said))
    if len(asked):
        codes = {side: codes[side][asked] for side in SIDES}
        features = {
            role: tables[role][rows[asked]] if role in tables else _known_features(estimator, role, codes)
            for role in ROLES
        }
        said[asked] = forest.predict(features, codes["dataset"])
    values[rows] += part * (said - values[rows])
    variance[rows] *= (1.0 - part) ** 2


def _known_features(estimator, role, codes):
    """Scaled features of known nodes; those of pairs are zero, which is the average."""
    network = estimator.network_
    if role == "pair":
        return np.zeros((len(codes["model"]), network.config["n_pair_features"]))
    return network.scale(role, getattr(estimator.graph_, f"{role}_features")[codes[role]])


def _reach(estimator, case):
    """What predictions of the case are multiplied by, so that unknown models lie as far apart as others.

    In a share of the steps networks see no features of models, and of an unknown model they say by that share too
    little. All that is said of it is stretched to make up for it, so that the order stays what the shares of networks,
    regression and trees make it. The average model is at zero where datasets have scales of their own; elsewhere
    nobody knows where it is.
    """
    if case not in ("model", "both") or not estimator.target_scale_.within_datasets:
        return 1.0
    config, forest = estimator.network_.config, (estimator.forest_ or {}).get(case)
    of_networks = (1.0 - config["kernel_weight"]) * (1.0 if forest is None else 1.0 - forest.share)
    return 1.0 / (1.0 - of_networks * config["blank_model"])


def _unlisted(network, datasets):
    """Those of whom no table of similarities says anything either."""
    ids = list(datasets)
    rows = network.listed("dataset", np.fromiter(ids, dtype=object, count=len(ids)))
    return {name for name, row in zip(ids, rows, strict=True) if row < 0}
