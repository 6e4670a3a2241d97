"""Regressors to compare with: each sees the same records as the graph attention network."""

from .bias import BiasRegressor
from .matrix_completion import MatrixCompletion
from .nearest_datasets import NearestDatasets
from .transfer_space import TransferSpaceRegressor

__all__ = ["BiasRegressor", "MatrixCompletion", "NearestDatasets", "TransferSpaceRegressor"]
