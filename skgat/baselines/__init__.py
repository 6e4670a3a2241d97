"""Regressors to compare with: each sees the same records as the graph attention network."""

from .bias import BiasRegressor
from .transfer_space import TransferSpaceRegressor

__all__ = ["BiasRegressor", "TransferSpaceRegressor"]
