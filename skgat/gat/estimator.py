"""The scikit-learn side of the graph attention recommender."""

__all__ = ["TransferabilityGAT"]

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._compat import CallbackSupportMixin, DocumentedMixin, fit_context, with_callbacks
from .._regressor import RecordRegressorMixin
from .._versioned import VersionedMixin
from ..exceptions import warn_of_unknown
from ..graph import SIDES, build_graph, extend_graph
from ..records import ROLES, read_pairs
from .arguments import CONSTRAINTS, check_arguments
from .prediction import predict_columns, predict_pairs
from .reading import check_size, read_features
from .unwinding import all_or_nothing


class TransferabilityGAT(DocumentedMixin, VersionedMixin, CallbackSupportMixin, RecordRegressorMixin, BaseEstimator):
    """Predict how well models do on datasets with a graph attention network over past results.

    Models and datasets are the two kinds of nodes of a graph, every known result is an edge that carries its score.
    Attention passes messages along the edges in both directions; a decoder turns the states of a model and a dataset
    into a score. In each training step some edges (and whole nodes) are hidden and predicted from the rest, so that
    the network learns what it is used for: missing results, and models and datasets it has never seen.

    A prediction is the average of an ensemble of such networks and of an exact kernel regression on the same records
    (a Gaussian process whose covariance compares models, datasets and pairs by their identity and their features):
    the networks learn how results on one dataset speak of another, the regression is at its best where there are few
    records and metadata that can be trusted. ``kernel_weight`` is the share of the regression. What it leaves over of
    known models on known datasets is completed by a table of low rank, and models without records, or with few, are
    predicted by a forest of trees on their metadata too, both with shares that are learned: some things only results
    tell, and what tells such models apart is often a threshold.

    The graph is frozen by ``fit``: a prediction depends on its own row and the fitted state alone.

    Parameters
    ----------
    model, dataset, target : str
        The columns of the model ids, the dataset ids and the scores.
    hidden_dim : int, default=32
        Width of the node states.
    n_layers : int or "auto", default="auto"
        Number of attention layers. ``"auto"`` is one, or two where nodes hear from their own kind (``n_neighbors``):
        what a node has heard of its records takes a second layer to reach the nodes like it.
    n_heads : int, default=4
        Number of attention heads.
    combine : {"concat", "last"}, default="concat"
        Whether the decoder reads the states of all levels or of the last one.
    decoder : {"bilinear", "linear", "mlp"}, default="bilinear"
        How a network makes a score of the two ends of a pair. ``"linear"`` adds a term of the model and a term of the
        dataset and so (with ``kernel_weight=0`` and ``forest_weight=0``, and the same pair features) ranks all models
        alike for every dataset without records; the others learn the interaction.
    edge_features : bool, default=True
        Whether messages carry the scores of the edges.
    n_neighbors : int, default=0
        Each node also hears from this many nodes of its own kind with the most similar features; 0 for none.
    similarity : frame, default=None
        With ``n_neighbors``: a square table that says how similar datasets are, in any units (pass distances negated),
        where their features would say it otherwise. The ids are the names of its columns, and its index (of a pandas
        frame) or its first column. It has a row for every dataset of ``fit``, and of ``partial_fit`` (a larger table
        can be set before); an unknown dataset that has a row hears from the datasets which that row favours. A missing
        value is no similarity. The regression does not read it.
    dropout : float, default=0.1
        Share of the node states that is dropped before the decoder in training.
    feature_dropout : float or "auto", default="auto"
        Share of the steps in which the features of all models, of all datasets or of all pairs are blanked, each
        drawn on its own. A prediction is the same mixture: this share of it comes from the records alone. It keeps
        a handful of datasets from being told apart by chance differences of their metadata, so ``"auto"`` is
        15 / (15 + n) with n the number of datasets (for the features of models, of models if they are fewer).
        Predictions for unknown models, which would lie too close together for it, are spread out in the same order.
    edge_dropout : float, default=0.7
        Each step hides a random share of the edges, up to this one, and learns to predict them. At least a tenth is
        hidden as long as scores travel along edges, because an edge must not tell its own score.
    node_dropout : float, default=0.15
        Share of the models and of the datasets whose edges are all hidden in a step.
    loss : {"huber", "squared_error"}, default="huber"
        Loss of a predicted score.
    rank_weight : float, default=2.0
        Weight of the loss on scores centred within each dataset, which is about the ranking alone.
    target_transform : {"balanced", "none", "zscore", "rank", "logit"}, default="balanced"
        What is learned: the score, the score standardised within its dataset, the normal quantile of its rank there,
        its logit, or (``"balanced"``) the standardised score plus a quarter of the rank, which heeds both how badly
        the worst models fail and the order of the best. Predictions always come back in the scale of the scores; where
        all scores lie from 0 to 1 (or to 100), those of the three that look within datasets stay there.
    n_estimators : int, default=4
        Number of networks, trained together in one pass and averaged.
    learning_rate : float or "auto", default="auto"
        Largest step size of AdamW. ``"auto"`` is 0.007, and with more than 3,000 records it grows with their number up
        to 0.021: more data take and need larger steps. A training that diverges is an error, one whose loss ends
        far above its beginning a ConvergenceWarning; a smaller one helps.
    weight_decay : float, default=0.01
        Decoupled weight decay.
    max_iter : int or "auto", default="auto"
        Number of training steps (epochs: each sees the whole graph). ``"auto"`` is 200, and with more than 3,000
        records it grows as their number to the power of 0.4, up to 800.
    early_stopping : bool, default=False
        Whether to hold out whole datasets, stop when they are no longer predicted better, and keep the best state.
    validation_fraction : float, default=0.1
        Share of the datasets to hold out for early stopping.
    n_iter_no_change : int, default=30
        Epochs without improvement before an early stop.
    tol : float, default=1e-4
        What counts as an improvement.
    warm_start : bool, default=False
        Whether ``fit`` starts from the weights of the last ``fit``, those of the same shape. With ``conv="gatconv"``
        the vectors of models and datasets are among them, by position in ``models_`` and ``datasets_``.
    device : str, default="auto"
        ``"auto"`` (CUDA when there is one), ``"cpu"``, ``"cuda"`` or any torch device that is there.
    random_state : int, RandomState instance or None, default=None
        Seeds weights, hidden edges and dropout. Torch's global random stream is not touched.
    verbose : int, default=0
        Print the loss every so many epochs.
    kernel_weight : float, default=0.5
        Share of the kernel regression in the prediction, from 0 to 1; the networks have the rest.
    forest_weight : float or "auto", default="auto"
        Share of a forest of trees in the prediction for models without records, from 0 to 1; the networks and the
        regression have the rest. ``"auto"`` learns it from models that were held out of training; it also lets trees
        have shares, learned in the same way, in predictions for known models: others between known models and known
        datasets, and the same where a model has few records or the dataset is none of those known. How many records a
        leaf needs is learned from models that trees did not hear of. With fewer than 20 records there are no trees.
    factor_weight : float or "auto", default="auto"
        How much of what the kernel regression leaves over is completed by a table of low rank, from 0 to 1, for known
        models on known datasets: there results tell more than metadata do. ``"auto"`` learns it from pairs that were
        held out of training. Without the regression (``kernel_weight=0``) there is nothing to complete, nor is it with
        fewer than 20 records.
    conv : {"bipartite", "gatconv"}, default="bipartite"
        The attention layer: ours, or the one of the SCG4Trf paper (see :mod:`skgat.presets`).
    additive : bool, default=True
        Whether shrunken additive effects of models and datasets are a built-in part of the prediction.
    schedule : bool, default=True
        Whether the step size rises and falls in one cycle over ``max_iter``; constant otherwise.
    duplicates : {"mean", "raise"}, default="mean"
        What to do with a pair that occurs with different scores: average them and warn, or raise.
    checkpoint_dir : str or path-like, default=None
        A folder in which ``fit`` keeps the state of its training, every few seconds and at little cost. If the
        process is killed, the next ``fit`` on the same data with the same arguments (and an integer
        ``random_state``) goes on from there, on the CPU to the same bits. A finished fit removes its checkpoint.

    Attributes
    ----------
    graph_ : Graph
        The frozen graph, in numpy.
    network_ : FrozenNetwork
        Weights, node states and decoder terms, in numpy.
    kernel_ : KernelRegression or None
        The kernel regression, in numpy, with the factors of what it leaves over; None with ``kernel_weight=0``.
    forest_ : dict of Forest or None
        The trees for unknown models, in numpy, and their share: under ``"model"`` those for known datasets, under
        ``"both"`` those for unknown ones. Both also have a share for known models with few records, the latter for
        others too. None where they have none.
    grove_ : Grove or None
        What trees say of every pair of a known model and a known dataset, and their share; None where they have none:
        with a ``forest_weight`` that is given, without metadata, or with more than two million such pairs.
    models_, datasets_ : array of ids
        The known models and datasets.
    device_ : str
        Where ``fit`` ran.
    n_iter_ : int
        The number of epochs run.
    loss_curve_ : list of float
        The training loss of each epoch.
    validation_scores_ : list of float
        With early stopping: minus the loss on the held-out edges after each epoch.
    noise_, ranking_noise_ : dict of float
        Error on edges that were held out of a member's training, by what else was (who knows less of a pair is not
        taken to err less); of the scores, and of the scores relative to the others of the dataset. Enter
        ``predict(return_std=True)`` and ``ranking_std``, where they grow for models and datasets with few records.
    n_features_in_ : int
        The number of columns of X without the target.
    feature_names_in_ : array of str
        Their names, when X had names.

    Notes
    -----
    A nameless numeric array is read by position: ids of models, ids of datasets, features of the pair.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgat import MetadataEncoder, TransferabilityGAT
    >>> from skgat.datasets import load_vision_zoo
    >>> records = load_vision_zoo().records
    >>> seen = records[records["dataset"] != "pets"]
    >>> gat = TransferabilityGAT(max_iter=50, random_state=0)
    >>> recommender = make_pipeline(MetadataEncoder(), gat).fit(seen)
    >>> recommender.predict(records[records["dataset"] == "pets"]).shape
    (23,)
    """

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        *,
        model="model",
        dataset="dataset",
        target="score",
        hidden_dim=32,
        n_layers="auto",
        n_heads=4,
        combine="concat",
        decoder="bilinear",
        edge_features=True,
        n_neighbors=0,
        similarity=None,
        dropout=0.1,
        feature_dropout="auto",
        edge_dropout=0.7,
        node_dropout=0.15,
        loss="huber",
        rank_weight=2.0,
        target_transform="balanced",
        n_estimators=4,
        learning_rate="auto",
        weight_decay=1e-2,
        max_iter="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=30,
        tol=1e-4,
        warm_start=False,
        device="auto",
        random_state=None,
        verbose=0,
        kernel_weight=0.5,
        forest_weight="auto",
        factor_weight="auto",
        conv="bipartite",
        additive=True,
        schedule=True,
        duplicates="mean",
        checkpoint_dir=None,
    ):
        self.model = model
        self.dataset = dataset
        self.target = target
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.combine = combine
        self.decoder = decoder
        self.edge_features = edge_features
        self.n_neighbors = n_neighbors
        self.similarity = similarity
        self.dropout = dropout
        self.feature_dropout = feature_dropout
        self.edge_dropout = edge_dropout
        self.node_dropout = node_dropout
        self.loss = loss
        self.rank_weight = rank_weight
        self.target_transform = target_transform
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.kernel_weight = kernel_weight
        self.forest_weight = forest_weight
        self.factor_weight = factor_weight
        self.conv = conv
        self.additive = additive
        self.schedule = schedule
        self.duplicates = duplicates
        self.checkpoint_dir = checkpoint_dir

    @property
    def models_(self):
        """The known models."""
        check_is_fitted(self)
        return self.graph_.models

    @property
    def datasets_(self):
        """The known datasets."""
        check_is_fitted(self)
        return self.graph_.datasets

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn from records.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)
            Ids and numbers, such as a :class:`~skgat.MetadataEncoder` makes; the ids alone are enough.
        y : array of shape (n_records,), optional
            The scores; by default X's target column.
        sample_weight : array of shape (n_records,), optional
            How much each record counts in the loss and the additive effects.

        Returns
        -------
        self
        """
        from .fitting import prepare, train

        check_arguments(self)
        with all_or_nothing(self):
            start = self.network_.weights if self.warm_start and hasattr(self, "network_") else None
            vars(self).pop("validation_scores_", None)
            pairs = read_pairs(self, X, y, sample_weight, reset=True, scores=True)
            graph = build_graph(pairs, self.duplicates)
            check_size(graph)
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            task = prepare(self, graph)
            context = self._init_callback_context(max_subtasks=task.settings["max_iter"])
            context.call_on_fit_task_begin(estimator=self, X=X, y=pairs.scores)
            for name, value in train(self, task, seed, start, context, X, pairs.scores).items():
                setattr(self, name, value)
            context.call_on_fit_task_end(estimator=self, X=X, y=pairs.scores)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Take in further records as edges of the graph, without training again.

        New models and datasets join the graph; a known pair takes its new score. The weights stay as they are, so
        this costs about one epoch. On an estimator that is not fitted it is ``fit``.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)
        y : array of shape (n_records,), optional
            The scores; by default X's target column.

        Returns
        -------
        self
        """
        if not hasattr(self, "network_"):
            return self.fit(X, y)
        from .fitting import refresh

        with all_or_nothing(self):
            pairs = read_pairs(self, X, y, reset=False, scores=True, missing=True)
            tables, _, _ = read_features(self.graph_, self.network_.scaling, pairs)
            columns = {role: getattr(self.graph_, f"{role}_columns") for role in ROLES}
            features = pd.DataFrame(
                np.hstack([tables[role] for role in ROLES]), columns=[name for role in ROLES for name in columns[role]]
            )
            further = build_graph(replace(pairs, features=features), self.duplicates, columns)
            graph = extend_graph(self.graph_, further)
            for name, value in refresh(self, graph).items():
                setattr(self, name, value)
        return self

    def predict(self, X, return_std=False):
        """Predict the score of each pair.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)
            The target column, if there is one, is not read.
        return_std : bool, default=False
            Whether to return standard deviations too: how far the networks of the ensemble disagree, and the error
            that they made on records that were held out in ``fit``.

        Returns
        -------
        scores : array of shape (n_records,)
        std : array of shape (n_records,)
            Only if ``return_std``.
        """
        check_is_fitted(self)
        values, std, unknown = predict_pairs(self, X)
        warn_of_unknown(unknown)
        return (values, std) if return_std else values

    def predict_all(self, X, return_std=False):
        """Predict the scores of all known models on the dataset of each row.

        The same as :meth:`predict` says of all these pairs when nothing is known of the pairs themselves, up to single
        precision, by one product for each dataset.

        Parameters
        ----------
        X : frame of records or array of shape (n_rows, n_columns)
            One row a dataset; what the row says of a model or of a pair is not read and may be left out.
        return_std : bool, default=False
            Whether to return standard deviations too.

        Returns
        -------
        scores : array of shape (n_rows, n_models)
            In the order of ``models_``.
        std : array of shape (n_rows, n_models)
            Only if ``return_std``.
        """
        check_is_fitted(self)
        values, std, unknown = predict_columns(self, X)
        warn_of_unknown(unknown)
        return (values, std) if return_std else values

    def ranking_std(self, X):
        """Standard deviations of the scores relative to the other models on the same dataset.

        At most those of :meth:`predict`: the level of a dataset is left out, which is the same for all models.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)

        Returns
        -------
        std : array of shape (n_records,)
        """
        check_is_fitted(self)
        return predict_pairs(self, X, ranking=True)[1]

    def embeddings(self, kind):
        """The learned states of all known models or datasets.

        Parameters
        ----------
        kind : {"model", "dataset"}

        Returns
        -------
        frame
            One row an id; the states of all levels of all networks of the ensemble.
        """
        check_is_fitted(self)
        if kind not in SIDES:
            raise ValueError(f'Got kind={kind!r}, but expected "model" or "dataset".')
        levels = self.network_.levels[kind]
        table = levels.transpose(1, 0, 2).reshape(levels.shape[1], -1)
        index = pd.Index(getattr(self.graph_, f"{kind}s"), name=getattr(self, kind))
        return pd.DataFrame(table, index=index, columns=[f"e{i}" for i in range(table.shape[1])])

    def attention(self):
        """How much each node listens to each of its records.

        Returns
        -------
        frame
            Columns ``source, target, layer, head, weight``. The heads of all networks of the ensemble are numbered
            through; the weights of a target sum to one in each layer and head (with ``conv="gatconv"`` to less: the
            rest is what it keeps of itself).
        """
        check_is_fitted(self)
        from .fitting import attention_weights

        graph = self.graph_
        ends = {"model": graph.models[graph.edge_models], "dataset": graph.datasets[graph.edge_datasets]}
        frames = []
        for side, layer, weights in attention_weights(self, graph):
            source = "dataset" if side == "model" else "model"
            frames += [
                pd.DataFrame(
                    {"source": ends[source], "target": ends[side], "layer": layer, "head": head, "weight": weight}
                )
                for head, weight in enumerate(weights)
            ]
        return pd.concat(frames, ignore_index=True)
