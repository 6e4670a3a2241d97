"""The network: two layouts of one computation, torch and numpy with one answer, and labels that stay hidden."""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgat import MetadataEncoder, TransferabilityGAT, presets
from skgat.datasets import make_transfer_records
from skgat.gat import fitting, trainer
from skgat.gat.edges import DenseEdges, SparseEdges, choose_layout
from skgat.gat.losses import losses_of
from skgat.gat.module import Inputs, make_network
from skgat.gat.runtime import as_tensor, make_generator, resolve_device, to_numpy
from skgat.graph import SIDES, build_graph, extend_graph, neighbors
from skgat.records import read_pairs

TINY = {"max_iter": 12, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0, "device": "cpu"}
PAPER = {
    name: value
    for name, value in presets.scg4trf().get_params().items()
    if name in ("conv", "decoder", "edge_features", "additive", "feature_dropout", "kernel_weight", "forest_weight")
}
VARIANTS = [
    *(
        {"decoder": decoder, "combine": combine, "n_neighbors": n_neighbors}
        for decoder, combine, n_neighbors in itertools.product(
            ("bilinear", "linear", "mlp"), ("concat", "last"), (0, 3)
        )
    ),
    {"feature_dropout": 0.0},
    {"feature_dropout": 0.2, "n_neighbors": 3, "decoder": "mlp"},
    {"edge_features": False},
    {"hidden_dim": 7, "n_heads": 3, "n_neighbors": 3},
    {"additive": False},
    {"edge_features": False, "additive": False, "n_neighbors": 3},
    {**PAPER, "combine": "concat"},
    {**PAPER, "combine": "last", "n_layers": 1, "n_heads": 4},
]


def name_of(variant):
    return "-".join(f"{name}={value}" for name, value in variant.items())


variants = pytest.mark.parametrize("variant", VARIANTS, ids=name_of)


@pytest.fixture(scope="module")
def encoded():
    """Encoded records with metadata of models, datasets and pairs; some pairs are missing."""
    records = make_transfer_records(9, 8, fill=0.6, random_state=1).records
    return MetadataEncoder().fit_transform(records)


@pytest.fixture(scope="module")
def fitted(encoded):
    """Fitted estimators by variant; the last model and dataset are unknown to them."""
    seen = encoded[(encoded["model"] != last(encoded, "model")) & (encoded["dataset"] != last(encoded, "dataset"))]
    return {name_of(variant): TransferabilityGAT(**TINY | variant).fit(seen) for variant in VARIANTS}


def last(frame, column):
    return sorted(frame[column].unique())[-1]


def build(estimator, frame):
    return build_graph(read_pairs(estimator, frame, reset=True, scores=True))


def make_inputs(task, layout):
    graph = task.graph
    identity = {side: range(getattr(graph, f"n_{side}s")) for side in SIDES}
    return Inputs(graph, task.features, task.near, layout(graph, "cpu"), identity, "cpu")


def shake(network, seed=0):
    """Give every parameter a value: those that start as zeros would hide what they multiply."""
    generator = make_generator(seed, "cpu")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)


