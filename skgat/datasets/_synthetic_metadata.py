"""Metadata of several kinds that show, more or less clearly, what lies behind them."""

__all__ = ["make_metadata", "mix"]

import numpy as np
import pandas as pd

_CATEGORIES = np.array(["delta", "alpha", "echo", "bravo", "charlie"], dtype=object)
#: Fifths of the normal distribution.
_CATEGORY_EDGES = [-0.8416, -0.2533, 0.2533, 0.8416]
_N_LABELS = 8
#: The first label is always there, so that no set is empty.
_LABEL_EDGES = np.array([-np.inf, *np.linspace(-1.5, 1.5, _N_LABELS - 1)])
_LABEL_BLUR = 0.5


def mix(latent, n_columns, share, rng):
    """Normal columns of unit variance, a share of which is a linear function of ``latent``.

    Parameters
    ----------
    latent : array of shape (n_ids, n_features)
        Independent normal columns.
    n_columns : int
    share : float
        From 0 to 1; without latent columns it counts as 0.
    rng : RandomState

    Returns
    -------
    array of shape (n_ids, n_columns)
    """
    n_ids, n_features = latent.shape
    own = rng.standard_normal((n_ids, n_columns))
    if not n_features:
        return own
    weights = rng.standard_normal((n_features, n_columns))
    weights /= np.linalg.norm(weights, axis=0)
    return np.sqrt(share) * latent @ weights + np.sqrt(1 - share) * own


def make_metadata(role, latent, missing, rng):
    """A metadata table with an id column and one column per latent one.

    Parameters
    ----------
    role : {"model", "dataset"}
        The name of the id column, and the stem of the ids.
    latent : array of shape (n_ids, n_features)
    missing : float
        Share of the cells that are missing.
    rng : RandomState

    Returns
    -------
    DataFrame
    """
    n_ids, n_features = latent.shape
    width = len(str(n_ids - 1))
    columns = {role: [f"{role}_{i:0{width}d}" for i in range(n_ids)]}
    for j in range(n_features):
        kind, draw = _KINDS[j % len(_KINDS)]
        values = pd.Series(draw(latent[:, j], rng))
        gaps = rng.random_sample(n_ids) < missing
        columns[f"{kind}_{j}"] = values.mask(gaps) if gaps.any() else values
    return pd.DataFrame(columns)


def _numeric(z, rng):
    return 50 + 10 * z


def _skewed(z, rng):
    return np.round(10 ** (6 + 0.7 * z)).astype(np.int64)


def _categorical(z, rng):
    return _CATEGORIES[np.digitize(z, _CATEGORY_EDGES)]


def _multilabel(z, rng):
    present = z[:, None] + _LABEL_BLUR * rng.standard_normal((len(z), _N_LABELS)) > _LABEL_EDGES
    return _LABEL_SETS[present @ (1 << np.arange(_N_LABELS))]


def _label_sets():
    names = [f"label_{k}" for k in range(_N_LABELS)]
    sets = [", ".join(names[k] for k in range(_N_LABELS) if code >> k & 1) for code in range(1 << _N_LABELS)]
    return np.array(sets, dtype=object)


_LABEL_SETS = _label_sets()
_KINDS = [("numeric", _numeric), ("skewed", _skewed), ("categorical", _categorical), ("multilabel", _multilabel)]
