"""Pictures of recommenders and of training-free measures, in the form of scikit-learn's displays.

Each display is made by ``from_estimator`` or ``from_predictions``, keeps what it shows as attributes, and draws it
again with ``plot``. matplotlib, from the extra ``plot``, is imported when something is drawn and not before.
"""

__all__ = [
    "CalibrationDisplay",
    "EmbeddingDisplay",
    "ExplanationDisplay",
    "MeasuresDisplay",
    "RankingDisplay",
    "RegretCurveDisplay",
    "TransferabilityMatrixDisplay",
]

from .calibration import CalibrationDisplay
from .embedding import EmbeddingDisplay
from .explanation import ExplanationDisplay
from .matrix import TransferabilityMatrixDisplay
from .measures import MeasuresDisplay
from .ranking import RankingDisplay
from .regret import RegretCurveDisplay
