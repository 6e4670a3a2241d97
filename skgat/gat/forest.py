"""Trees for models without records, or with few, and for unknown datasets: grown by scikit-learn, kept as arrays.

What tells one unknown model from another is often a threshold: large enough, trained on text, a measure above some
value. The smooth functions of networks and kernels learn that slowly, trees at once. Each tree hears of some models
only, and where the dataset is unknown too of some datasets only, so that what it says of the others tells how good the
trees are where nothing is known.
"""

__all__ = ["Forest", "Ignorance", "as_table", "grow", "grow_tree", "moved", "need_of", "too_many_known", "usual_of"]

from dataclasses import dataclass, replace

import numpy as np
from sklearn import config_context
from sklearn.tree import DecisionTreeRegressor

from ..graph import SIDES
from ..records import ROLES, lookup_ids

_TREES = 60
#: Of few models so many trees each tell as much.
_TREES_OF_MODEL = 3
#: Each tree for unknown models hears of this share of them: the fewer it hears of the more trees tell of a model, and
#: the less each of them knows.
_HEARD_SHARE = 0.8
#: The share of the features among which trees choose, by what is unknown of the pairs that they are for.
_LOOKED_AT = {"model": 0.6, "both": 1 / 3}
#: Fewer models would be learned by heart.
_FEWEST_MODELS = 5
#: A tree learns from at most so many records, so that the trees of a large history cost no more than its networks.
_MOST_RECORDS = 10_000
#: The fewest records of a leaf, and what else they may be: where metadata all but determine a result it is one, where
#: they tell little it is many.
_LEAF_RECORDS = 3
_OTHER_LEAVES = (1, 8)
#: Which is better so many trees of each kind tell, by the models that they did not hear of: fewer where each hears of
#: more records. Fewer models cannot tell.
_FEWEST_SCOUTS = 8
_MOST_SCOUTS = 24
_ALL_SCOUTED = 72_000
_FEWEST_WITNESSES = 20
#: Targets are multiples of its inverse. Sums of them are exact, so that of splits into the same parts, which abound in
#: small nodes, rounding chooses none, and neither does the unit of the scores.
_STEPS = 2.0**20
#: What is usual on a dataset with so many records is half of what is usual everywhere.
_FEW_RECORDS = 3
#: Of a model with so many records trees have half of their share.
_FEW_OF_MODEL = 3
#: A smaller part is none, and of more models, which are ranked at once, they have none of any.
_LEAST_PART = 0.02
_MOST_KNOWN = 10_000
#: So many pairs of known ends are asked about once and for all, where nothing else tells them apart.
_MOST_TOLD = 2**17
_BLOCK = 4_096


