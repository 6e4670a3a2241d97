"""From what is said of a model or dataset to its vector: where the unknown stand."""

__all__ = ["Placement", "fit_mapper", "fit_placement"]

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

#: What the ridge regression chooses from by its leave-one-out errors; the last leaves little but the mean.
_ALPHAS = tuple(np.logspace(-1, 5, 13))
#: Fewer than this tell nothing about how metadata and vectors go together.
_LEAST = 3


@dataclass(frozen=True)
class Placement:
    """A learned map from features to vectors.

    Attributes
    ----------
    center : array of shape (n_components + 1,)
        The average vector; its first component is the level.
    level, factors : fitted regressors or None
        They predict the level and the rest of the vector. None: everything stands at the center.
    trust : float
        How far from the center the map may take the factors; 1 is as far as it says.
    """

    center: np.ndarray
    level: object
    factors: object
    trust: float = 1.0

    def place(self, features):
        """The vectors that belong to rows of features.

        Parameters
        ----------
        features : array of shape (n_rows, n_features)

        Returns
        -------
        array of shape (n_rows, n_components + 1)
        """
        placed = np.tile(self.center, (len(features), 1))
        if self.level is not None and len(features):
            placed[:, 0] = self.level.predict(features)
            found = self.factors.predict(features).reshape(len(features), -1)
            placed[:, 1:] += self.trust * (found - self.center[1:])
        return placed


def fit_placement(features, vectors, weights, mapper=None):
    """Learn the map from features to vectors.

    Parameters
    ----------
    features : array of shape (n_rows, n_features)
    vectors : array of shape (n_rows, n_components + 1)
    weights : array of shape (n_rows,)
        How much is known of each row.
    mapper : regressor, optional
        A clone of it learns; by default a ridge regression on standardised features, whose strength is chosen by its
        leave-one-out errors, for the level and for the factors by themselves.

    Returns
    -------
    Placement
    """
    center = np.average(vectors, axis=0, weights=weights)
    level = fit_mapper(features, vectors[:, 0], weights, mapper)
    return Placement(center, level, fit_mapper(features, vectors[:, 1:], weights, mapper))


def fit_mapper(features, targets, weights, mapper=None):
    """A regressor of the targets on the features, or None where there is nothing to learn from.

    Parameters
    ----------
    features : array of shape (n_rows, n_features)
    targets : array of shape (n_rows,) or (n_rows, n_targets)
    weights : array of shape (n_rows,)
    mapper : regressor, optional
        See :func:`fit_placement`.

    Returns
    -------
    fitted regressor or None
    """
    if len(features) < _LEAST or not features.shape[1] or not np.ptp(features, axis=0).any():
        return None
    if mapper is None:
        ridge = make_pipeline(StandardScaler(), RidgeCV(_ALPHAS))
        return ridge.fit(features, targets, ridgecv__sample_weight=weights)
    several = targets.ndim > 1
    if several and not get_tags(mapper).target_tags.multi_output:
        mapper = MultiOutputRegressor(mapper)
    given = {"sample_weight": weights} if has_fit_parameter(mapper, "sample_weight") and _takes_weights(mapper) else {}
    return clone(mapper).fit(features, targets, **given)


def _takes_weights(mapper):
    # The wrapper has the argument whether or not what it wraps does.
    return has_fit_parameter(getattr(mapper, "estimator", mapper), "sample_weight")
