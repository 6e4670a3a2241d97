"""The graph step of TransferGraph as a transformer."""

__all__ = ["GraphEmbedder"]

import math
import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentedMixin, Interval, StrOptions, fit_context
from .._likeness import make_likeness, read_similarity
from .._output import RecordsOutputMixin, unique_names
from .._versioned import VersionedMixin
from ..exceptions import warn_of_unknown
from ..graph import SIDES, build_graph
from ..records import ROLES, lookup_ids, read_pairs
from ._placing import Placement
from ._scores import read_scores
from ._transfer_graph import KINDS, build_transfer_graph, make_measures
from .skipgram import count_pairs, train_vectors
from .walks import make_walk_graph, random_walks

#: A loss that ends so many times above its beginning has not only found nothing to learn.
_ASTRAY = 1.5


class GraphEmbedder(
    DocumentedMixin, VersionedMixin, RecordsOutputMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Describe models and datasets by their places in a graph of past results.

    Models and datasets are the nodes. The models that did best on a dataset are linked to it, and so are those that
    a transferability measure such as LogME favours for it; datasets are linked to the datasets most similar to them.
    Every node gets a vector such that the inner product of a model's and a dataset's vector tells how likely they are
    linked. The vectors join the columns of the records, and any regressor learns the scores from them: this is
    TransferGraph (Li et al., ICDE 2024) as a pipeline of parts.

    The graph is frozen by ``fit``: a row comes out as that row and the fitted state alone say.

    Parameters
    ----------
    method : {"node2vec", "node2vec+", "sage", "gat"}, default="node2vec+"
        How vectors are learned: from random walks that follow the weights, with the biases of node2vec or of
        node2vec+, or by two layers of a graph network (weighted GraphSAGE means, or attention) over the features of
        the nodes.
    n_components : int, default=128
        The length of the vectors.
    edges : tuple of {"score", "pair", "similarity"}, default=("score", "pair", "similarity")
        The kinds of edges, at least one of ``"score"`` and ``"pair"``.
    positive_share : float, default=0.5
        The share of the models of a dataset, best first, that is linked to it; by score and by measures alike. The
        weight of a link is the share of the models that are not better.
    negative_share : float, default=0.5
        The share, worst first, that is kept apart from the dataset in training.
    pair_columns : sequence of str, default=None
        The pair columns that measure how well a model suits a dataset, where higher is better; their ranks are
        averaged. None takes all of them, but for columns that flag missing values: a pair so flagged is not linked.
    similarity : frame, default=None
        A square table of similarities between datasets, in any units; for distances pass them negated. The ids are
        the names of its columns, and its index (of a pandas frame) or its first column. It has a row for every
        dataset of ``fit`` and may have rows for others, which ``transform`` then places by it. A missing value is no
        similarity. None compares the features of the datasets.
    n_neighbors : int, default=5
        Each dataset is linked to this many others, and an unknown model or dataset is placed by this many.
    walk_length, n_walks : int, default=20, 10
        The nodes of a walk and the number of walks from each node (node2vec, node2vec+).
    window : int, default=5
        Nodes at most this many steps apart on a walk are neighbours to the skip-gram model (node2vec, node2vec+).
    p, q : float, default=1.0, 0.5
        Low values lead a walk back to where it came from (p), or further away (q). With both at 1 there is no bias
        and node2vec+ is node2vec.
    n_negative : float, default=5.0
        Negative pairs in training for one positive pair.
    max_iter : int, default=200
        Steps of the optimizer.
    learning_rate : float, default=0.02
        The first step size of Adam; it falls to zero. A training that diverges is an error, one whose loss ends above
        its beginning a ConvergenceWarning; a smaller one helps.
    output : {"features", "records"}, default="features"
        ``"features"``: numbers alone, for any regressor of scikit-learn. ``"records"``: the two id columns before
        them, and the target after them where the input has it.
    duplicates : {"mean", "raise"}, default="mean"
        What to do with a pair that occurs with different scores: average them and warn, or raise.
    device : str, default="auto"
        Where ``"sage"`` and ``"gat"`` are trained. Walks and their vectors are computed by numpy.
    random_state : int, RandomState or None, default=None
    model, dataset, target : str, default="model", "dataset", "score"
        The columns of the model ids, the dataset ids and the scores.

    Attributes
    ----------
    models_, datasets_ : array of ids
        The nodes.
    pairs_ : integer array of shape (n_pairs, 2)
        The pairs with a score, as positions in ``models_`` and ``datasets_``.
    transfer_graph_ : TransferGraph
        The edges, in numpy.
    measures_ : Measures
        The pair columns that make edges.
    placement_ : Placement
        The vectors and what it takes to place unknown nodes, in numpy.
    roles_ : dict
        What each column describes: ``"model"``, ``"dataset"`` or ``"pair"``.
    n_iter_ : int
        The number of steps run.
    loss_curve_ : list of float
        The training loss of each step.
    n_features_in_ : int
        The number of columns of X without the target.
    feature_names_in_ : array of str
        Their names, when X had names.

    See Also
    --------
    skgat.MetadataEncoder : Makes numbers of metadata; goes before this step.

    Notes
    -----
    *Rows without a score.* A score may be missing (NaN) in ``fit``. Such a row makes no score edge, but its model and
    dataset become nodes, with all their other edges. This is the place for a new dataset whose measures are known for
    many models: measures are compared among the models of one dataset, so they have to be seen together. A regressor
    in the same pipeline does not take missing scores; fit the embedder first and the regressor on the rows with a
    score.

    *Unknown datasets and models.* One that was not in ``fit`` is described by its own row alone: its neighbours are
    the known nodes most similar to it (by the table or by metadata), and the other end of the row where the row's
    measures stand among the best ``positive_share`` of all pairs of ``fit``. It gets the weighted mean of their
    vectors, or what the trained layers make of them (to the layers, the features of an unknown model are its own
    input and similar models no neighbours). So the vector of an unknown dataset may differ between its rows, where
    their measures do, and only as far as one row can say. Without anything to go by it is the mean of all. No score
    of a dataset that is to be predicted is ever in the graph: leave its rows out of ``fit``, or give them without.

    *A row's own score.* The vectors of a known pair were learned with the edge between them, so a regressor that
    follows sees more of the rows it is fitted on than of new ones. Choose its settings by cross-validation over
    datasets, with the embedder inside the pipeline.

    References
    ----------
    Z. Li, H. van der Wilk, D. Zhan, M. Khosla, A. Bozzon, R. Hai. *Model Selection with Model Zoo via Graph
    Learning.* ICDE 2024.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgat import MetadataEncoder
    >>> from skgat.datasets import load_vision_zoo
    >>> from skgat.embedding import GraphEmbedder
    >>> records = load_vision_zoo().records
    >>> seen, pets = records[records["dataset"] != "pets"], records[records["dataset"] == "pets"]
    >>> embedder = GraphEmbedder("node2vec+", n_components=16, random_state=0)
    >>> recommender = make_pipeline(MetadataEncoder(), embedder, RandomForestRegressor(random_state=0))
    >>> recommender.fit(seen, seen["score"]).predict(pets).shape
    (23,)
    """

    _parameter_constraints = {  # noqa: RUF012
        "method": [StrOptions({"node2vec", "node2vec+", "sage", "gat"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "edges": [tuple, list],
        "positive_share": [Interval(Real, 0, 1, closed="right")],
        "negative_share": [Interval(Real, 0, 1, closed="both")],
        "pair_columns": [tuple, list, None],
        "similarity": "no_validation",
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "walk_length": [Interval(Integral, 2, None, closed="left")],
        "n_walks": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left")],
        "p": [Interval(Real, 0, None, closed="neither")],
        "q": [Interval(Real, 0, None, closed="neither")],
        "n_negative": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "output": [StrOptions({"records", "features"})],
        "duplicates": [StrOptions({"mean", "raise"})],
        "device": [str],
        "random_state": ["random_state"],
        "model": [str],
        "dataset": [str],
        "target": [str],
    }

    def __init__(
        self,
        method="node2vec+",
        n_components=128,
        edges=KINDS,
        *,
        positive_share=0.5,
        negative_share=0.5,
        pair_columns=None,
        similarity=None,
        n_neighbors=5,
        walk_length=20,
        n_walks=10,
        window=5,
        p=1.0,
        q=0.5,
        n_negative=5.0,
        max_iter=200,
        learning_rate=0.02,
        output="features",
        duplicates="mean",
        device="auto",
        random_state=None,
        model="model",
        dataset="dataset",
        target="score",
    ):
        self.method = method
        self.n_components = n_components
        self.edges = edges
        self.positive_share = positive_share
        self.negative_share = negative_share
        self.pair_columns = pair_columns
        self.similarity = similarity
        self.n_neighbors = n_neighbors
        self.walk_length = walk_length
        self.n_walks = n_walks
        self.window = window
        self.p = p
        self.q = q
        self.n_negative = n_negative
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.output = output
        self.duplicates = duplicates
        self.device = device
        self.random_state = random_state
        self.model = model
        self.dataset = dataset
        self.target = target

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Build the graph and learn the vectors.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)
            Ids and numbers, such as a :class:`~skgat.MetadataEncoder` makes; the ids alone are enough.
        y : array of shape (n_records,), optional
            The scores, NaN for a pair that was not run; by default X's target column.

        Returns
        -------
        self
        """
        self._check_edges()
        similarity = None if self.similarity is None else read_similarity(self.similarity)
        pairs = read_pairs(self, X, reset=True)
        scores = read_scores(self, X, y, pairs) if "score" in self.edges else np.full(len(pairs), np.nan)
        # All rows make the nodes; those with a score are looked at once more.
        nodes = build_graph(replace(pairs, scores=np.zeros(len(pairs))))
        scored = self._scored(pairs, scores)
        self.models_, self.datasets_ = nodes.models, nodes.datasets
        self.roles_ = {column: role for role in ROLES for column in getattr(nodes, f"{role}_columns")}
        self.pairs_ = np.zeros((0, 2), dtype=np.int64)
        if scored is not None:
            places = [lookup_ids(getattr(nodes, f"{side}s"), getattr(scored, f"{side}s")) for side in SIDES]
            self.pairs_ = np.column_stack([places[0][scored.edge_models], places[1][scored.edge_datasets]])
        features = pd.DataFrame(nodes.pair_features, columns=list(nodes.pair_columns))
        self.measures_ = make_measures(features, self.pair_columns)
        likeness = {
            "model": make_likeness(nodes.models, nodes.model_features, self.n_neighbors),
            "dataset": make_likeness(nodes.datasets, nodes.dataset_features, self.n_neighbors, similarity),
        }
        self.transfer_graph_ = build_transfer_graph(
            nodes, scored, self.measures_, likeness["dataset"], self.edges, self.positive_share, self.negative_share
        )
        if not (self.transfer_graph_.kinds < 2).any():
            raise ValueError(
                f"Got edges={self.edges!r}, but X gives no edge of the kinds 'score' and 'pair'; expected at least one "
                "score or one measure that is not missing."
            )
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self.placement_, self.loss_curve_ = self._train(nodes, likeness, seed)
        self._check_training()
        self.n_iter_ = len(self.loss_curve_)
        self._names = self._output_names(pairs)
        return self

    def _check_edges(self):
        for kind in self.edges:
            if kind not in KINDS:
                raise ValueError(f"Got edges={self.edges!r}, but expected a choice of {KINDS}; {kind!r} is none.")
        if not {"score", "pair"} & set(self.edges):
            raise ValueError(f"Got edges={self.edges!r}, but expected 'score' or 'pair' among them.")

    def _scored(self, pairs, scores):
        kept = ~np.isnan(scores)
        if not kept.any():
            return None
        rows = replace(
            pairs,
            models=pairs.models[kept],
            datasets=pairs.datasets[kept],
            scores=scores[kept],
            features=pairs.features.loc[kept].iloc[:, :0],
        )
        return build_graph(rows, self.duplicates)

    def _train(self, nodes, likeness, seed):
        graph = self.transfer_graph_
        weights = {}
        if self.method in ("sage", "gat"):
            from .linkpred import train_network

            features = {side: likeness[side].features for side in SIDES}
            levels, weights, losses = train_network(
                self.method, graph, features, self.n_components, self.n_negative, self.max_iter, self.learning_rate,
                self.device, seed,
            )  # fmt: skip
        else:
            rng = np.random.default_rng(seed)
            walker = make_walk_graph(graph.sources, graph.targets, graph.weights, graph.n_nodes)
            extended = self.method == "node2vec+"
            walks = random_walks(walker, self.n_walks, self.walk_length, self.p, self.q, extended, rng)
            near = count_pairs(walks, self.window, graph.n_nodes)
            with np.errstate(over="ignore", invalid="ignore"):  # what came of it is looked at when fit ends
                vectors, losses = train_vectors(
                    *near, graph.negatives, graph.n_nodes, self.n_components, self.n_negative, self.max_iter,
                    self.learning_rate, rng,
                )  # fmt: skip
            levels = [vectors]
        kind = self.method if weights else "mean"
        placement = Placement(kind, likeness, "similarity" in self.edges, levels, weights, graph.n_models)
        if not weights:
            self._place_the_lonely(placement, nodes)
        return placement, losses

    def _check_training(self):
        first, last = self.loss_curve_[0], self.loss_curve_[-1]
        if not math.isfinite(last):
            raise ValueError(
                f"Got learning_rate={self.learning_rate!r}, with which training diverged: after "
                f"{len(self.loss_curve_)} steps the loss is no finite number. Try a smaller learning_rate."
            )
        if last > _ASTRAY * first:
            warnings.warn(
                f"The training loss ended at {last:.3g}, above the {first:.3g} where it began: the vectors are of "
                f"little use. Try a smaller learning_rate than {self.learning_rate:.3g}.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _place_the_lonely(self, placement, nodes):
        """A known node that no edge and no negative pair touches is placed like an unknown one."""
        graph = self.transfer_graph_
        lonely = np.ones(graph.n_nodes, dtype=bool)
        lonely[np.concatenate([graph.sources, graph.targets, graph.negatives.ravel()])] = False
        for side, part in (("model", slice(graph.n_models)), ("dataset", slice(graph.n_models, None))):
            rows = np.flatnonzero(lonely[part])
            if 0 < len(rows) < len(lonely[part]):
                vectors = placement.vectors(side)
                # It is one of its own neighbours, and should bring nothing of its own.
                vectors[rows] = vectors[~lonely[part]].mean(axis=0)
                ids, features = getattr(nodes, f"{side}s")[rows], getattr(nodes, f"{side}_features")[rows]
                none = np.zeros(len(rows), dtype=np.int64)
                vectors[rows] = placement.place(side, ids, features, none, none.astype(np.float64))

    def _output_names(self, pairs):
        width = range(self.n_components)
        names = [*pairs.features.columns, *(f"{side}__g{i}" for side in SIDES for i in width)]
        return unique_names(names, taken=(self.model, self.dataset, self.target))

    def transform(self, X):
        """Add the vectors of the model and the dataset of each row.

        Parameters
        ----------
        X : frame of records or array of shape (n_records, n_columns)
            The target column, if there is one, is not read.

        Returns
        -------
        frame, or array for an array
            See the parameter `output`.
        """
        check_is_fitted(self)
        pairs = read_pairs(self, X, reset=False)
        columns = list(self.roles_)
        pairs = replace(pairs, features=pairs.features[self._names[: len(columns)]])
        values = np.empty((len(pairs), len(self._names)), order="F")
        values[:, : len(columns)] = pairs.features.to_numpy(dtype=np.float64)
        start = len(columns)
        for table in self._vectors(pairs):
            values[:, start : start + self.n_components] = table
            start += self.n_components
        return self._hand_over(X, pairs, values)

    def _vectors(self, pairs):
        """One table a side, one row a pair."""
        placement = self.placement_
        codes = {
            "model": lookup_ids(self.models_, pairs.models),
            "dataset": lookup_ids(self.datasets_, pairs.datasets),
        }
        standing = self._standing(pairs)
        bare = {}
        for side, other in (SIDES, SIDES[::-1]):
            vectors = placement.vectors(side)[codes[side]].astype(np.float64)
            new = codes[side] < 0
            if new.any():
                ids = getattr(pairs, f"{side}s")[new]
                columns = [column for column, role in self.roles_.items() if role == side]
                features = pairs.features.loc[:, columns].to_numpy(dtype=np.float64)[new]
                ends = codes[other][new]
                strengths = np.where(ends >= 0, standing[new], 0.0)
                ends = np.maximum(ends, 0) + (placement.n_models if other == "dataset" else 0)
                vectors[new] = placement.place(side, ids, features, ends, strengths)
                if not columns:
                    known = (placement.likeness[side].listed(ids) >= 0) | (strengths > 0)
                    bare[side] = set(ids[~known].tolist())
            yield vectors
        warn_of_unknown(bare, stacklevel=5)

    def _standing(self, pairs):
        """The weight of an edge that a row's measures make, where one of its ends is unknown."""
        if "pair" not in self.edges or not self.measures_.columns:
            return np.zeros(len(pairs))
        standing = self.measures_.standing(pairs.features)
        return np.where(standing > 1.0 - self.positive_share, standing, 0.0)

    def embeddings(self, kind):
        """The vectors of all known models or datasets.

        Parameters
        ----------
        kind : {"model", "dataset"}

        Returns
        -------
        frame
            One row an id.
        """
        check_is_fitted(self)
        if kind not in SIDES:
            raise ValueError(f'Got kind={kind!r}, but expected "model" or "dataset".')
        index = pd.Index(getattr(self, f"{kind}s_"), name=getattr(self, kind))
        return pd.DataFrame(
            self.placement_.vectors(kind).copy(), index=index, columns=[f"g{i}" for i in range(self.n_components)]
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = "score" in self.edges
        return tags