class TestLayouts:
    def run(self, variant, encoded, layout):
        """Output on the edges, attention and gradients with a third of the edges hidden."""
        estimator = TransferabilityGAT(**TINY | variant)
        task = fitting.prepare(estimator, build(estimator, encoded))
        network = make_network(task.config, make_generator(0, "cpu"))
        shake(network)
        inputs = make_inputs(task, layout)
        hidden = torch.rand((task.config["n_estimators"], task.graph.n_edges), generator=make_generator(3, "cpu")) < 0.3
        edges = inputs.edges
        visible = edges.place((~hidden).float()) > 0
        target = edges.place(as_tensor(task.target, "cpu"))[None]
        out = network(inputs, target, visible, make_generator(7, "cpu"))
        (edges.take(out) * torch.linspace(-1, 1, task.graph.n_edges)).sum().backward()
        gradients = {name: to_numpy(p.grad) for name, p in network.named_parameters() if p.grad is not None}
        attention = [to_numpy(weights) for _, _, weights in network.attention(inputs, target, visible)]
        return to_numpy(edges.take(out)), gradients, attention

    @variants
    def test_tables_and_lists_give_the_same(self, variant, encoded):
        (one, gradients, attention), (other, of_lists, attention_of_lists) = (
            self.run(variant, encoded, layout) for layout in (DenseEdges, SparseEdges)
        )
        assert np.ptp(one) > 0.1
        assert_allclose(one, other, rtol=1e-4, atol=1e-4)
        assert gradients.keys() == of_lists.keys()
        for name, gradient in gradients.items():
            scale = max(np.abs(gradient).max(), 1.0)
            assert_allclose(gradient, of_lists[name], rtol=1e-3, atol=2e-4 * scale, err_msg=name)
        for weights, of_list in zip(attention, attention_of_lists, strict=True):
            assert_allclose(weights, of_list, atol=1e-5)

    @pytest.mark.parametrize("layout", [DenseEdges, SparseEdges])
    def test_operations_agree_with_loops(self, layout, encoded):
        estimator = TransferabilityGAT(**TINY)
        graph = build(estimator, encoded)
        edges = layout(graph, "cpu")
        rng = np.random.default_rng(0)
        ends = list(zip(graph.edge_models, graph.edge_datasets, strict=True))
        on_edges = rng.normal(size=(2, graph.n_edges)).astype(np.float32)
        placed = edges.place(torch.as_tensor(on_edges))
        assert_allclose(edges.take(placed), on_edges)
        assert int(edges.present.sum()) == graph.n_edges
        for axis, side in enumerate(SIDES):
            expected = np.zeros((2, getattr(graph, f"n_{side}s")))
            for number, end in enumerate(ends):
                expected[:, end[axis]] += on_edges[:, number]
            assert_allclose(edges.total(placed, side), expected, rtol=1e-5, atol=1e-5)
        assert_allclose(edges.sum(placed), on_edges.sum(axis=1), rtol=1e-4, atol=1e-4)
        carry = edges.carrying(placed)
        for axis, (side, other) in enumerate(zip(SIDES, reversed(SIDES), strict=True)):
            of_senders = rng.normal(size=(2, getattr(graph, f"n_{other}s"))).astype(np.float32)
            expected = np.zeros((2, getattr(graph, f"n_{side}s")))
            for number, end in enumerate(ends):
                expected[:, end[axis]] += on_edges[:, number] * of_senders[:, end[1 - axis]]
            of_senders = torch.as_tensor(of_senders)
            assert_allclose(carry(of_senders, side), expected, rtol=1e-5, atol=1e-5)
            at_ends = edges.take(edges.at_ends(of_senders, other).expand_as(placed))
            assert_allclose(at_ends, of_senders[:, [end[1 - axis] for end in ends]])
        models, datasets = rng.normal(size=(2, graph.n_models, 3)), rng.normal(size=(2, graph.n_datasets, 3))
        product = edges.take(edges.product(torch.as_tensor(models), torch.as_tensor(datasets)))
        assert_allclose(product, np.stack([(models[:, i] * datasets[:, j]).sum(-1) for i, j in ends], axis=1))

    def test_sparse_graphs_become_lists_and_small_ones_tables(self):
        def layout(n_models, n_datasets, fill):
            records = make_transfer_records(n_models, n_datasets, fill=fill, random_state=0).records
            graph = build(TransferabilityGAT(), records[["model", "dataset", "score"]])
            return type(choose_layout(graph, "cpu"))

        assert layout(8, 8, 0.2) is DenseEdges
        assert layout(300, 200, 0.01) is SparseEdges


