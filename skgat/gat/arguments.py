"""What the arguments of the estimator may be."""

__all__ = ["CONSTRAINTS", "check_arguments"]

import os
from numbers import Integral, Real

from .._compat import Interval, StrOptions

CONSTRAINTS = {
    "model": [str],
    "dataset": [str],
    "target": [str],
    "hidden_dim": [Interval(Integral, 1, None, closed="left")],
    "n_layers": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "n_heads": [Interval(Integral, 1, None, closed="left")],
    "combine": [StrOptions({"concat", "last"})],
    "decoder": [StrOptions({"bilinear", "linear", "mlp"})],
    "edge_features": ["boolean"],
    "n_neighbors": [Interval(Integral, 0, None, closed="left")],
    "similarity": "no_validation",
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "feature_dropout": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
    "edge_dropout": [Interval(Real, 0, 1, closed="left")],
    "node_dropout": [Interval(Real, 0, 1, closed="left")],
    "loss": [StrOptions({"huber", "squared_error"})],
    "rank_weight": [Interval(Real, 0, None, closed="left")],
    "target_transform": [StrOptions({"balanced", "none", "zscore", "rank", "logit"})],
    "n_estimators": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
    "kernel_weight": [Interval(Real, 0, 1, closed="both")],
    "forest_weight": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
    "factor_weight": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
    "conv": [StrOptions({"bipartite", "gatconv"})],
    "additive": ["boolean"],
    "schedule": ["boolean"],
    "duplicates": [StrOptions({"mean", "raise"})],
    "checkpoint_dir": [str, os.PathLike, None],
}

#: What the network of the paper cannot do otherwise.
_GATCONV_EXPECTS = {
    "decoder": "linear", "edge_features": False, "additive": False, "n_neighbors": 0, "feature_dropout": 0,
    "kernel_weight": 0, "forest_weight": 0,
}  # fmt: skip


def check_arguments(estimator):
    """Refuse arguments that do not go together."""
    if estimator.conv == "gatconv":
        for name, value in _GATCONV_EXPECTS.items():
            if getattr(estimator, name) != value:
                raise ValueError(
                    f'Got {name}={getattr(estimator, name)!r}, but conv="gatconv" expects {name}={value!r}.'
                )
    if estimator.checkpoint_dir is not None and estimator.random_state is None:
        raise ValueError(
            f"Got checkpoint_dir={str(estimator.checkpoint_dir)!r} with random_state=None, but expected an integer: "
            "without a seed no other fit is the same, so none could go on from the checkpoint."
        )
    if estimator.similarity is not None and not estimator.n_neighbors:
        raise ValueError("Got similarity with n_neighbors=0, but expected n_neighbors of 1 or more with it.")
    from .runtime import resolve_device

    resolve_device(estimator.device)
