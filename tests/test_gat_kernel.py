"""The kernel regression: equal to a dense Gaussian process, with strengths from what is left out, in any share."""

import copy
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skgat import MetadataEncoder, TransferabilityGAT, persistence, presets
from skgat.baselines import BiasRegressor
from skgat.datasets import make_transfer_records
from skgat.gat import kernel, strengths
from skgat.gat.kernel import COMPONENTS, Strengths, solve
from skgat.gat.strengths import choose_strengths
from skgat.gat.targets import fit_target
from skgat.graph import build_graph
from skgat.metrics import RANKING_SCORERS
from skgat.model_selection import LeaveDatasetsOut
from skgat.records import ROLES, read_pairs

TINY = {
    "max_iter": 20, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "forest_weight": 0.0, "factor_weight": 0.0,
    "random_state": 0,
}  # fmt: skip
WIDTHS = {"model": 3, "dataset": 2, "pair": 2}
FEATURES = {
    "all": WIDTHS,
    "none": dict.fromkeys(ROLES, 0),
    "of models": {**dict.fromkeys(ROLES, 0), "model": 3},
    "of datasets": {**dict.fromkeys(ROLES, 0), "dataset": 2},
    "of pairs": {**dict.fromkeys(ROLES, 0), "pair": 1},
}
SINGLE = {name: {name: 0.7} for name in COMPONENTS}
NEW_MODEL, NEW_DATASET = -1, -2


def make_problem(widths=WIDTHS, n_models=9, n_datasets=7, fill=0.6, weighted=False, seed=0):
    """A graph, features and a target, all drawn; nothing is to be learned but to solve it."""
    rng = np.random.default_rng(seed)
    pairs = pd.MultiIndex.from_product([range(n_models), range(n_datasets)], names=["model", "dataset"])
    frame = pairs.to_frame(index=False).assign(score=rng.normal(size=len(pairs)))
    frame = frame[(rng.random(len(frame)) < fill) | (frame["model"] % n_datasets == frame["dataset"])]
    weights = rng.uniform(0.2, 4.0, len(frame)) if weighted else None
    graph = build_graph(read_pairs(BiasRegressor(), frame, sample_weight=weights, reset=True, scores=True))
    sizes = {"model": graph.n_models, "dataset": graph.n_datasets, "pair": graph.n_edges}
    features = {role: rng.normal(size=(sizes[role], widths[role])) for role in ROLES}
    return graph, features, graph.scores - graph.scores.mean()


def make_strengths(variances=None, noise=0.3, seed=3):
    drawn = dict(zip(COMPONENTS, np.random.default_rng(seed).uniform(0.2, 1.0, len(COMPONENTS)), strict=True))
    values = drawn if variances is None else dict.fromkeys(COMPONENTS, 0.0) | variances
    lengths = {"model": 0.8, "dataset": 1.3, "pair": 0.6}
    return Strengths(np.array([values[name] for name in COMPONENTS]), noise, lengths)


def rows_of(graph, features):
    ends = {"model": graph.edge_models, "dataset": graph.edge_datasets}
    tables = {side: features[side][codes] for side, codes in ends.items()}
    return SimpleNamespace(codes=ends, features=tables | {"pair": features["pair"]})


def alike(one, other, length):
    if not one.shape[1]:
        return np.zeros((len(one), len(other)))
    return np.exp(-(((one[:, None] - other[None]) / length) ** 2).mean(axis=2) / 2)


def covariance(chosen, one, other, near=alike):
    """The covariance of two lists of records, entry by entry as the components are named."""
    v = dict(zip(COMPONENTS, chosen.variances, strict=True))
    same = {side: one.codes[side][:, None] == other.codes[side] for side in ("model", "dataset")}
    like = {role: near(one.features[role], other.features[role], chosen.lengths[role]) for role in ROLES}
    products = one.features["pair"] @ other.features["pair"].T / max(one.features["pair"].shape[1], 1)
    return (
        v["same model"] * same["model"] + v["similar models"] * like["model"]
        + v["same dataset"] * same["dataset"] + v["similar datasets"] * like["dataset"]
        + v["similar both"] * like["model"] * like["dataset"]
        + v["same model on similar datasets"] * same["model"] * like["dataset"]
        + v["similar models on same dataset"] * like["model"] * same["dataset"]
        + v["similar pairs"] * like["pair"] + v["linear pairs"] * products
    )  # fmt: skip