class TestLosses:
    @pytest.mark.parametrize("rank_weight", [0.0, 0.7])
    @pytest.mark.parametrize("loss", ["huber", "squared_error"])
    @pytest.mark.parametrize("layout", [DenseEdges, SparseEdges])
    def test_values_and_derivatives_are_those_of_the_formula(self, layout, loss, rank_weight, encoded):
        """The formula edge by edge, in double precision, differentiated by torch; one member is asked nothing."""
        weights = np.random.default_rng(1).uniform(0.2, 3.0, len(encoded))
        pairs = read_pairs(TransferabilityGAT(), encoded, sample_weight=weights, reset=True, scores=True)
        graph = build_graph(pairs)
        edges = layout(graph, "cpu")
        generator = make_generator(0, "cpu")
        out, target = torch.randn((2, 3, graph.n_edges), generator=generator, dtype=torch.float64)
        asked = torch.rand((3, graph.n_edges), generator=generator) < 0.4
        asked[2] = False
        given = edges.place(out).requires_grad_()
        found = losses_of(edges, given, edges.place(target), edges.place(asked.float()) > 0, loss, rank_weight)
        pulls = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
        (found * pulls).sum().backward()

        out.requires_grad_()
        datasets = torch.as_tensor(graph.edge_datasets)
        expected = []
        for values, truth, rows in zip(out, target, asked, strict=True):
            weight = torch.as_tensor(graph.weights / graph.weights.mean())[rows]
            off, of = (values - truth)[rows], datasets[rows]
            single = 0.5 * off**2
            if loss == "huber":
                single = torch.where(off.abs() <= 0.5, single, 0.5 * (off.abs() - 0.25))
            value = (weight * single).sum()
            for dataset in of.unique():
                own, its = off[of == dataset], weight[of == dataset]
                value = value + rank_weight * 0.5 * (its * (own - (its * own).sum() / its.sum()) ** 2).sum()
            expected.append(value / weight.sum().clamp(min=1e-9))
        expected = torch.stack(expected)
        (expected * pulls).sum().backward()
        assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-6, atol=1e-9)
        assert found[2] == 0
        assert_allclose(to_numpy(edges.take(given.grad)), to_numpy(out.grad), rtol=1e-5, atol=1e-9)


def terms_of(network, inputs, target, visible):
    """The mean and the decoder terms: a mixture of what is said with and without a look at the features."""
    blank = {side: network.config[f"blank_{side}"] for side in SIDES}
    mean, effects, levels = network.encode(inputs, target, visible)
    _, _, blind = network.encode(inputs, target, visible, dict.fromkeys((*SIDES, "pair"), 0.0))
    return mean, {
        side: (1 - blank[side]) * network.terms(side, levels[side], effects[side])
        + blank[side] * network.terms(side, blind[side], effects[side])
        for side in SIDES
    }


class TestNumpyEqualsTorch:
    @variants
    def test_known_pairs(self, variant, fitted):
        """What is kept of the network predicts what the network rebuilt from it predicts."""
        estimator = fitted[name_of(variant)]
        graph, frozen = estimator.graph_, estimator.network_
        network, inputs, task = fitting._rebuild(estimator, graph)
        network.eval()
        target, visible = fitting._all_visible(inputs.edges, task)
        shown = 1.0 - network.config["blank_pair"]
        with torch.no_grad():
            mean, terms = terms_of(network, inputs, target, visible)
            expected = to_numpy(inputs.edges.take(network.predict_edges(inputs, mean, terms, shown)))
            if estimator.feature_dropout == 0:
                assert_allclose(inputs.edges.take(network(inputs, target, visible)), expected, rtol=1e-6)
        found = frozen.predict(
            frozen.terms["model"][:, graph.edge_models],
            frozen.terms["dataset"][:, graph.edge_datasets],
            frozen.scale("pair", graph.pair_features),
        )
        assert np.ptp(found) > 0
        assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    @variants
    def test_unknown_nodes(self, variant, fitted, encoded):
        """A node of which only the features are known: numpy against torch over the graph with that node in it."""
        estimator = fitted[name_of(variant)]
        frozen = estimator.network_
        told = fitting.prepare(estimator, estimator.graph_, frozen.scaling)
        for side in SIDES:
            other = SIDES[1 - SIDES.index(side)]
            new = last(encoded, side)
            known = getattr(estimator.graph_, f"{other}s")[0]
            rows = encoded[(encoded[side] == new)].iloc[:1].assign(**{other: known})
            columns = {role: getattr(estimator.graph_, f"{role}_columns") for role in (*SIDES, "pair")}
            pairs = read_pairs(TransferabilityGAT(), rows, reset=True, scores=True)
            grown = extend_graph(estimator.graph_, build_graph(pairs, columns=columns))
            (place,) = np.flatnonzero(getattr(grown, f"{side}s") == new)
            network, inputs, task = fitting._rebuild(estimator, grown)
            network.eval()
            features = frozen.scale(side, getattr(grown, f"{side}_features")[[place]])
            among = frozen.scale(side, getattr(estimator.graph_, f"{side}_features"))
            # The newcomer hears its neighbours but is no neighbour of theirs: the known are frozen.
            n_neighbors = estimator.n_neighbors
            near = (neighbors(among, among, n_neighbors, exclude_self=True), neighbors(features, among, n_neighbors))
            assert place == len(among)
            inputs.near[side] = tuple(
                as_tensor(np.vstack(both), "cpu", dtype)
                for both, dtype in zip(zip(*near, strict=True), (torch.int64, torch.float32), strict=True)
            )
            # What the others scored is learned as before the newcomer's record, which is hidden, moved the scale.
            task.target[getattr(grown, f"edge_{side}s") != place] = told.target
            target, visible = fitting._all_visible(inputs.edges, task)
            ends = as_tensor(getattr(grown, f"edge_{side}s"), "cpu", torch.int64)
            visible = visible & (inputs.edges.place((ends != place).float()) > 0)
            with torch.no_grad():
                _, terms = terms_of(network, inputs, target, visible)
                expected = to_numpy(terms[side])[:, place]
            found = frozen.attach(side, features, among)[:, 0]
            assert_allclose(found, expected, rtol=1e-4, atol=2e-5, err_msg=side)

    @variants
    def test_unknown_nodes_differ_by_their_features(self, variant, fitted, encoded):
        estimator = fitted[name_of(variant)]
        frozen = estimator.network_
        for side in SIDES:
            known = frozen.scale(side, getattr(estimator.graph_, f"{side}_features"))
            found = frozen.attach(side, np.vstack([known[0], known[0] + 1.0]), known)
            assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-4

    def test_neighbours_are_heard(self, fitted):
        """Of two known graphs that differ in the states of the neighbours, an unknown node tells which it is in."""
        estimator = fitted[name_of({"decoder": "bilinear", "combine": "concat", "n_neighbors": 3})]
        frozen = estimator.network_
        known = frozen.scale("model", estimator.graph_.model_features)
        before = frozen.attach("model", known[:1], known)
        levels = dict(frozen.levels)
        frozen.levels["model"] = frozen.levels["model"] + 1.0
        try:
            after = frozen.attach("model", known[:1], known)
        finally:
            frozen.levels.update(levels)
        assert np.abs(after - before).max() > 1e-3


