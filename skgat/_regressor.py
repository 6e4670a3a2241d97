"""What all regressors on records share."""

__all__ = ["RecordRegressorMixin"]

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from .records import read_pairs


class RecordRegressorMixin(RegressorMixin):
    """A regressor that finds the scores in the records where they are not given apart."""

    def score(self, X, y=None, sample_weight=None):
        """The coefficient of determination of the predictions.

        Ranking quality is what :mod:`skgat.metrics` measures.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)
        y : array of shape (n_records,), optional
            The true scores; by default X's target column.
        sample_weight : array of shape (n_records,), optional

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if y is None:
            y = read_pairs(self, X, reset=False, scores=True, numeric=False, missing=True).scores
        return r2_score(y, self.predict(X), sample_weight=sample_weight)
