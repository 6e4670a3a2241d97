"""Estimators configured as their papers describe."""

__all__ = ["g4trf", "scg4trf"]

from .gat.presets import g4trf, scg4trf