class SpyTrainer(trainer.Trainer):
    """Notes, step by step, which edges the network was shown and which ones the loss asked for."""

    steps: list

    def __init__(self, graph, *args, validation=None, folds=None, **kwargs):
        super().__init__(graph, *args, validation=validation, folds=folds, **kwargs)
        held = np.zeros((self.config["n_estimators"], graph.n_edges), dtype=bool)
        for chosen in (validation and validation[0], folds):
            held |= False if chosen is None else chosen
        edges = self.inputs.edges
        self.heard = edges.present & (edges.place(torch.as_tensor(~held).float()) > 0)

    def _loss(self, edges, out, targets, supervised):
        self.steps[-1].setdefault("supervised", supervised.clone())
        return super()._loss(edges, out, targets, supervised)

    def epoch(self):
        describe = self.network.describe

        def note(inputs, target, visible, generator=None):
            self.steps.append({"visible": visible.clone(), "heard": self.heard})
            return describe(inputs, target, visible, generator)

        self.network.describe = note
        try:
            return super().epoch()
        finally:
            del self.network.describe


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.setattr(fitting, "Trainer", SpyTrainer)
    SpyTrainer.steps = []
    return SpyTrainer.steps


class TestHiddenLabels:
    @pytest.mark.parametrize("layout", [DenseEdges, SparseEdges])
    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"edge_dropout": 0.0},
            {"edge_dropout": 0.0, "node_dropout": 0.0},
            {"edge_dropout": 0.0, "node_dropout": 0.0, "edge_features": False},
            {"edge_dropout": 0.0, "node_dropout": 0.0, "additive": False},
            {"edge_dropout": 0.3, "edge_features": False, "additive": False},
            {"early_stopping": True},
        ],
        ids=name_of,
    )
    def test_no_edge_is_told_its_own_score(self, params, layout, encoded, steps, monkeypatch):
        monkeypatch.setattr(fitting, "choose_layout", layout)
        TransferabilityGAT(**TINY | params).fit(encoded)
        assert len(steps) == TINY["max_iter"]
        for step in steps:
            visible, supervised = step["visible"], step["supervised"]
            assert not (visible & supervised).any()
            assert not ((visible | supervised) & ~step["heard"]).any()
        assert all((step["heard"] != step["heard"][0]).any() for step in steps)
        assert sum(int(step["supervised"].sum()) for step in steps) > 0
        assert sum(int(step["visible"].sum()) for step in steps) > 0

    def test_each_step_and_member_hides_other_edges(self, encoded, steps):
        TransferabilityGAT(**TINY).fit(encoded)
        both = steps[0]["heard"].all(0)
        shown = [step["visible"] & both for step in steps]
        assert not torch.equal(shown[0], shown[1])
        assert not torch.equal(shown[0][0], shown[0][1])

    def test_every_edge_that_a_member_may_hear_is_supervised_in_some_step(self, encoded, steps):
        TransferabilityGAT(**TINY | {"max_iter": 60}).fit(encoded)
        ever = torch.stack([step["supervised"] for step in steps]).any(0)
        assert torch.equal(ever, steps[0]["heard"])
        assert 0.6 < float(ever.float().sum()) / (len(ever) * len(encoded)) < 1.0

    def test_where_no_score_travels_every_edge_may_be_seen_and_asked_for(self, encoded, steps):
        params = {"edge_dropout": 0.0, "node_dropout": 0.0, "edge_features": False, "additive": False}
        TransferabilityGAT(**TINY | params).fit(encoded)
        assert all(torch.equal(step["visible"], step["supervised"]) for step in steps)

    @variants
    def test_what_is_said_of_a_hidden_edge_does_not_depend_on_its_score(self, variant, encoded):
        """The same step with other scores on the hidden edges: the same predictions, to the bit."""
        estimator = TransferabilityGAT(**TINY | variant)
        task = fitting.prepare(estimator, build(estimator, encoded))
        network = make_network(task.config, make_generator(0, "cpu"))
        shake(network)
        inputs = make_inputs(task, DenseEdges)
        edges = inputs.edges
        hidden = torch.rand((1, task.graph.n_edges), generator=make_generator(3, "cpu")) < 0.3
        visible = edges.place((~hidden).float()).expand(2, *edges.shape) > 0
        target = as_tensor(task.target, "cpu")[None]
        changed = torch.where(hidden, -5.0 * target + 3.0, target)
        with torch.no_grad():
            one, other = (network(inputs, edges.place(scores), visible) for scores in (target, changed))
        assert torch.equal(one, other)


