"""Estimators configured as their papers describe."""

__all__ = ["g4trf", "scg4trf"]

from .estimator import TransferabilityGAT

_PAPER = {
    "conv": "gatconv",
    "additive": False,
    "edge_features": False,
    "edge_dropout": 0.0,
    "node_dropout": 0.0,
    "dropout": 0.0,
    "feature_dropout": 0.0,
    "hidden_dim": 64,
    "n_layers": 2,
    "n_heads": 1,
    "decoder": "linear",
    "loss": "squared_error",
    "target_transform": "none",
    "kernel_weight": 0.0,
    "forest_weight": 0.0,
    "rank_weight": 0.0,
    "n_estimators": 1,
    "learning_rate": 5e-3,
    "weight_decay": 0.0,
    "max_iter": 300,
    "schedule": False,
}


def scg4trf(**params):
    """The skip-combination graph attention network of the SCG4Trf paper, its faults included.

    Messages run from models to datasets only and do not see the scores; the decoder is additive, so the models are
    ranked in the same order for every dataset without known results. It is here to compare with.

    Parameters
    ----------
    **params
        Arguments of :class:`~skgat.TransferabilityGAT` to set otherwise, such as ``random_state``.

    Returns
    -------
    TransferabilityGAT

    Examples
    --------
    >>> from skgat import presets
    >>> presets.scg4trf(random_state=0).combine
    'concat'
    """
    return TransferabilityGAT(**{**_PAPER, "combine": "concat", **params})


def g4trf(**params):
    """The plain graph attention network of the SCG4Trf paper: as :func:`scg4trf`, but only the last level is decoded.

    Parameters
    ----------
    **params
        Arguments of :class:`~skgat.TransferabilityGAT` to set otherwise, such as ``random_state``.

    Returns
    -------
    TransferabilityGAT

    Examples
    --------
    >>> from skgat import presets
    >>> presets.g4trf().combine
    'last'
    """
    return TransferabilityGAT(**{**_PAPER, "combine": "last", **params})
