"""Low-rank completion of the score matrix."""

__all__ = ["MatrixCompletion"]

from numbers import Integral, Real

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentedMixin, Interval, StrOptions, fit_context
from .._factors import size_of_noise, solve_rows
from .._regressor import RecordRegressorMixin
from .._versioned import VersionedMixin
from ..exceptions import warn_of_rounds
from ..graph import additive_effects
from ._additive import additive_part, ids_graph


class MatrixCompletion(DocumentedMixin, VersionedMixin, RecordRegressorMixin, BaseEstimator):
    """Effects of models and datasets plus a low-rank interaction, by alternating least squares.

    The score of a pair is a mean, an effect of the model, an effect of the dataset, and the product of a vector of
    the model and a vector of the dataset. It sees the ids alone: an unknown model or dataset has no vector, and what
    is left for it is the additive part.

    Parameters
    ----------
    model, dataset, target : str
        The columns of the model ids, the dataset ids and the scores.
    n_components : int, default=10
        The highest rank of the interaction. What the records do not support is shrunken to nothing.
    alpha : float, default=0.7
        How strongly the vectors are drawn to zero. The unit is the strength at which a matrix of noise, filled as
        the records are and as large as their residuals, would leave no interaction: at 1 the interaction is what
        stands out of the noise, and with few records the additive model is all that is left.
    shrinkage : float, default=1.0
        How strongly the effects are drawn to zero; in units of records.
    max_iter : int, default=200
        The most rounds; a ConvergenceWarning tells that they were too few. In each, the models are solved given the
        datasets, then the datasets given the models.
    tol : float, default=1e-5
        Stop when a round changes what is fitted by less than this share of the spread of the residuals.
    random_state : int, RandomState instance or None, default=None
        Draws the vectors to start from.
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
        The effect of each model and each dataset.
    model_factors_ : array of shape (n_models, n_factors)
    dataset_factors_ : array of shape (n_datasets, n_factors)
        The vectors whose products are the interaction, in the scale of the scores; ``n_components`` of them, or as many
        as there are models or datasets.
    n_iter_ : int
        The number of rounds.
    n_features_in_ : int
        The number of columns of X without the target.
    feature_names_in_ : array of str
        Their names, when X had names.

    Examples
    --------
    >>> from skgat.baselines import MatrixCompletion
    >>> from skgat.datasets import make_transfer_records
    >>> records = make_transfer_records(40, 30, fill=0.7, random_state=0).records
    >>> records = records.sample(frac=1.0, random_state=0)
    >>> completion = MatrixCompletion(random_state=0).fit(records[100:])
    >>> round(completion.score(records[:100], records["score"][:100]), 2)
    0.94
    """

    _parameter_constraints = {  # noqa: RUF012
        "model": [str],
        "dataset": [str],
        "target": [str],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "duplicates": [StrOptions({"mean", "raise"})],
    }

    def __init__(
        self,
        *,
        model="model",
        dataset="dataset",
        target="score",
        n_components=10,
        alpha=0.7,
        shrinkage=1.0,
        max_iter=200,
        tol=1e-5,
        random_state=None,
        duplicates="mean",
    ):
        self.model = model
        self.dataset = dataset
        self.target = target
        self.n_components = n_components
        self.alpha = alpha
        self.shrinkage = shrinkage
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.duplicates = duplicates

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Estimate effects and vectors.

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
        rng = check_random_state(self.random_state)
        self.mean_, *effects = additive_effects(graph, self.shrinkage)
        weights = graph.weights / graph.weights.mean()
        scale = _noise(graph, weights, self.mean_, *effects)
        rank = min(self.n_components, graph.n_models, graph.n_datasets)
        factors = [rng.normal(size=(n, rank)) / np.sqrt(rank) for n in (graph.n_models, graph.n_datasets)]
        self.n_iter_ = 0
        if scale > 0.0:
            sides = [np.column_stack([effect / scale, factor]) for effect, factor in zip(effects, factors, strict=True)]
            scores = (graph.scores - self.mean_) / scale
            sides = self._alternate(graph, weights, scores, sides)
            effects, factors = [side[:, 0] * scale for side in sides], [side[:, 1:] for side in sides]
        root = np.sqrt(scale)
        self.model_effects_, self.dataset_effects_ = effects
        self.model_factors_, self.dataset_factors_ = (factor * root for factor in factors)
        return self

    def _alternate(self, graph, weights, scores, sides):
        """Solve one side given the other until the fit stands still; column 0 of a side is its effects."""
        n_models, n_datasets, rank = graph.n_models, graph.n_datasets, sides[0].shape[1] - 1
        alpha = self.alpha * size_of_noise(graph.n_edges, (n_models, n_datasets))
        ridge = np.array([self.shrinkage, *[alpha] * rank])
        ends = graph.edge_models, graph.edge_datasets
        matrix = csr_array((weights, ends), shape=(n_models, n_datasets))
        scored = csr_array((weights * scores, ends), shape=(n_models, n_datasets))
        ways = [(matrix, scored), (matrix.T.tocsr(), scored.T.tocsr())]
        before = np.zeros(graph.n_edges)
        self.n_iter_ = 0
        while self.n_iter_ < self.max_iter:
            self.n_iter_ += 1
            for side, (known, target) in enumerate(ways):
                sides[side] = _solve(known, target, sides[1 - side], ridge)
            ours, theirs = (side[end] for side, end in zip(sides, ends, strict=True))
            after = ours[:, 0] + theirs[:, 0] + (ours[:, 1:] * theirs[:, 1:]).sum(axis=1)
            if np.sqrt(np.average((after - before) ** 2, weights=weights)) <= self.tol:
                break
            before = after
        else:
            warn_of_rounds(self, "the fit, in units of the noise,", stacklevel=5)
        return sides

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
        values, models, datasets = additive_part(self, X)
        known = (models >= 0) & (datasets >= 0)
        interaction = (self.model_factors_[models] * self.dataset_factors_[datasets]).sum(axis=1)
        return values + np.where(known, interaction, 0.0)


def _noise(graph, weights, mean, model_effects, dataset_effects):
    """The spread of what the effects leave over, as if each of them had cost one record."""
    rest = graph.scores - mean - model_effects[graph.edge_models] - dataset_effects[graph.edge_datasets]
    free = max(graph.n_edges - graph.n_models - graph.n_datasets + 1, 1)
    noise = float(np.sqrt(np.sum(weights * rest**2) / free))
    # Scores that differ by rounding only leave nothing to be learned.
    return noise if noise > 1e-10 * max(np.abs(graph.scores).max(), np.finfo(float).tiny) else 0.0


def _solve(known, target, other, ridge):
    """Effects and vectors of one side: a ridge regression of each node on the vectors of the other side."""
    design = other.copy()
    design[:, 0] = 1.0
    # The effects of the other side are part of what is explained already.
    rest = (target - known.multiply(other[None, :, 0])).tocsr()
    return solve_rows(known, rest, design, ridge)