@dataclass(frozen=True)
class Forest:
    """All trees one after the other, each with a node's smaller child right behind it; a leaf is its own child.

    Attributes
    ----------
    roots : integer array of shape (n_trees,)
    columns : integer array of shape (n_nodes,)
        What a node looks at, among the features of all roles side by side.
    thresholds : array of shape (n_nodes,)
        Minus infinity at a leaf.
    larger : integer array of shape (n_nodes,)
        Where to go if the value is larger than the threshold.
    values : array of shape (n_nodes,)
    depth : int
    usual : array of shape (2, n_datasets, n_pair_features) or None
        Mean and spread of the features of pairs on each dataset. If given, trees look at these features relative to it
        as well: a LogME says more of a model beside those of others on the same dataset.
    share : float
        What part of a prediction comes from the trees.
    floor : float
        What part comes from them where the model is known, however many records it has.
    known_share : float
        What part of the rest comes from them there, were it not for its records.
    need : array of shape (n_models,) or None
        What is left of that for each known model; None where trees have no part for any.
    told : array of shape (n_models, n_datasets) or None
        What they say of pairs of known ends; NaN where they have no part, and of nodes that joined afterwards.
    """

    roots: np.ndarray
    columns: np.ndarray
    thresholds: np.ndarray
    larger: np.ndarray
    values: np.ndarray
    depth: int
    usual: np.ndarray | None = None
    share: float = 0.0
    floor: float = 0.0
    known_share: float = 0.0
    need: np.ndarray | None = None
    told: np.ndarray | None = None

    def predict(self, features, datasets):
        """Scores in the units of training.

        Parameters
        ----------
        features : dict of arrays of shape (n_pairs, n_features)
            Scaled, by role.
        datasets : integer array of shape (n_pairs,)
            Of each pair; not read where nothing is usual.

        Returns
        -------
        array of shape (n_pairs,)
        """
        table = self._table(features, datasets)
        scores = np.empty(len(table))
        for start in range(0, len(table), _BLOCK):
            rows = slice(start, start + _BLOCK)
            scores[rows] = self.values[self._leaves(table[rows])].mean(axis=1, dtype=np.float64)
        return scores

    def poll(self, features, datasets, trees, n_all=None):
        """What some of the trees say, and how much more that varies than what all would say.

        Parameters
        ----------
        features, datasets : see :meth:`predict`
        trees : boolean array of shape (n_pairs, n_trees)
            Who is asked about each pair.
        n_all : int, optional
            How many all will be, where others are still to be grown.

        Returns
        -------
        scores : array of shape (n_pairs,)
            NaN where nobody is asked.
        spread : array of shape (n_pairs,)
            The variance of such a mean beyond that of a mean over all; NaN where fewer than two are asked, for one tree
            does not tell by how much trees vary.
        """
        table = self._table(features, datasets)
        scores, spread = np.full((2, len(table)), np.nan)
        for start in range(0, len(table), _BLOCK):
            rows = slice(start, start + _BLOCK)
            values, asked = self.values[self._leaves(table[rows])], trees[rows]
            n_asked = asked.sum(axis=1)
            sums = (values * asked).sum(axis=1, dtype=np.float64)
            means = np.divide(sums, n_asked, out=scores[rows], where=n_asked > 0)
            squares = (asked * (values - means[:, None]) ** 2).sum(axis=1)
            excess = squares * (1.0 / np.maximum(n_asked, 1) - 1.0 / (n_all or len(self.roots)))
            np.divide(excess, n_asked - 1, out=spread[rows], where=n_asked > 1)
        return scores, spread

    def of_known(self, models):
        """What part of a prediction comes from the trees where the model is known."""
        if self.need is None:
            return np.zeros(len(models))
        part = self.floor + (1.0 - self.floor) * self.known_share * self.need[models]
        return np.where(part < _LEAST_PART, 0.0, part)

    def has_say(self):
        """Whether any prediction comes from the trees in part."""
        return self.share > 0 or (self.need is not None and bool(self.of_known(slice(None)).any()))

    def asked_of_known(self, graph, share, features=None, floor=0.0):
        """The same trees with a part of the prediction for known models.

        Parameters
        ----------
        graph : Graph
        share : float
        features : dict of arrays, optional
            Of the nodes, scaled, by side: then what trees say of pairs of known ends is put down.
        floor : float, default=0.0
        """
        need = need_of(graph) if max(share, floor) and not too_many_known(graph) else None
        asked = replace(self, known_share=share, floor=floor, need=need)
        return asked if features is None else replace(asked, told=asked._ask_all(graph, features))

    def _ask_all(self, graph, features):
        models = np.flatnonzero(self.of_known(np.arange(graph.n_models)))
        if not 0 < len(models) * graph.n_datasets <= _MOST_TOLD:
            return None
        ends = [ids.ravel() for ids in np.meshgrid(models, np.arange(graph.n_datasets), indexing="ij")]
        tables = {side: features[side][codes] for side, codes in zip(SIDES, ends, strict=True)}
        told = np.full((graph.n_models, graph.n_datasets), np.nan, dtype=np.float32)
        told[models] = self.predict(tables | {"pair": np.zeros((len(ends[0]), 0))}, None).reshape(len(models), -1)
        return told

    def over(self, graph, larger, pair_features):
        """The same trees over a graph to which records were added, where something else is usual."""
        usual = None if self.usual is None else usual_of(larger, pair_features)
        told = None if self.told is None else moved(self.told, graph, larger)
        return replace(self, usual=usual, told=told).asked_of_known(larger, self.known_share, floor=self.floor)

    def _table(self, features, datasets):
        columns = [features[role] for role in ROLES]
        if self.usual is not None:
            columns.append(_beside(features["pair"], datasets, self.usual))
        return as_table(columns)

    def _leaves(self, table):
        nodes = np.repeat(self.roots[None].astype(np.intp), len(table), axis=0)
        rows = np.arange(len(table))[:, None]
        for _ in range(self.depth):
            larger = table[rows, self.columns[nodes]] > self.thresholds[nodes]
            nodes = np.where(larger, self.larger[nodes], nodes + 1)
        return nodes