def dense(graph, features, target, chosen, asked, near=alike):
    """The posterior mean of a Gaussian process at the asked records."""
    rows = rows_of(graph, features)
    noise = np.diag(chosen.noise * graph.weights.mean() / graph.weights)
    values = np.linalg.solve(covariance(chosen, rows, rows, near) + noise, target)
    return covariance(chosen, asked, rows, near) @ values


def ask(head, asked):
    ends = {side: np.maximum(asked.codes[side], -1) for side in ("model", "dataset")}
    terms = [
        np.where((codes < 0)[:, None], head.attach(side, asked.features[side]), head.terms[side][codes])
        for side, codes in ends.items()
    ]
    return head.predict(*terms, asked.features["pair"])


def every_pair(graph, features, seed=1):
    """All pairs of known nodes, an unknown model and an unknown dataset, with pair features of their own."""
    rng = np.random.default_rng(seed)
    known = {"model": np.arange(graph.n_models), "dataset": np.arange(graph.n_datasets)}
    codes = np.array([(m, d) for m in [*known["model"], NEW_MODEL] for d in [*known["dataset"], NEW_DATASET]])
    tables, ends = {}, dict(zip(("model", "dataset"), codes.T, strict=True))
    for side in ends:
        new = rng.normal(size=(1, features[side].shape[1]))
        tables[side] = np.vstack([features[side], new])[np.where(ends[side] < 0, len(known[side]), ends[side])]
    tables["pair"] = rng.normal(size=(len(codes), features["pair"].shape[1]))
    return SimpleNamespace(codes=ends, features=tables)


