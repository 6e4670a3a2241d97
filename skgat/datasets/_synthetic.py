"""Synthetic zoos of any size whose truth is known."""

__all__ = ["make_transfer_records"]

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.random import sample_without_replacement

from ._bunch import make_bunch
from ._synthetic_metadata import make_metadata, mix

#: Above this number of cells the truth is given by its factors alone.
_MAX_TRUTH_CELLS = 1_000_000

_DESCR = """
score = base + model effect + dataset effect + interaction + noise

Effects, interaction and noise are normal. The interaction is a product of a few factors a side. A share of the variance
of effects and factors (`metadata_share`) is a function of the metadata, the rest is not to be known but from results.

`truth` is the noise-free score of every pair (None where there are too many pairs), `factors` what it is made of.
"""


def make_transfer_records(
    n_models=30,
    n_datasets=40,
    fill=0.7,
    *,
    rank=3,
    noise=0.02,
    base=0.7,
    model_scale=0.05,
    dataset_scale=0.1,
    interaction_scale=0.04,
    metadata_share=0.7,
    n_model_features=4,
    n_dataset_features=4,
    n_pair_features=1,
    missing=0.0,
    return_X_y=False,
    as_frame=True,
    random_state=None,
):
    """Make a synthetic zoo: records with metadata, and the truth behind them.

    A score is the sum of a base, an effect of the model, one of the dataset, an interaction of low rank, and noise.
    Effects and interaction are partly a function of the metadata. Scores are not clipped to [0, 1].

    Parameters
    ----------
    n_models, n_datasets : int, default=30, 40
    fill : float, default=0.7
        Share of the pairs that have a record. Each model and each dataset has at least one.
    rank : int, default=3
        Rank of the interaction; 0 for none.
    noise : float, default=0.02
        Standard deviation of the noise.
    base : float, default=0.7
        The mean score.
    model_scale, dataset_scale, interaction_scale : float, default=0.05, 0.1, 0.04
        Standard deviations of the three parts of the truth.
    metadata_share : float, default=0.7
        Share of the variance of effects and factors that the metadata explain, from 0 to 1.
    n_model_features, n_dataset_features : int, default=4
        Number of metadata columns. Their kinds take turns: numeric, skewed, categorical, multilabel.
    n_pair_features : int, default=1
        Number of pair features: views of a pair's true quality (without the dataset's effect) that blur from one
        to the next, as a training-free transferability measure would give. They know nothing of the noise.
    missing : float, default=0.0
        Share of the metadata cells that are missing.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a bunch.
    as_frame : bool, default=True
        If True, ``data`` is a DataFrame and ``target`` a Series. If False, they are an object array with the columns
        of ``feature_names`` and a float array.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the entries

        records : DataFrame
            Columns ``model``, ``dataset``, ``score``, ``model__*``, ``dataset__*`` and ``pair__*``.
        models, datasets : DataFrame
            The metadata, one row an id; the first column is the id.
        truth : DataFrame of shape (n_models, n_datasets), or None
            The score of every pair without noise; None beyond a million pairs.
        factors : Bunch
            ``base``, ``model_effect``, ``dataset_effect``, ``model_factors``, ``dataset_factors``; the truth is
            ``base + model_effect[:, None] + dataset_effect + model_factors @ dataset_factors.T``.
        data, target, frame, feature_names, target_names
            As in scikit-learn's loaders.
        DESCR : str
            What it is and how it was made.
    (data, target) : tuple if ``return_X_y``

    Examples
    --------
    >>> from skgat.datasets import make_transfer_records
    >>> zoo = make_transfer_records(n_models=5, n_datasets=8, fill=0.5, random_state=0)
    >>> zoo.records.shape
    (20, 12)
    >>> zoo.truth.shape
    (5, 8)
    """
    _check(Integral, 1, n_models=n_models, n_datasets=n_datasets)
    _check(
        Integral, 0,
        rank=rank,
        n_model_features=n_model_features, n_dataset_features=n_dataset_features, n_pair_features=n_pair_features,
    )  # fmt: skip
    _check(Real, 0, noise=noise, model_scale=model_scale, dataset_scale=dataset_scale)
    _check(Real, 0, interaction_scale=interaction_scale)
    _check(Real, -np.inf, base=base)
    _check(Real, 0, 1, fill=fill, metadata_share=metadata_share, missing=missing)
    rng = check_random_state(random_state)
    latents = [rng.standard_normal((n_models, n_model_features)), rng.standard_normal((n_datasets, n_dataset_features))]
    factors = Bunch(base=base)
    for role, latent, scale in zip(("model", "dataset"), latents, (model_scale, dataset_scale), strict=True):
        factors[f"{role}_effect"] = scale * mix(latent, 1, metadata_share, rng)[:, 0]
        factors[f"{role}_factors"] = mix(latent, rank, metadata_share, rng)
    factors.model_factors *= interaction_scale / np.sqrt(max(rank, 1))
    models, datasets = (
        make_metadata(role, latent, missing, rng) for role, latent in zip(("model", "dataset"), latents, strict=True)
    )
    scores = _make_scores(factors, models["model"], datasets["dataset"], fill, noise, n_pair_features, rng)
    title = f"Synthetic transfer records: {n_models} models, {n_datasets} datasets, {len(scores)} records"
    return make_bunch(
        scores,
        models,
        datasets,
        descr=f"{title}\n{'-' * len(title)}\n{_DESCR}",
        return_X_y=return_X_y,
        as_frame=as_frame,
        truth=_make_truth(factors, models["model"], datasets["dataset"]),
        factors=factors,
    )


