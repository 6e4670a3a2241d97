"""The scripts of benchmarks/speed at tiny sizes: they run, and what they compare is what they say."""

import importlib
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

import skgat
from skgat import MetadataEncoder, TransferabilityGAT
from skgat.datasets import make_transfer_records
from skgat.gat import edges, fitting
from skgat.gat.edges import SparseEdges, choose_layout

SCRIPTS = Path(skgat.__file__).parent.parent / "benchmarks" / "speed"
NAMES = ("machine", "peak", "stock", "small_fit", "large_graph", "memory", "parts", "floor", "rounding")
pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured on Linux")


@pytest.fixture(scope="module")
def bench():
    """The scripts as modules, under their own names while the tests of this file run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield type("Bench", (), {name: importlib.import_module(name) for name in NAMES})
        for name in NAMES:
            sys.modules.pop(name)


@pytest.fixture(scope="module")
def records():
    return make_transfer_records(10, 24, fill=1.0, random_state=0).records


def tiny():
    return TransferabilityGAT(max_iter=2, hidden_dim=4, n_heads=2, n_estimators=1, random_state=0)


def test_small_fit_compares_both_sides(bench, records, capsys):
    bench.small_fit.compare(records, tiny, epochs=2, repeats=1)
    lines = capsys.readouterr().out.splitlines()
    ours, theirs = (np.array(line[24:].split(), dtype=float) for line in lines[1:3])
    ratio = float(lines[4].rpartition(" ")[2])
    assert np.isfinite([*ours, *theirs]).all()
    assert ratio == pytest.approx(ours[0] / theirs[0], rel=0.5, abs=0.5)
    shares = [int(line.rpartition(" ")[2].rstrip("%")) for line in lines[6:]]
    assert sum(shares) == pytest.approx(100, abs=5)


def test_the_network_of_the_paper_hears_of_its_rows_alone(bench, records):
    encoded = MetadataEncoder().fit_transform(records)
    rows = np.arange(len(encoded)) % 3 > 0
    changed = encoded.assign(score=encoded["score"].where(rows, 0.0))
    one, other = (bench.small_fit.fit_paper(frame, np.flatnonzero(rows), 5) for frame in (encoded, changed))
    assert_array_equal(one, other)
    told = encoded.assign(score=encoded["score"].where(~rows, 0.0))
    assert (bench.small_fit.fit_paper(told, np.flatnonzero(rows), 5) != one).any()


@pytest.mark.parametrize("layer", ["GATConv", "GATv2Conv"])
def test_stock_layers_hear_the_scores_both_ways(bench, layer):
    torch.manual_seed(0)
    network = bench.stock.Bipartite(layer, (3, 2), hidden_dim=8, n_heads=2, rank=4)
    features = torch.randn(4, 3), torch.randn(3, 2)
    told, scores = torch.tensor([[0, 0, 1, 2], [0, 1, 1, 0]]), torch.randn(4, 1)
    asked = torch.cartesian_prod(torch.arange(4), torch.arange(3)).T
    said = network(features, told, scores, asked).reshape(4, 3)
    # One layer brings the last score to model 2 and dataset 0, the other one to whom they share records with; model 3
    # and dataset 2, which have none, hear of nothing.
    changed = network(features, told, scores + torch.tensor([[0.0], [0.0], [0.0], [1.0]]), asked).reshape(4, 3)
    differs = said != changed
    assert differs[:3, :2].any(dim=1).all()
    assert differs[:3, :2].any(dim=0).all()
    assert not differs[3, 2]


def test_large_graph_measures_both_sides(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(bench.large_graph, "SIDES", ("skgat", "GATConv"))
    found = bench.large_graph.measure(400, 1, tmp_path)
    assert found.keys() == {"skgat", "GATConv"}
    assert all(side["seconds"] > 0 for side in found.values())
    assert all(side["mib"] >= 0 for side in found.values())


def test_parts_learn_what_the_whole_learns(bench):
    whole, parts = (bench.parts.measure(400, n_parts, "cpu", 1) for n_parts in (1, 3))
    assert whole["device"] == parts["device"] == "cpu"
    assert parts["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    assert min(parts["seconds"], whole["seconds"]) > 0
    assert min(parts["mib"], whole["mib"]) >= 0


def test_the_picture_of_large_graphs(bench, tmp_path):
    tables = [{side: {"seconds": size / 1e6, "mib": size / 1e4} for side in bench.large_graph.SIDES} for size in (1, 9)]
    bench.large_graph.draw(tmp_path / "picture.png", [1, 9], tables)
    assert plt.imread(tmp_path / "picture.png").shape[:2] == (360, 800)


def test_graphs_have_distinct_pairs_in_order(bench):
    graph = bench.large_graph.make_graph(900)
    assert (graph.n_models, graph.n_datasets, graph.n_edges) == (300, 60, 900)
    assert (np.diff(graph.edge_datasets * graph.n_models + graph.edge_models) > 0).all()


def test_memory_of_a_call(bench):
    def take():
        return np.ones(8 * 2**20).sum()

    assert bench.peak.growth_during(take) == pytest.approx(64, abs=8)
    assert bench.peak.growth_during(lambda: None) < 8


def test_state_and_files_are_counted(bench, capsys):
    bench.memory.show_state({"tiny": (30, 40, 600)})
    lines = {line[:44].strip(): float(line[44:]) for line in capsys.readouterr().out.splitlines()[1:]}
    parts = [
        lines[name] for name in ("graph", "states of the nodes", "decoder terms", "weights", "regression", "trees")
    ]
    assert all(size > 0 for size in parts)
    for file in ("joblib.dump", "persistence.save"):
        assert lines[file] > lines["weights"]
        assert lines[f"{file} / all parts"] == pytest.approx(lines[file] / sum(parts), abs=0.1)


@pytest.mark.parametrize("shape", [(10, 270, 2_700), (100, 300, 5_000), (300, 200, 600)])
def test_the_formula_knows_the_layout(bench, shape):
    """The table counts pairs and the lists count records."""
    n_models, n_datasets, n_records = shape
    graph = type("G", (), {"n_models": n_models, "n_datasets": n_datasets, "n_edges": n_records})
    chosen = []
    layouts = {
        "DenseEdges": lambda *given: chosen.append("table"),
        "SparseEdges": lambda *given: chosen.append("lists"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, layout in layouts.items():
            patch.setattr(f"skgat.gat.edges.{name}", layout)
        choose_layout(graph, "cpu")
    more = bench.memory.expected(n_models, n_datasets, n_records + 1, 0, members=1)
    grown = more - bench.memory.expected(*shape, 0, members=1)
    assert grown == bench.memory.ONCE + (0 if chosen == ["table"] else bench.memory.LISTS)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_traffic_counts_what_is_read_and_written(bench):
    values, places = torch.ones(6), torch.tensor([0, 5, 5], dtype=torch.int32)
    edges = torch.sparse_csr_tensor([0, 1, 3], [0, 1, 2], torch.ones(3), size=(2, 3), check_invariants=False)
    entries = 3 * 4 + 3 * 8 + 3 * 8
    for work, streamed, gathered in (
        (lambda: values + values, 2 * 24, 0),
        (lambda: values.mul_(2.0), 2 * 24, 0),
        (lambda: values.view(2, 3).T, 0, 0),
        (lambda: values[:1].expand(1000) + 1.0, 4 + 4000, 0),
        (lambda: values.new_zeros(10), 40, 0),
        (lambda: values.index_select(0, places), 12 + 12, 12),
        (lambda: values.index_add_(0, places, torch.empty(3)), 12 + 12, 24),
        (lambda: edges @ values.view(3, 2), entries + 16, 3 * 8),
        (
            lambda: torch.sparse.sampled_addmm(edges, values.view(2, 3)[:, :2], values.view(2, 3), beta=0.0),
            3 * entries + 16,
            3 * 8,
        ),
    ):
        with bench.floor.Traffic() as traffic:
            work()
        assert (traffic.streamed.total(), traffic.gathered.total()) == (streamed, gathered)


def test_an_epoch_moves_no_less_than_the_floor(bench):
    trainer = bench.floor.start(3_000, torch.device("cpu"))
    visible = bench.floor.share_visible(trainer, 400)
    found = []
    for _ in range(12):
        with bench.floor.Traffic() as traffic:
            trainer.epoch()
        found.append((traffic.streamed["messages.py"], traffic.gathered["messages.py"]))
    least = np.array(bench.floor.of_messages(trainer.config, visible)) * 3_000
    streamed, gathered = np.mean(found, axis=0)
    assert streamed > least[0]
    # What is gathered is what the floor says, and a few numbers that operations of their own gather once more.
    assert least[1] < gathered < 1.5 * least[1]
    assert (np.array(bench.floor.of_kernels(trainer.config, visible, 3_000)) * 3_000 < [streamed, gathered]).all()
    assert bench.floor.of_kernels(trainer.config, visible, 10**6)[1] < least[1] / 3_000


def test_the_rows_of_a_prediction(bench):
    records = make_transfer_records(6, 5, fill=1.0, random_state=0).records
    fitted = tiny().fit(MetadataEncoder().fit_transform(records))
    row = sum(
        terms[side][..., 0, :].nbytes
        for terms in (fitted.network_.terms, fitted.kernel_.terms)
        for side in ("model", "dataset")
    )
    assert bench.floor.of_prediction(fitted) == row


def test_rounded_messages_say_something_else_and_nearly_the_same(bench, monkeypatch):
    monkeypatch.setattr(edges, "messages_on", edges.messages_on)
    monkeypatch.setattr(fitting, "choose_layout", SparseEdges)
    monkeypatch.setattr(bench.rounding, "SETTINGS", tiny().get_params() | {"kernel_weight": 0.0, "forest_weight": 0.0})
    records = make_transfer_records(10, 24, fill=1.0, random_state=0).records
    rows = np.arange(len(records))
    alone, change = bench.rounding.compare(records, [(rows[rows % 4 > 0], rows[rows % 4 == 0])])
    assert alone.shape == change.shape == (1, 3)
    assert 0 < abs(change[0, 2]) < 1e-2 * alone[0, 2]