@dataclass(frozen=True)
class Ignorance:
    """Which trees never heard of whom.

    Attributes
    ----------
    of_models : boolean array of shape (n_models, n_trees) or None
        None where it does not matter.
    of_datasets : boolean array of shape (n_datasets, n_trees) or None
        None where all of them heard of all datasets.
    """

    of_models: np.ndarray | None
    of_datasets: np.ndarray | None

    def trees(self, models, datasets):
        """The trees that know as little of pairs of these nodes as of those that they are for."""
        unheard = [
            table[nodes]
            for table, nodes in ((self.of_models, models), (self.of_datasets, datasets))
            if table is not None
        ]
        return np.logical_and.reduce(unheard)


def grow(graph, features, target, case, seed):
    """Grow the trees.

    Parameters
    ----------
    graph : Graph
    features : dict of arrays
        Scaled, by role: of the nodes, and of the edges for pairs.
    target : array of shape (n_edges,)
    case : {"model", "both"}
        What is unknown of the pairs that they are for.
    seed : int

    Returns
    -------
    forest : Forest or None
        Without a share. None where models are too few or nothing describes them.
    ignorance : Ignorance or None
    """
    if graph.n_models < _FEWEST_MODELS or not (features["model"].shape[1] or features["pair"].shape[1]):
        return None, None
    # Few trees heard of neither end of a pair, too few to tell more.
    chosen = case == "model" and graph.n_models >= _FEWEST_WITNESSES
    leaves = (_LEAF_RECORDS, *_OTHER_LEAVES) if chosen else (_LEAF_RECORDS,)
    columns, usual = _columns_of(graph, features, case)
    kinds = [_Nursery(graph, columns, usual, target, case, seed, leaf) for leaf in leaves]
    best = _choose(kinds, graph, features, target) if chosen else kinds[0]
    return best.grow(_n_trees(graph, case))


def _n_trees(graph, case):
    return _TREES if case == "both" else min(_TREES, _TREES_OF_MODEL * graph.n_models)