def test_members_of_the_ensemble_do_not_hear_each_other(encoded):
    estimator = TransferabilityGAT(**TINY)
    task = fitting.prepare(estimator, build(estimator, encoded))
    network = make_network(task.config, make_generator(0, "cpu"))
    inputs = make_inputs(task, DenseEdges)
    target, visible = fitting._all_visible(inputs.edges, task)
    network(inputs, target, visible)[0].sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            assert not parameter.grad[1].any(), name


class TestRuntime:
    def test_no_cuda_no_device(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert resolve_device("auto") == torch.device("cpu")
        with pytest.raises(ValueError, match=r"Got device='cuda:0', but torch finds no CUDA device on this machine"):
            resolve_device("cuda:0")

    def test_a_device_that_is_none(self):
        with pytest.raises(ValueError, match='Got device=\'toaster\', but expected "auto", "cpu", "cuda" or anoth'):
            resolve_device("toaster")

    @pytest.mark.parametrize("device", ["mps", "xpu", "meta", "xla", "cuda:64"])
    def test_a_device_that_is_not_there(self, device, monkeypatch):
        """What torch says of them is an error of a type of its own, or none."""
        there = {"mps": torch.backends.mps.is_available(), "xpu": torch.xpu.is_available()}
        if there.get(device):
            pytest.skip("it is there")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        records = make_transfer_records(4, 4).records[["model", "dataset", "score"]]
        for refused in (resolve_device, lambda device: TransferabilityGAT(device=device).fit(records)):
            with pytest.raises(ValueError, match=f"Got device='{device}', but torch finds no such device on this mach"):
                refused(device)

    def test_a_device_that_is_full_is_there(self, monkeypatch):
        def full(*args, **kwargs):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch, "empty", full)
        assert resolve_device("cuda:0") == torch.device("cuda:0")

    def test_the_cpu_is_not_tried(self, monkeypatch):
        monkeypatch.setattr(torch, "empty", None)
        monkeypatch.setattr(torch, "Generator", None)
        assert resolve_device("cpu") == torch.device("cpu")

    def test_tensors_are_copies(self):
        array = np.zeros(3, dtype=np.float32)
        array.flags.writeable = False
        tensor = as_tensor(array, "cpu")
        tensor += 1
        assert not array.any()
        back = to_numpy(tensor)
        tensor += 1
        assert back.tolist() == [1.0, 1.0, 1.0]