class TestSolve:
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("kind", FEATURES)
    def test_is_the_dense_gaussian_process(self, kind, weighted):
        """For known pairs, pairs without a record, and unknown ends."""
        graph, features, target = make_problem(FEATURES[kind], weighted=weighted)
        chosen, asked = make_strengths(), every_pair(graph, features)
        expected = dense(graph, features, target, chosen, asked)
        assert np.ptp(expected) > 0.1
        assert_allclose(ask(solve(graph, features, target, chosen), asked), expected, atol=2e-5)

    @pytest.mark.parametrize("name", SINGLE)
    def test_each_component_alone(self, name):
        graph, features, target = make_problem()
        chosen, asked = make_strengths(SINGLE[name]), every_pair(graph, features)
        expected = dense(graph, features, target, chosen, asked)
        assert np.ptp(expected) > 0.05
        assert_allclose(ask(solve(graph, features, target, chosen), asked), expected, atol=2e-5)

    def test_nodes_with_equal_features(self):
        """Similarities of low rank: twins, and a feature that says what another one says."""
        graph, features, target = make_problem()
        for role in ROLES:
            features[role][1::2] = features[role][::2][: len(features[role][1::2])]
            features[role][:, 1] = -2.0 * features[role][:, 0]
        chosen, asked = make_strengths(), every_pair(graph, features)
        expected = dense(graph, features, target, chosen, asked)
        assert_allclose(ask(solve(graph, features, target, chosen), asked), expected, atol=1e-4)

    def test_fewer_landmarks_than_nodes(self, monkeypatch):
        """The similarity is then the part of it that the landmarks span."""
        monkeypatch.setattr(kernel, "_LANDMARKS", 5)
        graph, features, target = make_problem(WIDTHS | {"pair": 0})
        chosen, asked = make_strengths(), every_pair(graph, features)
        head = solve(graph, features, target, chosen)
        assert [len(head.landmarks[role]) for role in ROLES] == [5, 5, 5]

        def near(one, other, length):
            if not one.shape[1]:
                return np.zeros((len(one), len(other)))
            (side,) = (role for role in ("model", "dataset") if features[role].shape[1] == one.shape[1])
            marks = features[side][np.linspace(0, len(features[side]) - 1, 5).astype(int)]
            return alike(one, marks, length) @ np.linalg.solve(alike(marks, marks, length), alike(marks, other, length))

        expected = dense(graph, features, target, chosen, asked, near)
        assert_allclose(ask(head, asked), expected, atol=1e-4)
        assert np.abs(expected - dense(graph, features, target, chosen, asked)).max() > 1e-3

    def test_the_leading_directions_of_many_nodes_will_do(self):
        graph, features, target = make_problem(n_models=200, n_datasets=4, fill=0.3)
        chosen, asked = make_strengths(), every_pair(graph, features)
        head = solve(graph, features, target, chosen)
        assert head.projections["model"].shape == (200, kernel._RANK)
        expected = dense(graph, features, target, chosen, asked)
        assert_allclose(ask(head, asked), expected, atol=0.02 * np.ptp(expected))

    @pytest.mark.parametrize("noise", [1e-3, 10.0])
    def test_conjugate_gradients_converge(self, noise):
        graph, features, target = make_problem(fill=1.0)
        chosen = make_strengths(noise=noise)
        system, values = self.solved(graph, features, target, chosen)
        assert np.linalg.norm(system(values) - target) < 1e-5 * np.linalg.norm(target)
        rows = rows_of(graph, features)
        matrix = covariance(chosen, rows, rows) + noise * np.eye(graph.n_edges)
        assert_allclose(system(target), matrix @ target, atol=1e-6)
        assert_allclose(system.diagonal(), np.diag(matrix), rtol=1e-6)

    @pytest.mark.parametrize("kind", ["all", "none", "of pairs"])
    def test_what_takes_too_many_steps_is_solved_directly(self, kind, monkeypatch):
        graph, features, target = make_problem(FEATURES[kind], weighted=True)
        chosen = make_strengths(noise=1e-3)
        monkeypatch.setattr(kernel, "_MOST_STEPS", 2)
        system, values = self.solved(graph, features, target, chosen)
        assert_allclose(system.matrix() @ target, system(target), atol=1e-9)
        assert np.linalg.norm(system(values) - target) < 1e-8 * np.linalg.norm(target)
        # Many records are not: the matrix would be too large.
        monkeypatch.setattr(kernel, "_MOST_DIRECT", graph.n_edges - 1)
        monkeypatch.setattr(kernel, "_MOST_WORK", 0)
        system, values = self.solved(graph, features, target, chosen)
        assert np.linalg.norm(system(values) - target) > 1e-3 * np.linalg.norm(target)

    def test_the_directions_of_another_are_taken_where_landmarks_are_the_same(self, monkeypatch):
        graph, features, target = make_problem()
        chosen, asked = make_strengths(), every_pair(graph, features)
        first = solve(graph, features, target, chosen)
        expected = ask(solve(graph, features, -target, chosen), asked)
        other = features | {"dataset": features["dataset"] + 1.0}
        moved = ask(solve(graph, other, target, chosen), every_pair(graph, other))
        found = []
        monkeypatch.setattr(
            np.linalg, "eigh", lambda table, eigh=np.linalg.eigh: found.append(len(table)) or eigh(table)
        )
        assert_allclose(ask(solve(graph, features, -target, chosen, like=first), asked), expected, rtol=1e-12)
        assert found == []
        assert_allclose(
            ask(solve(graph, other, target, chosen, like=first), every_pair(graph, other)), moved, rtol=1e-12
        )
        assert found == [graph.n_datasets]

    def solved(self, graph, features, target, chosen):
        kept = {}
        gradients = kernel._conjugate_gradients

        def keep(system, target):
            kept["system"], kept["values"] = system, gradients(system, target)
            return kept["values"]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernel, "_conjugate_gradients", keep)
            solve(graph, features, target, chosen)
        return kept["system"], kept["values"]

    @pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
    def test_effects_alone_are_solved_at_once(self, shape):
        graph, features, target = make_problem(n_models=shape[0], n_datasets=shape[1], weighted=True)
        variances = np.where(np.isin(COMPONENTS, ["same model", "same dataset"]), 0.7, 0.0)
        system, _ = self.solved(graph, features, target, replace(make_strengths(), variances=variances))
        matrix = np.column_stack([system(column) for column in np.eye(graph.n_edges)])
        assert_allclose(kernel._Effects(system)(target), np.linalg.solve(matrix, target))

    @pytest.mark.parametrize("most", [0, 2_048])
    def test_what_nearly_solves_is_symmetric_and_positive(self, monkeypatch, most):
        monkeypatch.setattr(kernel, "_MOST_EFFECTS", most)
        graph, features, target = make_problem(n_models=12, weighted=True)
        system, values = self.solved(graph, features, target, make_strengths())
        assert_allclose(system(values), target, atol=1e-5)
        nearly = kernel._Effects(system)
        matrix = np.column_stack([nearly(column) for column in np.eye(graph.n_edges)])
        assert_allclose(matrix, matrix.T, atol=1e-12)
        assert np.linalg.eigvalsh(matrix).min() > 0

    def test_effects_save_half_of_the_steps(self, monkeypatch):
        records = MetadataEncoder().fit_transform(make_transfer_records(80, 40, fill=0.5, random_state=0).records)
        call, calls, counts = kernel._System.__call__, [], []
        monkeypatch.setattr(kernel._System, "__call__", lambda self, values: calls.append(self) or call(self, values))
        for _ in range(2):
            TransferabilityGAT(max_iter=1, n_estimators=1, forest_weight=0.0, random_state=0).fit(records)
            counts.append(len(calls) - sum(counts))
            monkeypatch.setattr(kernel, "_Effects", lambda system: lambda values: values / system.diagonal())
        assert counts[0] < 0.6 * counts[1]

    def test_a_target_of_zeros(self):
        graph, features, target = make_problem()
        head = solve(graph, features, 0.0 * target, make_strengths())
        assert not ask(head, every_pair(graph, features)).any()


