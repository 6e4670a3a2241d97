"""The benchmark of recommendation quality: honest splits, no leak, right statistics, no result taken twice."""

import importlib.util
import itertools
import json
import re
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge

import skgat
from skgat import metrics
from skgat.baselines import BiasRegressor
from skgat.datasets import make_transfer_records

SCRIPTS = Path(skgat.__file__).parent.parent / "benchmarks" / "quality"
NAMES = (
    "sources", "simple", "residual", "gp", "contestants", "classifiers", "splits", "scores", "store", "board", "report",
    "targets",
)  # fmt: skip


@pytest.fixture(scope="module")
def bench():
    """The scripts as modules, under their own names while the tests of this file run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        modules = {name: importlib.import_module(f"quality_{name}") for name in NAMES}
        spec = importlib.util.spec_from_file_location("quality_run", SCRIPTS / "run.py")
        modules["run"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules["run"])
        yield type("Bench", (), modules)
        for name in NAMES:
            sys.modules.pop(f"quality_{name}")


@pytest.fixture(scope="module")
def records():
    frame = make_transfer_records(15, 20, fill=0.8, random_state=0).records
    group = frame["model"].str[-1].astype(int) % 7
    return frame.assign(model__architecture=group.map("net{}".format), model__pretrained_on="photos")


@pytest.fixture
def toy(bench, records, monkeypatch):
    """A matrix of the benchmark made of few records, in every scenario but the one with its own masks."""
    targets = tuple(sorted(records["dataset"].unique())[:4])
    monkeypatch.setitem(bench.splits.MATRICES, "toy", ("Toy, 15 models x 20 datasets", lambda _: (records, targets)))
    for name, one in bench.splits.SCENARIOS.items():
        changed = type(one)(one.name, one.title, ("toy",), one.split, one.least, one.pooled)
        monkeypatch.setitem(bench.splits.SCENARIOS, name, changed)
    monkeypatch.delitem(bench.splits.SCENARIOS, "edges")
    caches = (bench.splits.load_matrix, bench.splits.splits_of, bench.store._digest_of_data)
    yield bench
    for cache in caches:
        cache.cache_clear()


def only(bench, monkeypatch, **makers):
    """Leave these contestants alone in the benchmark."""
    monkeypatch.setattr(bench.contestants, "CONTESTANTS", bench.contestants.CONTESTANTS.copy())
    kept = {name: bench.contestants.Contestant(name, name, make) for name, make in makers.items()}
    for module in (bench.contestants, bench.store, bench.board, bench.report, bench.run):
        monkeypatch.setattr(module, "CONTESTANTS", kept)
        if hasattr(module, "ablations"):
            monkeypatch.setattr(module, "ablations", dict)


class Memory(RegressorMixin, BaseEstimator):
    """Knows every score that it was ever shown, and nothing else."""

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, X, y):
        self.seen_ = dict(zip(zip(X["model"], X["dataset"], strict=True), y, strict=True))
        return self

    def predict(self, X):
        if "score" in X:
            return X["score"].to_numpy()
        chance = np.random.default_rng(self.seed).uniform(size=len(X))
        pairs = zip(X["model"], X["dataset"], chance, strict=True)
        return np.array([self.seen_.get((model, dataset), other) for model, dataset, other in pairs])


# ---------------------------------------------------------------- splits


def test_every_scenario_hides_what_it_says(toy, records):
    model, dataset = records["model"].to_numpy(), records["dataset"].to_numpy()
    for name in toy.splits.SCENARIOS:
        splits = toy.splits.splits_of("toy", name)
        assert splits
        for split in splits:
            assert not np.intersect1d(split.train, split.test).size
            shared_models = np.intersect1d(model[split.train], model[split.test]).size
            shared_datasets = np.intersect1d(dataset[split.train], dataset[split.test]).size
            assert (shared_models == 0) == (name in ("new-models", "new-both", "crossed", "crossed-groups")), name
            unknown = ("lodo", "new-datasets", "new-both", "crossed", "crossed-groups")
            assert (shared_datasets == 0) == (name in unknown), name
            if name == "few-shot":
                counts = pd.Series(dataset[split.train]).value_counts()
                assert (counts[np.unique(dataset[split.test])] == toy.splits.KNOWN_RESULTS).all()
            if name.startswith("hide"):
                assert len(split.test) == round(len(records) * int(name[4:]) / 100)
                assert len(split.train) + len(split.test) == len(records)


def test_crossed_folds_cover_each_target_once(toy, records):
    group = records["model__architecture"].to_numpy()
    for name in ("crossed", "crossed-groups"):
        splits = toy.splits.splits_of("toy", name)
        draws = {split.draw for split in splits}
        assert len(draws) == (3 if name == "crossed" else 1)
        for target, draw in itertools.product(toy.splits.load_matrix("toy").targets, draws):
            rows = [split.test for split in splits if (split.unit, split.draw) == (target, draw)]
            assert_array_equal(np.sort(np.concatenate(rows)), np.flatnonzero(records["dataset"] == target))
        together = all(not np.intersect1d(group[split.train], group[split.test]).size for split in splits)
        assert together == (name == "crossed-groups")


def test_splits_are_the_same_every_time(toy):
    for name, scenario in toy.splits.SCENARIOS.items():
        again = list(scenario.split(toy.splits.load_matrix("toy")))
        for one, other in zip(toy.splits.splits_of("toy", name), again, strict=True):
            assert_array_equal(one.train, other.train)
            assert_array_equal(one.test, other.test)


# ---------------------------------------------------------------- no leak


@pytest.mark.parametrize("scenario", ["lodo", "hide20", "new-datasets", "crossed", "few-shot"])
def test_who_only_remembers_is_at_chance(toy, records, scenario):
    found = []
    for number, split in enumerate(toy.splits.splits_of("toy", scenario)):
        train, test = records.iloc[split.train], records.iloc[split.test]
        known = set(zip(train["model"], train["dataset"], strict=True))
        assert not known & set(zip(test["model"], test["dataset"], strict=True))
        for seed in range(10):
            # Another stream for every split: splits of one size would share their luck.
            predictions, _ = toy.store.fit_and_predict(Memory(10 * number + seed), train, test)
            if len(test) > 1:
                found.append(stats.spearmanr(predictions[0], test["score"]).statistic)
    assert abs(np.mean(found)) < 0.15


def test_who_remembers_would_be_found_out(toy, records):
    predictions, _ = toy.store.fit_and_predict(Memory(), records, records)
    assert_array_equal(predictions[0], records["score"])


def test_predictions_must_be_finite(bench, records):
    class Broken(Memory):
        def predict(self, X):
            return np.full(len(X), np.nan)

    with pytest.raises(ValueError, match="not all predictions are finite"):
        bench.store.fit_and_predict(Broken(), records, records)


# ---------------------------------------------------------------- figures


def test_figures_agree_with_scipy(bench, records):
    rng = np.random.default_rng(0)
    predicted = records["score"].to_numpy() + rng.normal(0, 0.05, len(records))
    figures = bench.scores.evaluate(records, np.stack([predicted, np.full(len(records), 0.05)]), least=4)
    assert len(figures["datasets"]) == records["dataset"].nunique()
    for dataset, found in figures["datasets"].items():
        rows = (records["dataset"] == dataset).to_numpy()
        truth, ours = records["score"].to_numpy()[rows], predicted[rows]
        assert found["pearson"] == pytest.approx(stats.pearsonr(truth, ours).statistic)
        assert found["spearman"] == pytest.approx(stats.spearmanr(truth, ours).statistic)
        assert found["weighted_kendall"] == pytest.approx(stats.weightedtau(truth, ours).statistic)
        assert found["regret"] == pytest.approx(truth.max() - truth[ours.argmax()])
        assert found["relative_accuracy"] == pytest.approx(truth[np.argsort(-ours)[:5]].max() / truth.max())
    error = np.abs(predicted - records["score"].to_numpy())
    overall = figures["overall"]
    assert overall["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    for level in (80, 95):
        half = 0.05 * stats.norm.ppf(0.5 + level / 200)
        assert overall[f"coverage_{level}"] == (error <= half).mean()
        assert overall[f"width_{level}"] == pytest.approx(2 * half)
    mean = np.mean([found["spearman"] for found in figures["datasets"].values()])
    assert bench.scores.unit_value(figures, "spearman") == pytest.approx(mean)


def test_small_and_constant_datasets_are_left_out(bench):
    frame = pd.DataFrame(
        {"dataset": list("aaaabbbbccc"), "score": [1.0, 2, 3, 4, 5, 5, 5, 5, 1, 2, 3], "model": list("wxyzwxyzwxy")}
    )
    figures = bench.scores.evaluate(frame, frame["score"].to_numpy()[None], least=4)
    assert list(figures["datasets"]) == ["a"]
    assert figures["overall"]["n"] == 11
    assert np.isnan(bench.scores.unit_value(figures, "cold"))


def test_the_papers_figures(bench, records):
    hidden = np.random.default_rng(1).random(len(records)) < 0.4
    hidden |= (records["dataset"] == records["dataset"].iloc[0]).to_numpy()
    test, known = records[hidden], records[~hidden]
    predicted = np.random.default_rng(2).normal(size=len(test))
    overall = bench.scores.evaluate(test, predicted[None], 4, known)["overall"]
    mixed = records["score"].mask(hidden, pd.Series(predicted, index=test.index))
    by_dataset = [stats.pearsonr(records["score"][i], mixed[i])[0] for i in records.groupby("dataset").groups.values()]
    assert overall["paper_figure"] == pytest.approx(np.mean(by_dataset))
    assert overall["cold"] == pytest.approx(by_dataset[0])


def test_failed_runs_are_set_aside(bench):
    rng = np.random.default_rng(0)
    truth = np.append(rng.normal(0.9, 0.01, 30), [0.2, 0.1])
    predicted = np.append(rng.normal(size=30), [-9.0, -9.0])
    frame = pd.DataFrame({"dataset": "a", "model": range(32), "score": truth})
    found = bench.scores.evaluate(frame, predicted[None], 4, failures=True)["datasets"]["a"]
    assert found["pearson"] > 0.9
    assert found["pearson_without_failures"] == pytest.approx(stats.pearsonr(truth[:30], predicted[:30]).statistic)


def test_paired_differences_agree_with_scipy(bench):
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(1, 1, 12), rng.normal(0, 1, 12)
    mean, error, t_test, wilcoxon = bench.scores.paired(ours, theirs)
    assert mean == pytest.approx((ours - theirs).mean())
    assert error == pytest.approx(stats.sem(ours - theirs))
    assert t_test == pytest.approx(stats.ttest_1samp(ours - theirs, 0).pvalue)
    assert wilcoxon == pytest.approx(stats.wilcoxon(ours, theirs).pvalue)
    assert bench.scores.paired(ours, ours) == (0.0, 0.0, 1.0, 1.0)
    gaps = np.where(np.arange(12) < 3, np.nan, ours)
    assert bench.scores.paired(gaps, theirs) == bench.scores.paired(ours[3:], theirs[3:])
    assert np.isnan(bench.scores.summary([0.5])[1])


# ---------------------------------------------------------------- the matrix that is measured here


@pytest.fixture
def classifiers(bench, monkeypatch, tmp_path):
    """Few models on few tasks, kept in a folder of the test."""
    measure = partial(bench.classifiers.measure, 30, 12, 0.4, n_jobs=1)
    monkeypatch.setattr(bench.classifiers, "measure", measure)
    monkeypatch.setattr(bench.classifiers, "_FILE", tmp_path / "build" / "classifiers.csv")
    return bench.classifiers


def test_classifiers_are_measured_once_and_the_same_each_time(classifiers, monkeypatch):
    measured = classifiers.measure()
    assert_frame_equal(classifiers.load_classifiers(), measured)
    monkeypatch.setattr(classifiers, "measure", None)
    assert_frame_equal(classifiers.load_classifiers(), measured)
    assert [path.name for path in classifiers._FILE.parent.iterdir()] == ["classifiers.csv"]


def test_scores_of_classifiers_are_their_accuracies_on_other_samples(classifiers):
    records = classifiers.measure()
    assert not records.duplicated(["model", "dataset"]).any()
    assert 0.3 < len(records) / (30 * 12) < 0.5
    for record in records.sample(15, random_state=0).to_dict("records"):
        told, estimator = classifiers._model(int(record["model"][-3:]))
        about, (samples, labels), (others, truth) = classifiers._task(int(record["dataset"][-3:]))
        assert np.log(len(samples)) == about["dataset__log_size"]
        assert not {row.tobytes() for row in samples} & {row.tobytes() for row in others}
        score = np.mean(estimator.fit(samples, labels).predict(others) == truth)
        assert record == pytest.approx({**told, **about, "score": score}, nan_ok=True)


def test_what_classifiers_are_made_of_is_told(classifiers):
    """Arguments that a family has, and no others."""
    for number in range(60):
        told, estimator = classifiers._model(number)
        _, has, kinds = classifiers._FAMILIES[told["model__family"]]
        for name, column in (("strength", "model__log_strength"), ("size", "model__size"), ("depth", "model__depth")):
            assert np.isfinite(told[column]) == (name in has)
        assert told["model__kind"] in (kinds or ("none",))
        n_steps = len(classifiers._PREPARATIONS[told["model__preparation"]])
        assert len(estimator) == n_steps + 1


def test_popular_models_are_tried_more_often(bench):
    chosen = bench.classifiers._chosen(200, 300, 0.17)
    assert chosen.mean() == pytest.approx(0.17, abs=0.01)
    for axis in (0, 1):
        counts = chosen.sum(axis=axis)
        assert np.quantile(counts, 0.9) > 3 * np.quantile(counts, 0.1) > 0


# ---------------------------------------------------------------- contestants


def test_who_cannot_take_part_has_a_reason(bench, records):
    contestant = partial(bench.contestants.Contestant, "x", "X", Memory)
    why_not, available = bench.contestants.why_not, bench.contestants.available
    assert why_not(contestant(), records) is None
    assert available(contestant(most_records=len(records), column="model"), records)
    assert why_not(contestant(column="pair__log_me"), records) == "no column pair__log_me"
    assert why_not(contestant(most_records=len(records) - 1), records) == f"more than {len(records) - 1} records"
    assert not available(contestant(most_records=len(records) - 1), records)
    assert not available(contestant(packages=("no_such_package",)), records)


def test_the_residual_is_that_of_a_fit_without_the_row(bench, records):
    few = records.sample(40, random_state=0).reset_index(drop=True)
    y = few["score"].to_numpy()
    for shrinkage in (0.5, 3.0):
        left_out = bench.residual.additive_left_out(BiasRegressor(shrinkage=shrinkage).fit(few, y), few, y)
        for row in range(len(few)):
            others = BiasRegressor(shrinkage=shrinkage).fit(few.drop(index=row))
            assert left_out[row] == pytest.approx(others.predict(few.iloc[[row]])[0], rel=1e-8)


def test_regressors_on_the_residual_and_on_standardized_scores(bench, records):
    class Constant(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            assert_array_equal(X["score"], y)
            self.mean_ = np.mean(y)
            return self

        def predict(self, X):
            return np.full(len(X), self.mean_)

    y = records["score"].to_numpy()
    bias = BiasRegressor().fit(records)
    shift = (y - bench.residual.additive_left_out(bias, records, y)).mean()
    on_residual = bench.residual.OnResidual(Constant()).fit(records, y)
    assert_allclose(on_residual.predict(records), bias.predict(records) + shift)
    standardized = bench.residual.OnStandardized(Constant()).fit(records, y)
    assert_allclose(standardized.predict(records), records.groupby("dataset")["score"].transform("mean"))
    unknown = standardized.predict(records.head(1).assign(dataset="new"))
    assert_allclose(unknown, records.groupby("dataset")["score"].mean().mean())


def test_means_and_measures(bench):
    frame = pd.DataFrame(
        {
            "model": list("abab"),
            "dataset": list("xxyy"),
            "score": [0.1, 0.3, 0.4, 0.8],
            "pair__m": [1, 3, np.nan, 5],
        }
    )
    new = pd.DataFrame({"model": list("abc"), "dataset": "z", "pair__m": [4.0, np.nan, 2.0]})
    assert_allclose(bench.simple.ModelMean().fit(frame, frame["score"]).predict(new), [0.25, 0.55, 0.4])
    z = np.sqrt(0.5)
    spread = np.mean([0.2, 0.4]) * z
    expected = [0.4 - z * spread, 0.4 + z * spread, 0.4]
    assert_allclose(bench.simple.ModelMean(standardize=True).fit(frame, frame["score"]).predict(new), expected)
    alone = bench.simple.MeasureAlone("pair__m").fit(frame, frame["score"]).predict(new)
    assert alone[0] > alone[1] > alone[2]
    assert alone[1] == pytest.approx(alone[[0, 2]].mean())


def test_the_gaussian_process_agrees_with_its_formula(bench, records):
    few = records.sample(60, random_state=0)
    known, asked = few.iloc[:50], few.iloc[50:].assign(dataset="new")
    process = bench.gp.PairGaussianProcess(n_tuned=50, max_iter=5, random_state=0).fit(known, known["score"].to_numpy())
    rows = process._read(asked)
    kernel = bench.gp._kernel(process.logs_, process.rows_, process.rows_).numpy()
    cross = bench.gp._kernel(process.logs_, rows, process.rows_).numpy()
    own = np.diag(bench.gp._kernel(process.logs_, rows, rows).numpy())
    noise = float(process.logs_[bench.gp._NOISE].exp())
    solved = np.linalg.solve(kernel + (noise + 1e-6) * np.eye(50), np.column_stack([process.target_, cross.T]))
    mean, std = process.predict(asked, return_std=True)
    assert_allclose(mean, process.center_ + process.scale_ * (cross @ solved[:, 0]), rtol=1e-8)
    variance = own - np.einsum("ij,ji->i", cross, solved[:, 1:]) + noise
    assert_allclose(std, process.scale_ * np.sqrt(variance), rtol=1e-6)
    assert np.linalg.eigvalsh(kernel).min() > -1e-8
    assert_allclose(process.predict(asked.iloc[[3]]), mean[[3]])


def test_label_sets_are_compared_by_jaccard(bench):
    sets = ["cat, dog", "dog,car", "cat, dog"]
    frame = pd.DataFrame({"model": list("ab") * 3, "dataset": list("xxyyzz")})
    frame["dataset__labels"] = np.repeat(sets, 2)
    frame["score"] = np.linspace(0.1, 0.9, 6)
    process = bench.gp.PairGaussianProcess(n_tuned=6, max_iter=2, random_state=0).fit(frame, frame["score"].to_numpy())
    assert process.label_column_ == "dataset__labels"
    labels = process._read(frame.iloc[::2])["labels"]
    assert_allclose(bench.gp._jaccard(labels, labels).numpy(), [[1, 1 / 3, 1], [1 / 3, 1, 1 / 3], [1, 1 / 3, 1]])


def test_the_gaussian_process_learns_an_interaction(bench):
    frame = make_transfer_records(30, 30, fill=0.7, random_state=0).records
    hidden = np.random.default_rng(0).random(len(frame)) < 0.3
    known, asked = frame[~hidden], frame[hidden]
    for standardize in (False, True):
        process = bench.gp.PairGaussianProcess(standardize, n_tuned=200, max_iter=10, random_state=0)
        predicted = process.fit(known, known["score"].to_numpy()).predict(asked.drop(columns="score"))
        additive = BiasRegressor().fit(known).predict(asked)
        truth, groups = asked["score"], asked["dataset"]
        assert metrics.pearson(truth, predicted, groups=groups) > metrics.pearson(truth, additive, groups=groups) + 0.03


def test_every_contestant_has_arguments_and_code_of_its_own(bench):
    contestants = bench.contestants.CONTESTANTS | bench.contestants.ablations()
    recipes = [bench.contestants.build(one)[1] for one in contestants.values() if not one.missing()]
    assert len(set(recipes)) == len(recipes)
    again = [bench.contestants.build(one)[1] for one in contestants.values() if not one.missing()]
    assert recipes == again
    assert not any("0x" in recipe for recipe in recipes)


def test_code_counts_and_words_do_not(bench):
    one = '"""Words."""\ndef f(x):\n    """More words."""\n    return x + 1  # why\n'
    other = "def f(x):\n    return x + 1\n"
    assert bench.sources.code_of(one) == bench.sources.code_of(other)
    assert bench.sources.code_of(one) != bench.sources.code_of(other.replace("1", "2"))


def test_the_code_behind_an_estimator_is_followed(bench):
    sources = bench.sources
    assert sources._path("skgat.gat.trainer").name == "trainer.py"
    assert "skgat.baselines.bias" in sources._imports("quality_residual")
    assert "skgat.baselines.nearest_datasets" not in sources._imports("quality_residual")
    assert "skgat.graph" in sources._imports("skgat.baselines.bias")
    assert "skgat.encoder" in sources._imports("quality_gp")
    assert sources.digest_of(BiasRegressor()) != sources.digest_of(Ridge())


# ---------------------------------------------------------------- running and reporting


def run(bench, folder, *argv):
    return bench.run.main(["--out", str(folder), *argv])


def test_done_is_skipped_and_changed_is_redone(toy, monkeypatch, tmp_path, capsys):
    only(toy, monkeypatch, memory=Memory, mean=toy.simple.ModelMean)
    assert run(toy, tmp_path, "--only", "toy/hide20") == 0
    assert "10 results to take" in capsys.readouterr().err
    assert run(toy, tmp_path, "--only", "toy/hide20") == 0
    assert "0 results to take" in capsys.readouterr().err
    only(toy, monkeypatch, memory=partial(Memory, seed=1), mean=toy.simple.ModelMean)
    before = (tmp_path / "toy" / "hide20" / "memory" / "0.json").read_text()
    run(toy, tmp_path, "--only", "toy/hide20")
    assert "5 results to take" in capsys.readouterr().err
    assert (tmp_path / "toy" / "hide20" / "memory" / "0.json").read_text() != before
    run(toy, tmp_path, "--only", "toy/hide80/mean", "--splits", "2")
    assert "2 results to take" in capsys.readouterr().err
    monkeypatch.setattr(toy.contestants, "digest_of", lambda estimator: "other code")
    run(toy, tmp_path, "--only", "toy/hide20/mean")
    assert "5 results to take" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.tmp"))


def test_figures_of_older_metrics_are_taken_anew_without_a_fit(toy, monkeypatch, tmp_path, capsys):
    only(toy, monkeypatch, mean=toy.simple.ModelMean)
    run(toy, tmp_path, "--only", "toy/hide20")
    path = tmp_path / "toy" / "hide20" / "mean" / "0.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | {"metrics": "older", "figures": {}}))
    job = toy.store.Job("toy", "hide20", 0, "mean")
    assert toy.store.Store(tmp_path).read(job) == result
    assert json.loads(path.read_text()) == result
    capsys.readouterr()
    run(toy, tmp_path, "--only", "toy/hide20")
    assert "0 results to take" in capsys.readouterr().err


def test_a_failure_is_told_and_tried_again(toy, monkeypatch, tmp_path, capsys):
    class Failing(Memory):
        def fit(self, X, y):
            raise RuntimeError("no luck")

    only(toy, monkeypatch, failing=Failing, mean=toy.simple.ModelMean)
    for _ in range(2):
        assert run(toy, tmp_path, "--only", "toy/hide20/failing", "--splits", "1") == 1
        assert "toy/hide20/failing/0 FAILED: RuntimeError: no luck" in capsys.readouterr().err


def test_patterns(bench):
    assert bench.run.wanted(None, "image", "lodo", "gat")
    assert bench.run.wanted(["image"], "image", "lodo", "gat")
    assert bench.run.wanted(["*/lodo/bias*"], "image", "lodo", "bias-ridge")
    assert bench.run.wanted(["text", "image/hide20"], "image", "hide20")
    assert not bench.run.wanted(["image/hide20"], "image", "hide80")
    assert not bench.run.wanted(["*/lodo/bias*"], "image", "lodo", "gp")


def test_the_report_holds_what_was_found(toy, records, monkeypatch, tmp_path):
    class Sure(BiasRegressor):
        def predict(self, X, return_std=False):
            mean = super().predict(X)
            return (mean, np.full(len(mean), 0.05)) if return_std else mean

    only(toy, monkeypatch, random=partial(toy.simple.RandomScores, 0), mean=toy.simple.ModelMean, gat=Sure)
    path = tmp_path / "docs" / "report.md"
    scenarios = ("lodo", "hide20", "crossed")
    arguments = [part for name in scenarios for part in ("--only", f"toy/{name}")]
    assert run(toy, tmp_path / "results", *arguments, "--report", str(path)) == 0
    text = path.read_text(encoding="utf-8")
    assert list(path.parent.iterdir()) == [path]
    assert not re.search(r"\bnan\b", text)
    headings = [line for line in text.splitlines() if line.startswith("### ")]
    assert len(headings) == 3
    assert all("Toy, 15 models x 20 datasets" in heading for heading in headings)
    values = []
    for split in toy.splits.splits_of("toy", "hide20"):
        train, test = records.iloc[split.train], records.iloc[split.test]
        test = test[test.groupby("dataset")["score"].transform("size") >= 4]
        values.append(metrics.spearman(test["score"], BiasRegressor().fit(train).predict(test), groups=test["dataset"]))
    section = text.split("### Toy, 15 models x 20 datasets: 20 %")[1].split("###")[0]
    assert f"{np.mean(values):.3f}\u00a0±\u00a0{stats.sem(values):.3f}" in next(
        line for line in section.splitlines() if line.startswith("| gat |")
    )
    assert "80 % covers" in text
    assert "better on" in text.split("leave one dataset out")[-1]
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_splits_of_a_draw_are_evaluated_together_and_draws_are_averaged(toy, records, monkeypatch, tmp_path):
    only(toy, monkeypatch, mean=toy.simple.ModelMean)
    run(toy, tmp_path, "--only", "toy/crossed")
    found = toy.board.Board(toy.store.Store(tmp_path)).standings("toy", "crossed")["mean"]
    splits = toy.splits.splits_of("toy", "crossed")
    target = toy.splits.load_matrix("toy").targets[0]
    parts = defaultdict(list)
    for split in splits:
        if split.unit == target:
            train, test = records.iloc[split.train], records.iloc[split.test]
            predicted = toy.simple.ModelMean().fit(train, train["score"]).predict(test)
            parts[split.draw].append(np.column_stack([test["score"], predicted]))
    draws = [np.concatenate(part).T for part in parts.values()]
    expected = np.mean([metrics.pearson(*draw, groups=np.zeros(draw.shape[1])) for draw in draws])
    assert len(draws) == 3
    assert found.units[target]["datasets"][target]["pearson"] == pytest.approx(expected)
    assert found.complete
