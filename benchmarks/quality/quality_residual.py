"""Regressors on another target: what the additive model leaves over, or scores standardised within datasets."""

__all__ = ["OnResidual", "OnStandardized", "additive_left_out"]

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, RegressorMixin, clone

from skgat.baselines import BiasRegressor
from skgat.records import lookup_ids


class OnResidual(RegressorMixin, BaseEstimator):
    """The additive model plus a regressor that is fitted to its residuals.

    The residual of a training row is its score minus what the additive model predicts for it **without that row**
    (leave-one-out, exactly). Residuals within the sample would be too small by as much as the row drew the effects to
    itself, and the more so the fewer results its model or dataset has.

    Parameters
    ----------
    regressor : estimator
        Takes records.
    shrinkage : float
        Of the additive model.
    """

    def __init__(self, regressor, shrinkage=1.0):
        self.regressor = regressor
        self.shrinkage = shrinkage

    def fit(self, X, y):
        """Fit both parts."""
        y = np.asarray(y, dtype=float)
        self.bias_ = BiasRegressor(shrinkage=self.shrinkage).fit(X, y)
        residual = y - additive_left_out(self.bias_, X, y)
        self.regressor_ = clone(self.regressor).fit(X.assign(score=residual), residual)
        return self

    def predict(self, X):
        """The sum of both parts."""
        return self.bias_.predict(X) + self.regressor_.predict(X)


class OnStandardized(RegressorMixin, BaseEstimator):
    """A regressor that learns scores standardised within their datasets.

    Predictions are brought to the level and the spread of the dataset as seen in training; to the mean level and
    spread for an unknown one.

    Parameters
    ----------
    regressor : estimator
        Takes records.
    """

    def __init__(self, regressor):
        self.regressor = regressor

    def fit(self, X, y):
        """Take levels and spreads, and fit."""
        scores = pd.Series(np.asarray(y, dtype=float))
        of_dataset = scores.groupby(X["dataset"].to_numpy())
        self.levels_, self.spreads_ = of_dataset.mean(), of_dataset.std(ddof=0)
        spreads = of_dataset.transform("std", ddof=0)
        target = ((scores - of_dataset.transform("mean")) / spreads.where(spreads > 0, 1.0)).to_numpy()
        self.regressor_ = clone(self.regressor).fit(X.assign(score=target), target)
        return self

    def predict(self, X):
        """Predict on the scale of the scores."""
        level = X["dataset"].map(self.levels_).fillna(self.levels_.mean()).to_numpy()
        spread = X["dataset"].map(self.spreads_).fillna(self.spreads_.mean()).to_numpy()
        return level + spread * self.regressor_.predict(X)


def additive_left_out(bias, X, y):
    """What the additive model predicts for each of its training rows when fitted without it.

    Parameters
    ----------
    bias : BiasRegressor
        Fitted to ``X`` and ``y``, in which no pair occurs twice.
    X : frame of records
    y : array of shape (n_records,)

    Returns
    -------
    array of shape (n_records,)
    """
    n_rows, n_models = len(y), len(bias.models_)
    ends = np.column_stack(
        [
            lookup_ids(bias.models_, X["model"].to_numpy()),
            n_models + lookup_ids(bias.datasets_, X["dataset"].to_numpy()),
        ]
    )
    shape = (n_rows, n_models + len(bias.datasets_))
    design = csr_array((np.ones(2 * n_rows), ends.ravel(), np.arange(0, 2 * n_rows + 1, 2)), shape=shape)
    inverse = np.linalg.inv((design.T @ design).toarray() + bias.shrinkage * np.eye(shape[1]))
    leverage = inverse[ends, ends].sum(axis=1) + 2.0 * inverse[ends[:, 0], ends[:, 1]]
    # Without row r, the scores y are centred at another mean m and the effects are those of the other rows:
    # (x G A'(y - m) - h (y_r - m)) / (1 - h), with G the inverse and h the leverage x G x'.
    mean = (y.sum() - y) / (n_rows - 1)
    of_scores = design @ (inverse @ (design.T @ y))
    of_ones = design @ (inverse @ (design.T @ np.ones(n_rows)))
    return mean + (of_scores - mean * of_ones - leverage * (y - mean)) / (1.0 - leverage)