class TestStrengths:
    @pytest.fixture(scope="class")
    @staticmethod
    def excerpt():
        graph, features, target = make_problem(weighted=True)
        logs = np.linspace(-1.5, 0.5, len(COMPONENTS) + 4 + sum(WIDTHS.values()))
        part = strengths._Excerpt(graph, features, target, np.arange(graph.n_edges))
        return SimpleNamespace(graph=graph, features=features, target=target, logs=logs, part=part)

    def test_the_covariance_is_that_of_the_regression(self, excerpt):
        values, n_components = np.exp(excerpt.logs), len(COMPONENTS)
        common, own = values[n_components + 1 : n_components + 4], values[n_components + 4 :]
        ends = np.cumsum([WIDTHS[role] for role in ROLES])[:-1]
        lengths = [shared * part for shared, part in zip(common, np.split(own, ends), strict=True)]
        chosen = Strengths(values[:n_components], values[n_components], dict(zip(ROLES, lengths, strict=True)))
        rows, graph = rows_of(excerpt.graph, excerpt.features), excerpt.graph
        noise = chosen.noise * graph.weights.mean() / graph.weights + 1e-4 * (1 + chosen.variances.sum())
        expected = covariance(chosen, rows, rows) + np.diag(noise)
        assert_allclose(excerpt.part.covariance(excerpt.logs)[0], expected, rtol=1e-9)

    def residuals(self, excerpt, units):
        """What is left of each record when a model without the records of its unit is fitted anew."""
        matrix = excerpt.part.covariance(excerpt.logs)[0]
        rest = np.empty(len(matrix))
        for unit in np.unique(units):
            out, seen = units == unit, units != unit
            told = matrix[np.ix_(out, seen)] @ np.linalg.solve(matrix[np.ix_(seen, seen)], excerpt.target[seen])
            rest[out] = excerpt.target[out] - told
        return rest

    @pytest.mark.parametrize("side", ["model", "dataset"])
    def test_left_out_residuals_are_those_of_refitting(self, excerpt, side):
        inverse = np.linalg.inv(excerpt.part.covariance(excerpt.logs)[0])
        found = excerpt.part.sides[side].solver(inverse)(inverse @ excerpt.target)
        expected = self.residuals(excerpt, getattr(excerpt.graph, f"edge_{side}s"))
        assert_allclose(found, expected, rtol=1e-6, atol=1e-9)

    def test_the_error_is_that_of_records_datasets_and_models_left_out(self, excerpt):
        graph = excerpt.graph
        parts = [self.residuals(excerpt, units) for units in (np.arange(graph.n_edges), graph.edge_models)]
        of_datasets = pd.Series(self.residuals(excerpt, graph.edge_datasets))
        parts.append(of_datasets - of_datasets.groupby(graph.edge_datasets).transform("mean"))
        expected = sum(np.log(np.sqrt(np.mean(part**2))) for part in parts)
        assert excerpt.part.error(excerpt.logs)[0] == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("n_datasets", [6, 2])
    def test_the_derivative_is_a_difference(self, excerpt, n_datasets):
        """Also where there are too few datasets to leave one out."""
        edges = np.flatnonzero(excerpt.graph.edge_datasets < n_datasets)
        part = strengths._Excerpt(excerpt.graph, excerpt.features, excerpt.target, edges)
        # The first two are beyond what makes a difference.
        logs = np.concatenate([[4.5, -10.5], excerpt.logs[2:]])
        steps = 1e-5 * np.eye(len(logs))
        slopes = [(part.error(logs + step)[0] - part.error(logs - step)[0]) / 2e-5 for step in steps]
        found = part.error(logs)[1]
        assert_allclose(found, slopes, rtol=1e-5, atol=1e-8)
        assert found[0] == found[1] == 0.0
        assert np.abs(found[2:]).min() > 0

    @pytest.mark.parametrize("most", [None, 30])
    def test_are_the_same_each_time(self, monkeypatch, most):
        """For a graph that is looked at as a whole and for one of which excerpts are."""
        if most:
            monkeypatch.setattr(strengths, "_MOST_RECORDS", most)
        graph, features, target = make_problem(n_models=12, n_datasets=10)
        before = [array.copy() for array in (*features.values(), target)]
        found = []
        for seed in (0, 0, 1):
            torch.manual_seed(len(found))
            chosen = choose_strengths(graph, features, target, seed)
            found.append([*chosen.variances, chosen.noise, *np.concatenate(list(chosen.lengths.values()))])
        assert found[0] == found[1]
        # The seed draws the excerpts and nothing else.
        assert (found[0] == found[2]) == (most is None)
        for array, kept in zip((*features.values(), target), before, strict=True):
            assert (array == kept).all()

    @pytest.mark.parametrize("size", [40, 100])
    def test_excerpts_are_of_the_promised_size(self, size):
        for shape in ({"n_models": 40, "n_datasets": 5}, {"n_models": 5, "n_datasets": 60, "fill": 0.3}, {}):
            graph, _, _ = make_problem(**{"n_models": 30, "n_datasets": 30} | shape)
            edges = strengths._excerpt(graph, size, np.random.default_rng(0))
            assert size // 4 <= len(edges) <= 2 * size
            assert (np.diff(edges) > 0).all()

    @pytest.mark.parametrize(("few", "size"), [(30, 96), (98, 98), (400, 100)])
    def test_more_records_have_larger_excerpts(self, monkeypatch, few, size):
        """A share of all records, no less than a few and no more than a limit."""
        graph, features, target = make_problem(n_models=24, n_datasets=20, fill=1.0)
        assert graph.n_edges == 480
        told, excerpt = [], strengths._excerpt
        monkeypatch.setattr(strengths, "_excerpt", lambda *args: [told.append(args[1]), excerpt(*args)][1])
        for name, value in {"_FEW_RECORDS": few, "_SHARE": 0.2, "_MOST_RECORDS": 100, "_MOST_TRIALS": 1}.items():
            monkeypatch.setattr(strengths, name, value)
        choose_strengths(graph, features, target, 0)
        assert told == [size] * strengths._EXCERPTS

    @pytest.mark.parametrize(
        "name", ["same model", "similar models", "similar both", "same model on similar datasets", "linear pairs"]
    )
    def test_planted_structure_moves_its_strength(self, name):
        """Of a target drawn from one component, that one grows the most, and the noise shrinks."""
        graph, features, _ = make_problem(n_models=16, n_datasets=16, fill=0.9, seed=4)
        # Families, or else nobody is similar to anybody but itself.
        for side in ("model", "dataset"):
            features[side] = 0.9 * np.repeat(features[side][:4], 4, axis=0) + 0.1 * features[side]
        rows = rows_of(graph, features)
        matrix = covariance(make_strengths({name: 1.0}), rows, rows)
        values, vectors = np.linalg.eigh(matrix)
        drawn = vectors @ (np.sqrt(np.maximum(values, 0)) * np.random.default_rng(1).normal(size=len(values)))
        target = (drawn - drawn.mean()) / drawn.std()
        chosen = choose_strengths(graph, features, target, 0)
        growth = np.log(chosen.variances) - np.log([strengths._START[name] for name in COMPONENTS])
        assert COMPONENTS[growth.argmax()] == name
        assert chosen.noise < 0.1

    def test_a_feature_that_matters_is_told_from_one_that_does_not(self):
        """As far as there are datasets to see it on."""
        found = []
        for n_datasets in (8, 60):
            graph, features, _ = make_problem(n_models=8, n_datasets=n_datasets, fill=0.9, seed=5)
            only = features["dataset"][:, 0]
            slopes = np.random.default_rng(2).normal(size=graph.n_models)
            target = slopes[graph.edge_models] * np.sin(2 * only[graph.edge_datasets])
            chosen = choose_strengths(graph, features, (target - target.mean()) / target.std(), 0)
            found.append(chosen.lengths["dataset"])
        few, many = found
        assert many[0] < many[1:].min() / 2
        assert few.max() / few.min() < many.max() / many.min()

    def test_noise_is_found_to_be_noise(self):
        graph, features, target = make_problem(n_models=16, n_datasets=16, fill=0.9, seed=4)
        chosen = choose_strengths(graph, features, target / target.std(), 0)
        assert chosen.noise > 2 * strengths._NOISE
        asked = rows_of(graph, features)
        assert np.std(ask(solve(graph, features, target / target.std(), chosen), asked)) < 0.5