def _choose(kinds, graph, features, target):
    """The trees that err least on the models that they did not hear of."""
    n_scouts = min(max(_ALL_SCOUTED // graph.n_edges, _FEWEST_SCOUTS), _MOST_SCOUTS)
    errors = [_error_unheard(graph, features, target, *nursery.grow(n_scouts)) for nursery in kinds]
    return kinds[int(np.argmin(errors))]


def _error_unheard(graph, features, target, forest, ignorance):
    """The mean square of the errors on unheard models that a whole forest of such trees would make."""
    if forest is None:
        return 0.0
    total, mass, n_all = 0.0, 0.0, _n_trees(graph, "model")
    # The features of all records of a large history at once would be more than all else that a fit holds.
    for start in range(0, graph.n_edges, _BLOCK):
        rows = slice(start, start + _BLOCK)
        codes = {side: getattr(graph, f"edge_{side}s")[rows] for side in SIDES}
        of_edges = {side: features[side][codes[side]] for side in SIDES} | {"pair": features["pair"][rows]}
        unheard = ignorance.trees(codes["model"], codes["dataset"])
        said, spread = forest.poll(of_edges, codes["dataset"], unheard, n_all)
        told = np.isfinite(spread)
        weights = graph.relative_weights[rows][told]
        total += weights @ ((target[rows] - said) ** 2 - spread)[told]
        mass += weights.sum()
    return total / mass if mass else 0.0


def _columns_of(graph, features, case):
    """What trees look at, as they are grown on it, and what is usual on each dataset where they look at that."""
    edges, usual = np.arange(graph.n_edges), None
    columns = [(features[side], getattr(graph, f"edge_{side}s")) for side in SIDES] + [(features["pair"], edges)]
    if case == "model" and features["pair"].shape[1]:
        usual = usual_of(graph, features["pair"])
        columns.append((_beside(features["pair"], graph.edge_datasets, usual), edges))
    return columns, usual


class _Nursery:
    """Trees of one kind, which are grown as they are needed.

    Parameters
    ----------
    graph, target, case, seed : see :func:`grow`
    columns, usual : see :func:`_columns_of`
    leaf : int
        The fewest records of a leaf.
    """

    def __init__(self, graph, columns, usual, target, case, seed, leaf):
        self.graph, self.columns, self.usual, self.target = graph, columns, usual, target
        self.case, self.leaf = case, leaf
        # Records of one model are no independent witnesses, nor are those of one dataset: who is unknown is drawn.
        self.drawn = SIDES if case == "both" else ("model",)
        self.rng, self.state = np.random.default_rng((seed, len(self.drawn))), np.random.RandomState(0)
        self.n_drawn, self.trees, self.unheard = 0, [], []

    def grow(self, n_trees):
        """Go on until there are so many; returns them as a forest, with its ignorance, or None for both."""
        while self.n_drawn < n_trees:
            self.n_drawn += 1
            counts = {side: self._draw(getattr(self.graph, f"n_{side}s")) for side in self.drawn}
            times = np.prod([counts[side][getattr(self.graph, f"edge_{side}s")] for side in self.drawn], axis=0)
            arguments = {"max_features": _LOOKED_AT[self.case], "min_samples_leaf": self.leaf}
            weights = self.graph.relative_weights * times
            tree = grow_tree(self.columns, self.target, weights, self.rng, self.state, **arguments)
            if tree is not None:
                self.trees.append(_flat(tree))
                self.unheard.append([counts[side] == 0 for side in self.drawn])
        if not self.trees:
            return None, None
        of_whom = [np.column_stack(parts) for parts in zip(*self.unheard, strict=True)]
        return _join(self.trees, self.usual), Ignorance(*of_whom, *[None] * (2 - len(of_whom)))

    def _draw(self, n_nodes):
        """How often each node is heard of."""
        if self.case == "both":
            return np.bincount(self.rng.integers(n_nodes, size=n_nodes), minlength=n_nodes)
        counts = np.zeros(n_nodes, dtype=np.int64)
        counts[self.rng.permutation(n_nodes)[: max(round(_HEARD_SHARE * n_nodes), 1)]] = 1
        return counts


def moved(table, graph, larger):
    """A table of models by datasets over a graph to which nodes were added, or records alone; NaN for new nodes."""
    found = [lookup_ids(getattr(graph, f"{side}s"), getattr(larger, f"{side}s")) for side in SIDES]
    if all(np.array_equal(places, np.arange(n)) for places, n in zip(found, table.shape, strict=True)):
        return table
    table = table[np.ix_(*found)]
    table[found[0] < 0] = np.nan
    table[:, found[1] < 0] = np.nan
    return table


def too_many_known(graph):
    """Whether known models, which are ranked at once, are too many to ask trees about them."""
    return graph.n_models > _MOST_KNOWN


def need_of(graph):
    """What part of their share trees have for each model, which others learn from its records."""
    n_records = np.bincount(graph.edge_models, minlength=graph.n_models)
    return _FEW_OF_MODEL / (_FEW_OF_MODEL + n_records)


def usual_of(graph, pair_features):
    """What features of pairs are like on each dataset: their mean, and their spread.

    Parameters
    ----------
    graph : Graph
    pair_features : array of shape (n_edges, n_features)
        Scaled.

    Returns
    -------
    array of shape (2, n_datasets, n_features)
    """
    codes, n_datasets = graph.edge_datasets, graph.n_datasets

    def total(table):
        return np.stack([np.bincount(codes, column, n_datasets) for column in table.T], axis=1)

    n_records = np.bincount(codes, minlength=n_datasets)[:, None]
    mass = n_records + _FEW_RECORDS
    mean = (total(pair_features) + _FEW_RECORDS * pair_features.mean(axis=0)) / mass
    squares = (pair_features - mean[codes]) ** 2
    spread = np.sqrt((total(squares) + _FEW_RECORDS * squares.mean(axis=0)) / mass)
    # A feature that is the same for all models of a dataset differs by rounding.
    return np.stack([mean, np.where(spread > 1e-9, spread, 1.0)])


def _beside(pair_features, datasets, usual):
    mean, spread = usual
    return (pair_features - mean[datasets]) / spread[datasets]


def as_table(columns):
    """Columns of several arrays side by side, as exact as trees look at them."""
    limit = np.finfo(np.float32).max
    return np.clip(np.hstack(columns), -limit, limit).astype(np.float32)


def grow_tree(columns, target, weights, rng, state, **arguments):
    """One tree on the records that have weight, or on some where they are too many; None where none has any.

    Parameters
    ----------
    columns : list of pairs of arrays
        A table of features, and which of its rows each record has.
    target, weights : arrays of shape (n_records,)
    rng : numpy Generator
    state : numpy RandomState
        What scikit-learn draws from, seeded anew for each tree: to make one takes a good part of a small tree's time.
    **arguments
        Of scikit-learn's tree.

    Returns
    -------
    sklearn.tree._tree.Tree or None
    """
    rows = np.flatnonzero(weights)
    if len(rows) > _MOST_RECORDS:
        rows = rng.choice(rows, _MOST_RECORDS, replace=False)
    state.seed(int(rng.integers(np.iinfo(np.int32).max)))
    if not len(rows):
        return None
    tree = DecisionTreeRegressor(random_state=state, **arguments)
    told = as_table([table[places[rows]] for table, places in columns])
    wanted = np.round(_STEPS * target[rows]) / _STEPS
    # What is made here needs no checks, which take as long as a small tree; weights are checked unless there are none.
    weighs = None if (weights[rows] == 1.0).all() else weights[rows]
    with config_context(assume_finite=True, skip_parameter_validation=True):
        return tree.fit(told, wanted, sample_weight=weighs, check_input=False).tree_


def _flat(tree):
    """What is kept of a tree, by the names of a forest's arrays, and its depth."""
    inner = tree.children_left >= 0
    itself = np.arange(tree.node_count, dtype=np.int32)
    return {
        "columns": np.where(inner, tree.feature, 0).astype(np.int32),
        "thresholds": np.where(inner, _round_down(tree.threshold), np.float32(-np.inf)),
        "larger": np.where(inner, tree.children_right, itself).astype(np.int32),
        "values": tree.value[:, 0, 0].astype(np.float32),
    }, tree.max_depth


def _join(trees, usual):
    tables, depths = zip(*trees, strict=True)
    sizes = [len(table["values"]) for table in tables]
    roots = (np.cumsum(sizes) - sizes).astype(np.int32)
    joined = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    joined["larger"] += np.repeat(roots, sizes)
    joined["columns"] = joined["columns"].astype(np.min_scalar_type(joined["columns"].max()))
    return Forest(roots=roots, **joined, depth=max(depths), usual=usual)


def _round_down(thresholds):
    """In single precision: no feature, which is in single precision too, is on the other side then."""
    single = thresholds.astype(np.float32)
    return np.where(single > thresholds, np.nextafter(single, np.float32(-np.inf)), single)
