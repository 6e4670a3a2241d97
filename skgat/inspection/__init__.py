"""Why a recommender says what it says."""

__all__ = ["Explanation", "explain"]

from ._explain import explain
from ._explanation import Explanation
