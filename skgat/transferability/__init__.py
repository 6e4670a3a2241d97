"""Training-free scores of how well a model's features suit a labelled dataset; higher is better throughout.

They need one pass over the target data to get the features (or the source model's probabilities) and no fine-tuning.
numpy arrays and torch tensors are computed where they live.
"""

__all__ = [
    "gbc",
    "h_score",
    "knn",
    "lda",
    "leep",
    "lfc",
    "linear_probe",
    "logme",
    "nce",
    "ncti",
    "nleep",
    "pactran",
    "parc",
    "regularized_h_score",
    "score_zoo",
    "select_ensemble",
    "sfda",
    "transrate",
]

from .collapse import ncti
from .conditional import leep, nce, nleep
from .discriminant import h_score, regularized_h_score, sfda
from .ensemble import select_ensemble
from .evidence import logme
from .geometry import gbc, lfc, transrate
from .pac import pactran
from .pairs import parc
from .probes import knn, lda, linear_probe
from .zoo import score_zoo
