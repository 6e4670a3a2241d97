"""Regressors to compare with: each sees the same records as the graph attention network."""

from .bias import BiasRegressor

__all__ = ["BiasRegressor"]
