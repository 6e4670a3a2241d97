"""Edges in parts: what all of them at once give, in less memory; and nothing on one device that belongs on another."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from pretend_device import AWAY, PretendDevice

from skgat import MetadataEncoder, TransferabilityGAT, presets
from skgat.datasets import make_transfer_records
from skgat.gat import fitting, parts
from skgat.gat.edges import DenseEdges, SparseEdges
from skgat.gat.fitting import prepare
from skgat.gat.parts import PartedEdges, needs
from skgat.graph import build_graph
from skgat.records import read_pairs

#: What is added up in another order differs by float32's rounding, which eight steps let grow.
TOLERANCE = 1e-5
COMMON = {"max_iter": 8, "hidden_dim": 8, "n_heads": 2, "kernel_weight": 0.0, "forest_weight": 0.0, "random_state": 3}
CASES = {
    "default": {"n_estimators": 2},
    "mlp": {"decoder": "mlp", "n_estimators": 1, "early_stopping": True, "n_iter_no_change": 50},
    "plain": {"edge_features": False, "additive": False, "edge_dropout": 0.0, "rank_weight": 0.0, "n_estimators": 1},
    "similar": {"n_neighbors": 3, "node_dropout": 0.2, "n_estimators": 2},
}


def make_frame(n_models, n_datasets, fill):
    """With a feature of each kind."""
    records = make_transfer_records(n_models, n_datasets, fill=fill, random_state=1).records
    few = [column for column in records if "__" not in column or column.endswith("_0")]
    records = records[few].assign(pair__x=np.random.default_rng(0).normal(size=len(records)))
    return MetadataEncoder().fit_transform(records)


@pytest.fixture(scope="module")
def frame():
    """Few enough of many pairs that the edges are kept as lists."""
    return make_frame(200, 110, 0.04)


@pytest.fixture
def room_for(monkeypatch):
    """Leave room for one of so many parts, whatever the device; returns the layouts that were made."""
    made, init = [], PartedEdges.__init__

    def spy(self, *arguments):
        init(self, *arguments)
        made.append(self)

    def leave(n_parts):
        def room(device):
            return room.bytes

        def n_parts_of(graph, config, device):
            of_nodes, of_edges = needs(graph, config)
            room.bytes = (of_nodes + 1.001 * of_edges / n_parts) / parts._USED
            return counted(graph, config, device)

        counted = parts._n_parts
        monkeypatch.setattr(parts, "_room", room)
        monkeypatch.setattr(parts, "_n_parts", n_parts_of)
        monkeypatch.setattr(PartedEdges, "__init__", spy)
        return made

    return leave


def fit(frame, **arguments):
    return TransferabilityGAT(**COMMON | arguments).fit(frame)


def compare(found, expected, frame):
    rows = frame.assign(dataset=np.where(np.arange(len(frame)) % 5, frame["dataset"], "unknown"))
    said = expected.predict(rows, return_std=True)
    assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=TOLERANCE)
    for ours, theirs in zip(found.predict(rows, return_std=True), said, strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * said[0].std())
    if expected.early_stopping:
        assert_allclose(found.validation_scores_, expected.validation_scores_, rtol=TOLERANCE)


class TestFit:
    @pytest.mark.parametrize(
        ("case", "n_parts"), [("default", 2), ("default", 7), ("mlp", 3), ("plain", 3), ("similar", 3)]
    )
    def test_in_parts_is_learned_what_is_learned_at_once(self, frame, case, n_parts, room_for):
        expected = fit(frame, **CASES[case])
        layouts = room_for(n_parts)
        found = fit(frame, **CASES[case])
        assert [len(layout.rows) for layout in layouts] == [n_parts]
        compare(found, expected, frame)

    def test_a_start_from_weights(self, frame, room_for):
        fits = []
        for n_parts in (None, 3):
            layouts = room_for(n_parts) if n_parts else []
            fits.append(fit(frame, warm_start=True, n_estimators=2).fit(frame))
        assert len(layouts) == 2
        compare(*reversed(fits), frame)

    def test_all_in_one_part_where_there_is_room(self, frame, room_for):
        layouts = room_for(0.9)
        fit(frame, max_iter=1)
        assert layouts == []

    def test_the_memory_of_the_host_is_not_asked(self, frame):
        assert parts._room(torch.device("cpu")) == np.inf

    def test_the_network_of_the_paper_is_left_whole(self, frame, room_for):
        layouts = room_for(5)
        presets.scg4trf(max_iter=2, random_state=0).fit(frame)
        assert layouts == []


class TestParts:
    @staticmethod
    def layout(counts, n_parts):
        """Of datasets with so many records each."""
        rows = [(model, f"d{number:03}") for number, count in enumerate(counts) for model in range(count)]
        frame = pd.DataFrame(rows, columns=["model", "dataset"]).assign(score=np.linspace(0, 1, len(rows)))
        graph = build_graph(read_pairs(TransferabilityGAT(), frame, reset=True, scores=True))
        return graph, PartedEdges(graph, torch.device("cpu"), n_parts)

    @pytest.mark.parametrize(
        ("counts", "n_parts"),
        [([5] * 20, 4), ([5] * 20, 7), ([90, 1, 1, 1, 1], 5), ([1, 1, 90, 1, 1], 3), ([3, 4], 50), ([7], 3)],
        ids=str,
    )
    def test_each_edge_is_in_one_and_each_dataset_too(self, counts, n_parts):
        graph, edges = self.layout(counts, n_parts)
        assert 1 <= len(edges.rows) <= min(n_parts, len(counts))
        assert edges.rows[0].start == 0
        assert edges.rows[-1].stop == graph.n_edges
        for before, after in itertools.pairwise(edges.rows):
            assert before.stop == after.start
            assert graph.edge_datasets[before.stop - 1] != graph.edge_datasets[after.start]
        for part, rows in edges.parts():
            assert part.ends["model"].tolist() == graph.edge_models[rows].tolist()
            assert part.ends["dataset"].tolist() == graph.edge_datasets[rows].tolist()
        if len(set(counts)) == 1 and len(counts) > n_parts:
            assert len(edges.rows) == n_parts
            sizes = [rows.stop - rows.start for rows in edges.rows]
            assert max(sizes) - min(sizes) <= 2 * max(counts)

    @pytest.mark.parametrize("side", ["model", "dataset"])
    @pytest.mark.parametrize("scores", [True, False])
    def test_what_is_heard_and_its_derivative(self, side, scores):
        """In double precision, also by receivers that hear nothing, or nothing in some part."""
        graph, edges = self.layout([6, 2, 5, 1, 4, 6], 4)
        whole = SparseEdges(graph, torch.device("cpu"))
        rng = np.random.default_rng(0)
        visible = rng.random((2, graph.n_edges)) < 0.6
        visible[1, graph.edge_models == 0] = False
        visible[0, graph.edge_datasets == 2] = False
        residual = torch.tensor(rng.normal(size=visible.shape) * visible)
        sizes = {"model": graph.n_models, "dataset": graph.n_datasets}
        n_receivers = sizes.pop(side)
        (n_senders,) = sizes.values()
        shapes = [(n_receivers,), (2,), (n_senders,), (4, n_senders), (4, n_senders)]
        given = [torch.tensor(3.0 * rng.normal(size=(2, 3, *shape)), requires_grad=True) for shape in shapes]
        if not scores:
            given[1] = given[4] = None
        leaves = [values for values in given if values is not None]
        results = []
        for layout in (whole, edges):
            heard = layout.messages(residual, torch.tensor(visible)).hear(side, *given)
            slopes = torch.tensor(np.random.default_rng(1).normal(size=heard.shape))
            results.append([heard, *torch.autograd.grad((heard * slopes).sum(), leaves)])
        for found, expected in zip(*reversed(results), strict=True):
            assert expected.abs().max() > 0
            assert_allclose(found.detach(), expected.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.untraced
class TestDevices:
    def test_two_devices_do_not_meet(self):
        with PretendDevice() as there:
            away = torch.ones(3, device=AWAY)
            assert_allclose((2 * away).cpu(), [2, 2, 2])
            with pytest.raises(RuntimeError, match="tensors of both devices"):
                away + torch.ones(3)
            assert there.memory.now == 12
            assert there.memory.peak == 24
        del away
        assert there.memory.now == 0

    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("layout", [DenseEdges, SparseEdges, PartedEdges], ids=lambda layout: layout.__name__)
    def test_a_fit_keeps_its_tensors_on_its_device(self, frame, case, layout, pretended, room_for, monkeypatch):
        """And the states that it leaves behind are those of a fit on the CPU."""
        table = layout is DenseEdges
        records = make_frame(12, 14, 0.8) if table else frame
        monkeypatch.setattr(fitting, "choose_layout", DenseEdges if table else SparseEdges)
        arguments = CASES[case] | {"max_iter": 3}
        expected = fit(records, device="cpu", **arguments)
        layouts = room_for(3) if layout is PartedEdges else []
        with pretended:
            found = fit(records, device=AWAY, **arguments)
        assert found.device_ == AWAY
        assert len(layouts) == (layout is PartedEdges)
        assert pretended.memory.peak > 1_000
        compare(found, expected, records)

    def test_the_network_of_the_paper_too(self, frame, pretended):
        arguments = {"max_iter": 3, "random_state": 0}
        expected = presets.scg4trf(device="cpu", **arguments).fit(frame)
        with pretended:
            found = presets.scg4trf(device=AWAY, **arguments).fit(frame)
        compare(found, expected, frame)


@pytest.mark.untraced
class TestMemory:
    @staticmethod
    def peak(frame, **arguments):
        """Bytes on the device, of a fit in as many parts as there is room for."""
        with PretendDevice() as there:
            fit(frame, device=AWAY, max_iter=1, **arguments)
        return there.memory.peak

    @staticmethod
    def task(frame, **arguments):
        graph = build_graph(read_pairs(TransferabilityGAT(), frame, reset=True, scores=True))
        return prepare(TransferabilityGAT(**COMMON | arguments), graph)

    @pytest.fixture
    def many(self, pretended, monkeypatch):
        """Edges that take more than the nodes."""
        monkeypatch.setattr(fitting, "choose_layout", SparseEdges)
        rng = np.random.default_rng(0)
        models, datasets = np.nonzero(rng.random((100, 300)) < 0.4)
        return pd.DataFrame({"model": models, "dataset": datasets, "score": rng.random(len(models))})

    @pytest.mark.parametrize(
        "changed",
        [
            {"n_estimators": 1},
            {"n_estimators": 4},
            {"n_estimators": 2, "n_layers": 3, "n_heads": 4},
            {"n_estimators": 2, "pairs": 3},
        ],
        ids=str,
    )
    def test_what_is_taken_to_be_needed_is_enough(self, many, changed):
        measures = {f"pair__{number}": np.arange(len(many)) % 7.0 for number in range(changed.pop("pairs", 0))}
        records = many.assign(**measures)
        task = self.task(records, **changed)
        needed = sum(needs(task.graph, task.config))
        # Twice as much as tensors hold, for what is not seen of them, and not much more.
        assert 0.3 * needed < self.peak(records, **changed) < 0.7 * needed

    @pytest.mark.parametrize("n_parts", [3, 6])
    def test_parts_stay_in_the_room_that_there_is(self, many, n_parts, room_for):
        task = self.task(many, n_estimators=4)
        of_nodes, of_edges = needs(task.graph, task.config)
        layouts = room_for(n_parts)
        peak = self.peak(many, n_estimators=4)
        assert len(layouts[0].rows) == n_parts
        assert peak < of_nodes + of_edges / n_parts
