"""Training-free scores of how well a model's features suit a labelled dataset; higher is better throughout."""

from .discriminant import h_score, regularized_h_score, sfda
from .evidence import logme
