"""The graph attention recommender: estimator, network, trainer and prediction, each in a room of its own."""

__all__ = ["TransferabilityGAT"]

from .estimator import TransferabilityGAT