@pytest.fixture(scope="module")
def encoded():
    return MetadataEncoder().fit_transform(make_transfer_records(9, 8, fill=0.7, random_state=1).records)


@pytest.fixture(scope="module")
def seen(encoded):
    """Without the last model and the last dataset."""
    return encoded[(encoded["model"] != "model_8") & (encoded["dataset"] != "dataset_7")]


@pytest.fixture(scope="module")
def by_share(seen):
    # With all features shown in training, predictions for unknown models are not stretched.
    blunt = TINY | {"feature_dropout": 0.0}
    return {share: TransferabilityGAT(kernel_weight=share, **blunt).fit(seen) for share in (0.0, 0.3, 1.0)}


class TestShare:
    def test_of_none_there_is_no_regression(self, by_share):
        assert by_share[0.0].kernel_ is None
        assert by_share[1.0].kernel_ is not None

    def test_the_prediction_is_the_weighted_mean(self, by_share, encoded):
        networks, mixed, regression = (by_share[share].predict(encoded) for share in (0.0, 0.3, 1.0))
        assert np.abs(networks - regression).max() > 0.01
        assert_allclose(mixed, 0.7 * networks + 0.3 * regression, rtol=1e-6)

    def test_the_regression_alone_asks_no_network(self, by_share, seen, encoded):
        other = TransferabilityGAT(kernel_weight=1, **TINY | {"random_state": 7, "hidden_dim": 4}).fit(seen)
        assert other.predict(encoded).tobytes() == by_share[1.0].predict(encoded).tobytes()
        assert np.ptp(other.predict(encoded)) > 0.1

    def asked(self, gat, frame):
        """The rows of a frame as the regression sees them."""
        graph, scaling = gat.graph_, gat.network_.scaling
        codes, tables = {}, {}
        for role in ROLES:
            values = frame[list(getattr(graph, f"{role}_columns"))].to_numpy()
            tables[role] = (values - scaling[f"{role}_center"]) / scaling[f"{role}_scale"]
        for side, new in (("model", NEW_MODEL), ("dataset", NEW_DATASET)):
            known = {name: code for code, name in enumerate(getattr(gat, f"{side}s_").tolist())}
            codes[side] = np.array([known.get(name, new) for name in frame[side]])
        return SimpleNamespace(codes=codes, features=tables)

    @pytest.mark.parametrize("grown", [False, True])
    def test_is_the_dense_process_in_the_scale_of_the_scores(self, by_share, seen, encoded, grown):
        """Also after ``partial_fit``: the same strengths and units over the graph that has grown."""
        gat = copy.deepcopy(by_share[1.0])
        new = encoded.drop(index=seen.index)
        if grown:
            gat.partial_fit(new[::2])
        graph = gat.graph_
        features = {
            role: (getattr(graph, f"{role}_features") - gat.network_.scaling[f"{role}_center"])
            / gat.network_.scaling[f"{role}_scale"]
            for role in ROLES
        }
        target, scale = fit_target("balanced", graph, features["dataset"])
        asked = self.asked(gat, encoded)
        values = dense(graph, features, target, gat.kernel_.strengths, asked)
        level, spread = scale.levels[asked.codes["dataset"]], scale.spreads[asked.codes["dataset"]]
        unknown = asked.codes["dataset"] < 0
        if unknown.any():
            level[unknown], logs = scale.placement.predict(asked.features["dataset"][unknown]).T
            spread[unknown] = np.exp(logs)
        assert unknown.any() != grown
        expected = level + spread * scale.slope * (values * scale.scale + scale.center)
        assert_allclose(gat.predict(encoded), expected, atol=1e-5)

    def test_further_records_leave_the_strengths_alone_and_move_the_terms(self, by_share, seen, encoded):
        gat = copy.copy(by_share[0.3]).partial_fit(encoded.drop(index=seen.index))
        before = by_share[0.3].kernel_
        assert gat.kernel_.strengths is before.strengths
        assert len(gat.kernel_.terms["model"]) == len(before.terms["model"]) + 1
        assert np.abs(gat.kernel_.terms["model"][:-1, 0] - before.terms["model"][:, 0]).max() > 1e-3

    def test_a_grid_search_finds_it(self):
        """In a zoo of additive effects, of which a short training knows little, the regression is worth something."""
        zoo = make_transfer_records(12, 10, interaction_scale=0.0, noise=0.01, random_state=0).records
        pipe = Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(additive=False, **TINY))])
        search = GridSearchCV(
            pipe, {"gat__kernel_weight": [0.0, 0.5, 1.0]}, scoring=RANKING_SCORERS["spearman"], cv=LeaveDatasetsOut(2)
        ).fit(zoo)
        scores = search.cv_results_["mean_test_score"]
        assert search.best_params_["gat__kernel_weight"] > 0
        assert scores[-1] > scores[0] + 0.1

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_a_saved_file_predicts_the_same(self, by_share, encoded, tmp_path, share):
        gat = by_share[share]
        persistence.save(gat, tmp_path / "gat.skgat")
        loaded = persistence.load(tmp_path / "gat.skgat")
        for found, expected in zip(loaded.predict(encoded, return_std=True), gat.predict(encoded, True), strict=True):
            assert found.tobytes() == expected.tobytes()
        assert loaded.ranking_std(encoded).tobytes() == gat.ranking_std(encoded).tobytes()
        assert type(loaded.kernel_) is type(gat.kernel_)
        assert type(loaded.target_scale_.placement) is type(gat.target_scale_.placement)
        again = [model.partial_fit(encoded).predict(encoded) for model in (loaded, copy.deepcopy(gat))]
        assert_allclose(*again, rtol=1e-9)

    @pytest.mark.parametrize("value", [-0.1, 1.5, "all", None])
    def test_bad_values(self, seen, value):
        message = "The 'kernel_weight' parameter of TransferabilityGAT must be a float in the range [0.0, 1.0]. Got "
        with pytest.raises(ValueError, match=re.escape(f"{message}{value!r}")):
            TransferabilityGAT(kernel_weight=value, **TINY).fit(seen)

    def test_the_network_of_the_paper_has_none(self, seen):
        message = 'Got kernel_weight=0.5, but conv="gatconv" expects kernel_weight=0.'
        with pytest.raises(ValueError, match=re.escape(message)):
            presets.scg4trf(kernel_weight=0.5).fit(seen)