def _check(kind, low, high=np.inf, **arguments):
    for name, value in arguments.items():
        fits = isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high and np.isfinite(value)
        if not fits:
            noun = "an integer" if kind is Integral else "a finite number"
            least = f" of at least {low}" if np.isfinite(low) else ""
            most = f" and at most {high}" if np.isfinite(high) else ""
            raise ValueError(f"Got {name}={value!r}, but expected {noun}{least}{most}.")


def _make_scores(factors, models, datasets, fill, noise, n_pair_features, rng):
    rows, columns = _draw_pairs(len(models), len(datasets), fill, rng)
    # Row by row, so that no models x datasets matrix is needed.
    quality = factors.model_effect[rows] + np.einsum(
        "ij,ij->i", factors.model_factors[rows], factors.dataset_factors[columns]
    )
    clean = factors.base + quality + factors.dataset_effect[columns]
    scores = pd.DataFrame(
        {
            "model": models.to_numpy()[rows],
            "dataset": datasets.to_numpy()[columns],
            "score": clean + noise * rng.standard_normal(len(clean)),
        }
    )
    spread = quality.std() or 1.0
    for i in range(n_pair_features):
        scores[f"pair__measure_{i}"] = quality / spread + (i + 1) * rng.standard_normal(len(clean))
    return scores


def _draw_pairs(n_models, n_datasets, fill, rng):
    """Distinct pairs in which everyone occurs, sorted by dataset, as two arrays of positions."""
    n_cover = max(n_models, n_datasets)
    turns = np.arange(n_cover)
    cover = rng.permutation(n_datasets)[turns % n_datasets] * n_models + rng.permutation(n_models)[turns % n_models]
    cover.sort()
    n_pairs = n_models * n_datasets
    n_rest = max(round(fill * n_pairs) - n_cover, 0)
    rest = sample_without_replacement(n_pairs - n_cover, n_rest, random_state=rng)
    # The k-th pair outside the cover is k plus the number of cover pairs before it.
    rest = rest + np.searchsorted(cover - turns, rest, side="right")
    datasets, models = np.divmod(np.sort(np.concatenate([cover, rest])), n_models)
    return models, datasets


def _make_truth(factors, models, datasets):
    if len(models) * len(datasets) > _MAX_TRUTH_CELLS:
        return None
    values = factors.base + factors.model_effect[:, None] + factors.dataset_effect
    values += factors.model_factors @ factors.dataset_factors.T
    return pd.DataFrame(values, index=pd.Index(models), columns=pd.Index(datasets))
