"""The transfer space of Fennec: vectors of models and datasets whose products are scores."""

__all__ = ["TransferSpaceRegressor"]

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentedMixin, HasMethods, Interval, StrOptions, fit_context
from .._regressor import RecordRegressorMixin
from .._versioned import VersionedMixin
from ..exceptions import warn_of_rounds, warn_of_unknown
from ..gat.reading import read_features
from ..graph import SIDES, build_graph
from ..records import on_any_model, read_pairs
from ._spaces import Recipe, fit_space, learn_weights, settle


class TransferSpaceRegressor(DocumentedMixin, VersionedMixin, RecordRegressorMixin, BaseEstimator):
    """Models and datasets as points of one space, in which the unknown are placed by their metadata.

    The recipe of Fennec [1]_ in three steps. *Transfer*: the table of scores, as far as it is filled, is factorised
    into a vector of each model and a vector of each dataset whose product is the score; a regression learns where the
    metadata of a dataset (features of a probe model are such metadata, see
    :class:`~skgat.embedding.ProbeEncoder`) place it, so that an unknown dataset is scored against every model by one
    product. Unknown models are placed in the same way. *Meta*: a second regression tells from the metadata of a model
    (vectors of its architecture are such metadata, see :class:`~skgat.embedding.Archi2Vec`) how good it is on the
    whole. *Merge*: both are added up, with weights that are learned on known datasets held out one group after the
    other.

    Parameters
    ----------
    model, dataset, target : str, default="model", "dataset", "score"
        The columns of the model ids, the dataset ids and the scores.
    n_components : int, default=8
        The length of the vectors, the level apart.
    alpha : float, default=3.0
        How strongly vectors are drawn to where the metadata place them (without metadata, to zero). The scores are
        brought to unit variance first, so it does not depend on their scale; where they hold little noise, less is
        better.
    center : {"both", "model", "dataset", "none"}, default="both"
        What is subtracted before factorising: the additive effects of models and datasets, the mean of each model,
        the mean of each dataset, or nothing.
    shrinkage : float, default=1.0
        How strongly these effects are drawn to zero; in units of records.
    noise : {"dataset", "equal"}, default="dataset"
        Whose errors count how much in the factorisation. ``"dataset"``: they are weighed against the spread of the
        scores on the dataset, so that the order of the models matters as much where scores lie close together.
        ``"equal"``: all alike, which suits a small squared error.
    mapper : regressor, default=None
        Learns the places of the unknown and the meta score; a clone is fitted for each. By default a ridge regression
        on standardised columns, whose strength is chosen by leave-one-out errors.
    meta_weight : "auto" or float, default="auto"
        The share of the meta score in the level of a known model, from 0 to 1. ``"auto"``: learned.
    n_splits : int, default=5
        The number of groups of datasets that are held out in turn to learn the weights.
    max_iter : int, default=100
        The most rounds of alternating least squares; a ConvergenceWarning tells that they were too few.
    tol : float, default=1e-4
        They end when the loss falls by less than this share.
    duplicates : {"mean", "raise"}, default="mean"
        What to do with a pair that occurs with different scores.
    random_state : int, RandomState or None, default=None
        For the groups of datasets, and the start of the factorisation.

    Attributes
    ----------
    mean_ : float
        The mean score; zero with ``center="none"``.
    models_, datasets_ : array of ids
        What was seen in ``fit``.
    pairs_ : integer array of shape (n_pairs, 2)
        Which models were seen with which datasets, as positions in ``models_`` and ``datasets_``.
    model_vectors_, dataset_vectors_ : array of shape (n_models or n_datasets, n_components + 1)
        The level, then the vector, of each known model and dataset.
    placements_ : dict
        By side, the learned map from metadata to level and vector.
    transfer_weight_ : float
        How far an unknown dataset is moved from the center of the space, relative to what its metadata say.
    meta_weight_ : float
        The share of the meta score.
    loss_curve_ : list of float
        The loss after each round of alternating least squares.
    n_iter_ : int
        Their number.
    graph_ : Graph
        The records as a graph.
    n_features_in_ : int
        The number of columns of X without the target.
    feature_names_in_ : array of str
        Their names, when X had names.

    See Also
    --------
    BiasRegressor : The levels alone.

    Notes
    -----
    Columns that describe a pair are not read. A weight of a record counts in every step.

    References
    ----------
    .. [1] J. Bai, S. Wu, J. Song, J. Zhao, G. Chen, "Pre-Trained Model Recommendation for Downstream Fine-tuning",
       2024, arXiv:2403.06382.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgat import MetadataEncoder, recommend
    >>> from skgat.baselines import TransferSpaceRegressor
    >>> from skgat.datasets import load_vision_zoo
    >>> records = load_vision_zoo().records
    >>> known = records[records["dataset"] != "pets"]
    >>> space = make_pipeline(MetadataEncoder(), TransferSpaceRegressor(random_state=0)).fit(known)
    >>> pets = records.loc[records["dataset"] == "pets"].filter(regex="^dataset").iloc[[0]]
    >>> recommend(space, pets, k=3).columns.tolist()
    ['dataset', 'rank', 'model', 'score', 'std']
    """

    _parameter_constraints = {  # noqa: RUF012 - scikit-learn's own form
        "model": [str],
        "dataset": [str],
        "target": [str],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "center": [StrOptions({"both", "model", "dataset", "none"})],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "noise": [StrOptions({"dataset", "equal"})],
        "mapper": [HasMethods(["fit", "predict"]), None],
        "meta_weight": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "duplicates": [StrOptions({"mean", "raise"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        model="model",
        dataset="dataset",
        target="score",
        n_components=8,
        alpha=3.0,
        center="both",
        shrinkage=1.0,
        noise="dataset",
        mapper=None,
        meta_weight="auto",
        n_splits=5,
        max_iter=100,
        tol=1e-4,
        duplicates="mean",
        random_state=None,
    ):
        self.model = model
        self.dataset = dataset
        self.target = target
        self.n_components = n_components
        self.alpha = alpha
        self.center = center
        self.shrinkage = shrinkage
        self.noise = noise
        self.mapper = mapper
        self.meta_weight = meta_weight
        self.n_splits = n_splits
        self.max_iter = max_iter
        self.tol = tol
        self.duplicates = duplicates
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None):
        """Factorise the scores, and learn where metadata place the unknown.

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
        pairs = read_pairs(self, X, y, sample_weight, reset=True, scores=True)
        graph = build_graph(pairs, self.duplicates)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        sizes = (self.n_components, self.alpha, self.center, self.shrinkage)
        recipe = Recipe(*sizes, self.noise, self.mapper, self.max_iter, self.tol)
        space = fit_space(graph, recipe, np.random.RandomState(seed))
        trust, weight = learn_weights(graph, recipe, self.n_splits, np.random.RandomState(seed))
        self.transfer_weight_ = trust
        self.meta_weight_ = weight if self.meta_weight == "auto" else float(self.meta_weight)
        space = settle(space, graph, recipe, self.transfer_weight_, self.meta_weight_)
        self.graph_ = graph
        self.models_, self.datasets_ = graph.models, graph.datasets
        self.pairs_ = np.column_stack([graph.edge_models, graph.edge_datasets])
        self.mean_, self.placements_ = space.mean, space.placements
        self.model_vectors_, self.dataset_vectors_ = (space.vectors[side] for side in SIDES)
        self._averages = {f"{side}_center": getattr(graph, f"{side}_features").mean(axis=0) for side in SIDES}
        self.loss_curve_ = space.losses
        self.n_iter_ = len(space.losses)
        before, after = space.losses[-2:] if self.n_iter_ > 1 else [0.0, 0.0]
        if self.n_iter_ == self.max_iter and before - after > self.tol * before:
            warn_of_rounds(self, "the loss, as a share of itself,", stacklevel=4)
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
        models, datasets = self._place(X)
        products = np.einsum("ij,ij->i", models[:, 1:], datasets[:, 1:])
        return self.mean_ + models[:, 0] + datasets[:, 0] + products

    def predict_all(self, X):
        """Predict the scores of all known models on the dataset of each row, by one product of their vectors.

        Parameters
        ----------
        X : frame of records or array of shape (n_rows, n_columns)
            One row a dataset; it does not matter which model the row names, if it does.

        Returns
        -------
        scores : array of shape (n_rows, n_models)
            In the order of ``models_``.
        """
        (datasets,) = self._place(on_any_model(self, X), sides=("dataset",))
        levels = self.mean_ + datasets[:, 0]
        directions = datasets.copy()
        directions[:, 0] = 1.0
        scores = np.empty((len(datasets), len(self.models_)))
        for row, direction in enumerate(directions):
            np.dot(self.model_vectors_, direction, out=scores[row])
            scores[row] += levels[row]
        return scores

    def embeddings(self, kind):
        """The vectors of the known models or datasets.

        Parameters
        ----------
        kind : {"model", "dataset"}

        Returns
        -------
        pandas.DataFrame
            One row an id; the column ``level``, then ``0``, ``1``, ...
        """
        check_is_fitted(self)
        if kind not in SIDES:
            raise ValueError(f"Got kind={kind!r}, but expected 'model' or 'dataset'.")
        index = pd.Index(getattr(self, f"{kind}s_"), name=getattr(self, kind))
        columns = ["level", *map(str, range(self.n_components))]
        return pd.DataFrame(getattr(self, f"{kind}_vectors_"), index=index, columns=columns)

    def _place(self, X, sides=SIDES):
        """The vectors of the model and of the dataset of each row."""
        check_is_fitted(self)
        pairs = read_pairs(self, X, reset=False, missing=True)
        tables, codes, bare = read_features(self.graph_, self._averages, pairs, sides)
        warn_of_unknown({side: bare[side] for side in sides}, stacklevel=4)
        vectors = []
        for side in sides:
            placed = getattr(self, f"{side}_vectors_")[codes[side]]
            new = codes[side] < 0
            placed[new] = self.placements_[side].place(tables[side][new])
            vectors.append(placed)
        return vectors
