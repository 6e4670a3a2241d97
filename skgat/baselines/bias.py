"""The additive model."""

__all__ = ["BiasRegressor"]

from numbers import Real

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentedMixin, Interval, StrOptions, fit_context
from .._regressor import RecordRegressorMixin
from .._versioned import VersionedMixin
from ..graph import additive_effects
from ._additive import additive_part, ids_graph


class BiasRegressor(DocumentedMixin, VersionedMixin, RecordRegressorMixin, BaseEstimator):
    """Additive model: the mean score plus an effect of the model plus an effect of the dataset.

    It ranks the models in the same order for every dataset. Much of the literature does not do better, so a
    recommender is worth its name only above this line.

    Parameters
    ----------
    model, dataset, target : str
        The columns of the model ids, the dataset ids and the scores.
    shrinkage : float, default=1.0
        How strongly effects are drawn to zero; in units of records.
    duplicates : {"mean", "raise"}, default="mean"
        What to do with a pair that occurs with different scores.

    Attributes
    ----------
    mean_ : float
        The mean score.
    models_, datasets_ : array of ids
        What was seen in ``fit``.
    pairs_ : integer array of shape (n_pairs, 2)
        Which models were seen with which datasets, as positions in ``models_`` and ``datasets_``.
    model_effects_, dataset_effects_ : array
        The effect of each model and each dataset. An unknown one has no effect.
    n_features_in_ : int
        The number of columns of X without the target.
    feature_names_in_ : array of str
        Their names, when X had names.

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat.baselines import BiasRegressor
    >>> records = pd.DataFrame({
    ...     "model": ["a", "b", "a", "b"],
    ...     "dataset": ["x", "x", "y", "y"],
    ...     "score": [0.5, 0.7, 0.6, 0.9],
    ... })
    >>> bias = BiasRegressor(shrinkage=0.0).fit(records)
    >>> bias.predict(pd.DataFrame({"model": ["a", "b"], "dataset": ["z", "z"]})).round(3)
    array([0.55, 0.8 ])
    """

    _parameter_constraints = {  # noqa: RUF012
        "model": [str],
        "dataset": [str],
        "target": [str],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "duplicates": [StrOptions({"mean", "raise"})],
    }

    def __init__(self, *, model="model", dataset="dataset", target="score", shrinkage=1.0, duplicates="mean"):
        self.model = model
        self.dataset = dataset
        self.target = target
        self.shrinkage = shrinkage
        self.duplicates = duplicates

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Estimate the effects.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)
        y : array of shape (n_records,), optional
            The scores; by default X's target column.
        sample_weight : array of shape (n_records,), optional

        Returns
        -------
        self
        """
        graph = ids_graph(self, X, y, sample_weight)
        self.mean_, self.model_effects_, self.dataset_effects_ = additive_effects(graph, self.shrinkage)
        return self

    def predict(self, X):
        """Predict the score of each pair.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)

        Returns
        -------
        scores : array of shape (n_records,)
        """
        check_is_fitted(self)
        return additive_part(self, X)[0]
