"""The plainest contestants: chance, means, a measure alone."""

__all__ = ["MeasureAlone", "ModelMean", "RandomScores"]

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state


class RandomScores(RegressorMixin, BaseEstimator):
    """Draws from the scores that were seen."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        """Keep the scores."""
        self.scores_ = np.asarray(y, dtype=float)
        return self

    def predict(self, X):
        """Draw a score for each row."""
        return check_random_state(self.random_state).choice(self.scores_, len(X))


class ModelMean(RegressorMixin, BaseEstimator):
    """The mean of the model's scores on the datasets where it was tried; for an unknown model, of all models.

    Parameters
    ----------
    standardize : bool
        Take the mean of the scores standardised within their datasets, and bring it to the mean and the spread of a
        dataset.
    """

    def __init__(self, standardize=False):
        self.standardize = standardize

    def fit(self, X, y):
        """Take the means."""
        scores = pd.DataFrame({"model": X["model"].to_numpy(), "score": np.asarray(y, dtype=float)})
        center, scale = 0.0, 1.0
        if self.standardize:
            of_dataset = scores["score"].groupby(X["dataset"].to_numpy())
            center, scale = scores["score"].mean(), of_dataset.std().mean()
            rest = scores["score"] - of_dataset.transform("mean")
            spread = of_dataset.transform("std")
            scores["score"] = (rest / spread.where(spread > 0, 1.0)).where(spread.notna(), 0.0)
        self.means_ = center + scale * scores.groupby("model")["score"].mean()
        self.mean_ = center + scale * scores["score"].mean()
        return self

    def predict(self, X):
        """The mean of each row's model."""
        return X["model"].map(self.means_).fillna(self.mean_).to_numpy(dtype=float)


class MeasureAlone(RegressorMixin, BaseEstimator):
    """A column that describes the pair, brought to the mean and the spread of the scores; nothing else is learned.

    Parameters
    ----------
    column : str
        A measure of which higher is better. Where it is missing, its mean over the other models on the dataset stands
        in, of those that are asked for together.
    """

    def __init__(self, column):
        self.column = column

    def fit(self, X, y):
        """Take the means and spreads."""
        self.center_, self.scale_ = np.mean(y), np.std(y)
        self.measure_center_, self.measure_scale_ = X[self.column].mean(), X[self.column].std()
        return self

    def predict(self, X):
        """The measure of each row on the scale of the scores."""
        measure = X[self.column].fillna(X.groupby("dataset")[self.column].transform("mean"))
        standard = (measure.fillna(self.measure_center_) - self.measure_center_) / self.measure_scale_
        return self.center_ + self.scale_ * standard.to_numpy(dtype=float)
