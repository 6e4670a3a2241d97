"""Regressors to compare with: each sees the same records as the graph attention network."""

from .bias import BiasRegressor
from .matrix_completion import MatrixCompletion
from .nearest_datasets import NearestDatasets

__all__ = ["BiasRegressor", "MatrixCompletion", "NearestDatasets"]
