"""Training: seeds, stopping, warm starts, further records, callbacks, and what an interruption leaves behind."""

import copy
import os
import pickle
import re
import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skgat import MetadataEncoder, TransferabilityGAT, presets
from skgat.datasets import make_transfer_records
from skgat.gat import fitting, trainer
from skgat.graph import build_graph
from skgat.metrics import RANKING_SCORERS
from skgat.model_selection import LeaveDatasetsOut
from skgat.records import read_pairs

TINY = {"max_iter": 20, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0}
MAKERS = {"bipartite": TransferabilityGAT, "gatconv": presets.scg4trf}


@pytest.fixture(scope="module")
def records():
    return make_transfer_records(9, 8, fill=0.7, random_state=1).records


@pytest.fixture(scope="module")
def encoded(records):
    return MetadataEncoder().fit_transform(records)


@pytest.fixture(scope="module")
def seen(encoded):
    """Without the last model and the last dataset."""
    return encoded[(encoded["model"] != "model_8") & (encoded["dataset"] != "dataset_7")]


@pytest.fixture(scope="module")
def fitted(seen):
    return TransferabilityGAT(**TINY).fit(seen)


def bits(estimator, frame):
    return np.concatenate(estimator.predict(frame, return_std=True)).tobytes()


def state_of(estimator):
    return pickle.dumps({name: value for name, value in vars(estimator).items() if name.endswith("_")})


class TestLengthOfTraining:
    @pytest.mark.parametrize(
        ("n_records", "learning_rate", "max_iter"),
        [(40, 0.007, 200), (3000, 0.007, 200), (6000, 0.014, 264), (12_000, 0.021, 348), (120_000, 0.021, 800)],
    )
    def test_more_records_take_more_and_larger_steps(self, n_records, learning_rate, max_iter):
        rng = np.random.default_rng(0)
        pairs = rng.permutation(400 * 300)[:n_records]
        frame = pd.DataFrame({"model": pairs // 300, "dataset": pairs % 300, "score": rng.normal(size=n_records)})

        def settings_of(**params):
            gat = TransferabilityGAT(**params)
            graph = build_graph(read_pairs(gat, frame, reset=True, scores=True))
            settings = fitting.prepare(gat, graph).settings
            return settings["learning_rate"], settings["max_iter"]

        assert settings_of() == (pytest.approx(learning_rate), max_iter)
        assert settings_of(learning_rate=0.1) == (0.1, max_iter)
        assert settings_of(max_iter=7) == (pytest.approx(learning_rate), 7)

    def test_few_records_have_the_usual_one(self, seen, encoded):
        params = TINY | {"max_iter": "auto", "kernel_weight": 0.0, "forest_weight": 0.0}
        usual = TransferabilityGAT(**params | {"max_iter": 200, "learning_rate": 0.007}).fit(seen)
        gat = TransferabilityGAT(**params).fit(seen)
        assert gat.n_iter_ == len(gat.loss_curve_) == 200
        assert bits(gat, encoded) == bits(usual, encoded)

    @pytest.mark.parametrize(("name", "value"), [("max_iter", "many"), ("max_iter", 0), ("learning_rate", "fast")])
    def test_what_is_not_understood_is_refused(self, name, value, seen):
        with pytest.raises(ValueError, match=f"'{name}' parameter .* among {{'auto'}}"):
            TransferabilityGAT(**TINY | {name: value}).fit(seen)


class TestSeeds:
    @pytest.mark.parametrize("kind", MAKERS)
    def test_one_seed_one_answer(self, kind, seen, encoded):
        make = MAKERS[kind]
        first, again, other = (make(**TINY | {"random_state": seed}).fit(seen) for seed in (0, 0, 1))
        assert bits(first, encoded) == bits(again, encoded)
        assert bits(first, encoded) != bits(other, encoded)
        assert first.loss_curve_ == again.loss_curve_

    def test_no_seed_differs_each_time(self, seen, encoded):
        one, other = (TransferabilityGAT(**TINY | {"random_state": None}).fit(seen) for _ in range(2))
        assert bits(one, encoded) != bits(other, encoded)

    def test_a_random_state_moves_on(self, seen, encoded):
        stream = np.random.RandomState(0)
        one, other = (TransferabilityGAT(**TINY | {"random_state": stream}).fit(seen) for _ in range(2))
        assert bits(one, encoded) != bits(other, encoded)
        assert bits(TransferabilityGAT(**TINY | {"random_state": np.random.RandomState(0)}).fit(seen), encoded) == bits(
            one, encoded
        )

    @pytest.mark.parametrize("kind", MAKERS)
    def test_global_streams_are_neither_read_nor_moved(self, kind, seen, encoded):
        results = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
            gat = MAKERS[kind](**TINY).fit(seen)
            results.append(bits(gat, encoded))
            gat.partial_fit(encoded[:4])
            gat.attention()
            assert torch.equal(torch.get_rng_state(), before[0])
            assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
        assert results[0] == results[1]

    def test_arguments_are_not_written_back(self, seen):
        gat = TransferabilityGAT(device="auto", validation_fraction=0.2, **TINY)
        before = copy.deepcopy(gat.get_params())
        gat.fit(seen).predict(seen)
        assert gat.get_params() == before
        fresh = clone(gat)
        assert fresh.get_params() == before
        assert not [name for name in vars(fresh) if name.endswith("_")]

    def test_integer_weights_are_repeated_rows(self, seen, encoded):
        counts = np.arange(len(seen)) % 4
        weighted = TransferabilityGAT(**TINY).fit(seen, sample_weight=counts)
        repeated = TransferabilityGAT(**TINY).fit(seen.loc[seen.index.repeat(counts)])
        assert bits(weighted, encoded) == bits(repeated, encoded)
        assert bits(weighted, encoded) != bits(TransferabilityGAT(**TINY).fit(seen), encoded)

    def test_equal_weights_are_no_weights(self, fitted, seen, encoded):
        weighted = TransferabilityGAT(**TINY).fit(seen, sample_weight=np.full(len(seen), 3.0))
        assert_allclose(weighted.predict(encoded), fitted.predict(encoded), rtol=1e-5)

    @pytest.mark.parametrize("kernel_weight", [0.0, 0.5])
    def test_next_to_no_weight_is_almost_none(self, seen, encoded, kernel_weight):
        said = []
        for least in (1e-290, 1e-310, 5e-324):
            weights = np.where(np.arange(len(seen)) % 5, 1.0, least)
            gat = TransferabilityGAT(**TINY | {"kernel_weight": kernel_weight}).fit(seen, sample_weight=weights)
            said.append(gat.predict(encoded))
        assert_allclose(said[1:], [said[0]] * 2, rtol=1e-5)

    def test_further_records_are_as_heavy_as_the_others(self, seen, encoded):
        said = []
        for weight in (None, 1e-3, 1e3):
            weights = None if weight is None else np.full(len(seen) - 9, weight)
            gat = TransferabilityGAT(**TINY).fit(seen[:-9], sample_weight=weights)
            said.append(gat.partial_fit(seen[-9:]).predict(encoded))
        assert_allclose(said[1:], [said[0]] * 2, rtol=1e-5)

    @pytest.mark.parametrize("weight", [1e4, 1e6, 1e12])
    def test_one_heavy_record_does_not_blow_up_the_networks(self, seen, encoded, weight):
        weights = np.r_[weight, np.ones(len(seen) - 1)]
        said = TransferabilityGAT(**TINY | {"kernel_weight": 0.0}).fit(seen, sample_weight=weights).predict(encoded)
        reach = np.ptp(seen["score"])
        assert seen["score"].min() - reach < said.min() < said.max() < seen["score"].max() + reach

    @pytest.mark.parametrize("other", [{"target_transform": "rank"}, {"conv": "gatconv"}], ids=str)
    def test_further_records_are_read_with_the_transform_of_fit(self, seen, encoded, other):
        said = []
        for changed in ({}, other):
            gat = TransferabilityGAT(**TINY).fit(seen[:-9]).set_params(**changed)
            said.append(gat.partial_fit(seen[-9:]).predict(encoded))
        assert_array_equal(*said)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [([1.0], "sample_weight has 1 values for"), (-1.0, "must not be negative"), (0.0, "all weights are zero")],
    )
    def test_weights_that_are_none(self, seen, weights, message):
        weights = weights if isinstance(weights, list) else np.full(len(seen), weights)
        with pytest.raises(ValueError, match=message):
            TransferabilityGAT(**TINY).fit(seen, sample_weight=weights)


class TestStopping:
    @pytest.mark.parametrize("max_iter", [1, 2, 3, 4, 5, 6, 7, 11])
    @pytest.mark.parametrize("schedule", [True, False])
    def test_max_iter(self, seen, max_iter, schedule):
        gat = TransferabilityGAT(**TINY | {"max_iter": max_iter, "schedule": schedule}).fit(seen)
        assert gat.n_iter_ == len(gat.loss_curve_) == max_iter
        assert np.isfinite(gat.loss_curve_).all()
        assert not hasattr(gat, "validation_scores_")

    def test_the_best_state_is_kept(self, seen, monkeypatch):
        """The state that is left scores on the held-out edges what the best epoch scored."""
        kept = {}

        class Spy(trainer.Trainer):
            def finalize(self):
                scores = list(self.scores)
                kept["scores"], kept["restored"] = scores, self.validate()
                self.scores[:] = scores
                super().finalize()

        monkeypatch.setattr("skgat.gat.fitting.Trainer", Spy)
        params = {"max_iter": 60, "learning_rate": 0.1, "schedule": False, "n_iter_no_change": 60}
        gat = TransferabilityGAT(early_stopping=True, **TINY | params).fit(seen)
        assert gat.validation_scores_ == kept["scores"]
        assert len(gat.validation_scores_) == gat.n_iter_ == 60
        assert kept["restored"] == max(gat.validation_scores_)
        assert kept["restored"] > gat.validation_scores_[-1]

    def test_no_improvement_stops(self, seen):
        params = TINY | {"max_iter": 200, "tol": 1e9, "n_iter_no_change": 5, "target_transform": "none"}
        gat = TransferabilityGAT(early_stopping=True, **params).fit(seen)
        assert gat.n_iter_ == len(gat.validation_scores_) == 6
        patient = TransferabilityGAT(early_stopping=True, **params | {"tol": 0.0, "max_iter": 12}).fit(seen)
        assert patient.n_iter_ > 6

    def test_without_early_stopping_tol_is_not_asked(self, seen):
        assert TransferabilityGAT(**TINY | {"tol": 1e9, "n_iter_no_change": 1}).fit(seen).n_iter_ == 20

    def test_a_fit_without_early_stopping_keeps_no_scores_of_the_one_before(self, seen):
        gat = TransferabilityGAT(early_stopping=True, **TINY).fit(seen)
        gat.set_params(early_stopping=False).fit(seen)
        assert not hasattr(gat, "validation_scores_")

    @pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
    @pytest.mark.parametrize("seed", [0, 9, 10])
    def test_some_records_are_always_left_to_learn_from(self, seen, fraction, seed):
        params = TINY | {"n_estimators": 1, "random_state": seed}
        gat = TransferabilityGAT(early_stopping=True, validation_fraction=fraction, **params).fit(seen)
        assert np.ptp(gat.loss_curve_) > 0
        assert np.isfinite(gat.validation_scores_).all()
        assert np.isfinite(gat.predict(seen)).all()

    def test_verbose_prints_every_so_many_epochs(self, seen, capsys):
        gat = TransferabilityGAT(verbose=5, **TINY).fit(seen)
        lines = capsys.readouterr().out.splitlines()
        assert lines == [f"epoch {i:>4}  loss {gat.loss_curve_[i - 1]:.5f}" for i in (5, 10, 15, 20)]
        TransferabilityGAT(**TINY).fit(seen)
        assert capsys.readouterr().out == ""


DIVERGING = {"learning_rate": 1e30, "rank_weight": 1e308, "weight_decay": 1e300}


class TestDivergence:
    @pytest.mark.parametrize("name", DIVERGING)
    @pytest.mark.parametrize("kind", MAKERS)
    def test_it_is_refused(self, kind, name, seen):
        gat = MAKERS[kind](**TINY | {name: DIVERGING[name]})
        told = f"Got learning_rate={gat.learning_rate if gat.learning_rate != 'auto' else 0.007!r}, with which training"
        with pytest.raises(ValueError, match=re.escape(told)) as caught:
            gat.fit(seen)
        assert "after 20 epochs" in str(caught.value)
        assert "Try a smaller learning_rate" in str(caught.value)
        assert not [attribute for attribute in vars(gat) if attribute.endswith("_")]

    @pytest.mark.parametrize("warm_start", [False, True])
    def test_the_estimator_stays_as_it_was(self, seen, encoded, warm_start):
        gat = TransferabilityGAT(**TINY, warm_start=warm_start).fit(seen)
        before = state_of(gat)
        with pytest.raises(ValueError, match="with which training diverged"):
            gat.set_params(learning_rate=1e30).fit(encoded)
        assert state_of(gat) == before
        assert np.isfinite(gat.set_params(learning_rate="auto").fit(encoded).predict(encoded)).all()

    def test_a_loss_that_is_large_but_finite_warns(self, seen):
        gat = TransferabilityGAT(**TINY, learning_rate=10.0)
        with pytest.warns(ConvergenceWarning, match="loss ended at .* Try a smaller learning_rate than 10"):
            gat.fit(seen)
        assert gat.loss_curve_[-1] > 10 * max(gat.loss_curve_[0], 1.0)

    def test_predictions_that_are_none_are_refused_too(self, seen, monkeypatch):
        said = trainer.Trainer.predictions
        monkeypatch.setattr(trainer.Trainer, "predictions", lambda self: said(self) * np.inf)
        with pytest.raises(ValueError, match="losses, weights or predictions are not finite"):
            TransferabilityGAT(**TINY).fit(seen)

    def test_a_loss_that_is_none_is_refused_too(self, seen, monkeypatch):
        epoch = trainer.Trainer.epoch

        def lose(self):
            epoch(self)
            self.losses[-1] = float("inf")

        monkeypatch.setattr(trainer.Trainer, "epoch", lambda self: lose(self) or 0.0)
        with pytest.raises(ValueError, match="with which training diverged"):
            TransferabilityGAT(**TINY).fit(seen)

    def test_early_stopping_keeps_the_best_state_if_there_was_one(self, seen, encoded, monkeypatch):
        stopping = TINY | {"early_stopping": True, "n_iter_no_change": 3}
        with pytest.raises(ValueError, match="after 3 epochs"):
            TransferabilityGAT(**stopping, rank_weight=1e308).fit(seen)
        epoch = trainer.Trainer.epoch

        def spoil(self):
            loss = epoch(self)
            if len(self.losses) > 2:
                self.vector.data.fill_(np.nan)
            return loss

        monkeypatch.setattr(trainer.Trainer, "epoch", spoil)
        gat = TransferabilityGAT(**stopping).fit(seen)
        assert np.isfinite(gat.predict(encoded)).all()
        assert gat.n_iter_ == 5


class TestWarmStart:
    def test_goes_on_from_the_last_weights(self, seen):
        params = TINY | {"max_iter": 80, "learning_rate": 0.01, "schedule": False, "feature_dropout": 0.0}
        gat = TransferabilityGAT(warm_start=True, **params).fit(seen)
        first = list(gat.loss_curve_)
        gat.set_params(max_iter=5).fit(seen)
        assert gat.n_iter_ == 5
        assert np.mean(gat.loss_curve_) < 0.8 * np.mean(first[:5])

    def test_no_warm_start_begins_anew(self, seen, encoded):
        gat = TransferabilityGAT(**TINY).fit(seen)
        once = bits(gat, encoded)
        assert bits(gat.fit(seen), encoded) == once

    def test_another_shape_begins_anew(self, seen, encoded):
        gat = TransferabilityGAT(warm_start=True, **TINY).fit(seen)
        gat.set_params(hidden_dim=16).fit(seen)
        assert bits(gat, encoded) == bits(TransferabilityGAT(**TINY | {"hidden_dim": 16}).fit(seen), encoded)

    def test_new_ids_are_no_new_shape(self, seen, encoded):
        gat = TransferabilityGAT(warm_start=True, **TINY).fit(seen)
        before = gat.network_.weights["into.model"]
        gat.set_params(max_iter=1, learning_rate=1e-9).fit(encoded)
        assert_allclose(gat.network_.weights["into.model"], before, atol=1e-6)
        assert "dataset_7" in gat.datasets_


class TestPartialFit:
    def test_on_a_fresh_estimator_it_is_fit(self, fitted, seen, encoded):
        assert bits(TransferabilityGAT(**TINY).partial_fit(seen), encoded) == bits(fitted, encoded)
        bare, y = seen.drop(columns="score"), seen["score"]
        assert bits(TransferabilityGAT(**TINY).partial_fit(bare, y), encoded) == bits(fitted, encoded)

    def test_new_nodes_join(self, fitted, encoded):
        gat = copy.deepcopy(fitted)
        new = encoded[(encoded["model"] == "model_8") | (encoded["dataset"] == "dataset_7")]
        assert gat.partial_fit(new) is gat
        assert "model_8" in gat.models_
        assert "dataset_7" in gat.datasets_
        assert gat.graph_.n_edges == len(encoded)
        assert "model_8" in gat.embeddings("model").index
        assert "dataset_7" in set(gat.attention()["target"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isfinite(gat.predict(new[["model", "dataset"]])).all()

    def test_no_step_of_the_optimizer_is_taken(self, fitted, encoded, monkeypatch):
        def refuse(*_):
            raise AssertionError("an epoch was run")

        gat = copy.deepcopy(fitted)
        monkeypatch.setattr(trainer.Trainer, "epoch", refuse)
        gat.partial_fit(encoded)
        assert gat.network_.weights.keys() == fitted.network_.weights.keys()
        for name, value in gat.network_.weights.items():
            assert (value == fitted.network_.weights[name]).all(), name

    def test_known_records_change_nothing(self, fitted, seen, encoded):
        gat = copy.deepcopy(fitted).partial_fit(seen)
        assert_allclose(gat.predict(encoded), fitted.predict(encoded), rtol=1e-5)

    def test_one_by_one_is_all_at_once(self, fitted, encoded):
        new = encoded[encoded["dataset"] == "dataset_7"]
        at_once, one_by_one = copy.deepcopy(fitted).partial_fit(new), copy.deepcopy(fitted)
        for row in range(len(new)):
            one_by_one.partial_fit(new.iloc[[row]])
        assert_allclose(one_by_one.predict(encoded), at_once.predict(encoded), rtol=1e-5)

    def test_a_new_score_of_a_known_pair_is_believed(self, fitted, seen):
        row = seen.iloc[[0]]
        low, high = (copy.deepcopy(fitted).partial_fit(row.assign(score=score)) for score in (0.0, 1.0))
        assert low.predict(row)[0] < high.predict(row)[0]
        assert high.graph_.n_edges == fitted.graph_.n_edges

    def test_ids_alone_join_a_graph_of_ids(self, seen):
        ids = seen[["model", "dataset", "score"]]
        gat = TransferabilityGAT(**TINY).fit(ids)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gat.partial_fit(pd.DataFrame({"model": ["model_0", "new"], "dataset": [3, 3], "score": [0.1, 0.9]}))
            assert gat.predict(pd.DataFrame({"model": ["model_0", "new"], "dataset": [3, 3]})).shape == (2,)
        assert gat.datasets_[0] == 3

    @pytest.mark.parametrize("kind", ["zscore", "rank", "logit"])
    def test_every_target_takes_further_records(self, seen, encoded, kind):
        seen, encoded = (frame.assign(score=frame["score"].clip(0.01, 0.99)) for frame in (seen, encoded))
        gat = TransferabilityGAT(target_transform=kind, **TINY).fit(seen)
        assert np.isfinite(gat.partial_fit(encoded).predict(encoded)).all()

    def test_the_paper_takes_further_records(self, seen, encoded):
        gat = presets.scg4trf(max_iter=5, random_state=0).fit(seen)
        assert np.isfinite(gat.partial_fit(encoded).predict(encoded)).all()

    def test_a_failure_leaves_all_as_it_was(self, fitted, seen):
        gat = copy.deepcopy(fitted)
        before = state_of(gat)
        with pytest.raises(ValueError, match="not finite"):
            gat.partial_fit(seen.assign(score=np.inf))
        with pytest.raises(ValueError, match="needed to place the unknown dataset 'new'"):
            gat.partial_fit(seen.assign(dataset="new").drop(columns="dataset__numeric_0"))
        assert state_of(gat) == before


class Interrupt:
    """A callback that is Ctrl-C in the third epoch."""

    def setup(self, estimator, context):
        self.epochs = 0

    def teardown(self, estimator, context):
        self.torn_down = True

    def on_fit_task_begin(self, estimator, context, **_):
        pass

    def on_fit_task_end(self, estimator, context, **_):
        self.epochs += context.task_name == "epoch"
        if self.epochs == 3:
            raise KeyboardInterrupt


class StopAt(Interrupt):
    """A callback that ends training after the third epoch."""

    def on_fit_task_end(self, estimator, context, **_):
        self.epochs += context.task_name == "epoch"
        return self.epochs == 3


@pytest.mark.skipif(find_spec("sklearn.callback") is not None, reason="this scikit-learn has callbacks")
def test_an_older_scikit_learn_says_that_it_has_no_callbacks(seen):
    gat = TransferabilityGAT(**TINY)
    assert gat.set_callbacks() is gat
    with pytest.raises(RuntimeError, match=r"Callbacks need scikit-learn 1\.9 or newer"):
        gat.set_callbacks(Interrupt())


class TestCallbacks:
    @pytest.fixture(autouse=True)
    def _callbacks(self):
        pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")

    @pytest.fixture
    def monitor(self):
        from sklearn.callback import ScoringMonitor

        return ScoringMonitor(scoring="r2")

    def log_of(self, monitor):
        return monitor.get_logs().data_as_pandas

    def test_a_monitor_scores_every_epoch(self, monitor, seen):
        params = TINY | {"max_iter": 40, "additive": False, "target_transform": "none"}
        alone = {"kernel_weight": 0.0, "forest_weight": 0.0}
        gat = TransferabilityGAT(**params | alone).set_callbacks(monitor).fit(seen)
        log = self.log_of(monitor)
        assert log["r2"].notna().sum() == 40
        assert log["r2"].iloc[-1] == pytest.approx(gat.score(seen), abs=1e-6)
        assert log["r2"].iloc[-1] > log["r2"].iloc[0] + 0.1

    def test_watching_changes_nothing(self, monitor, fitted, seen, encoded):
        watched = TransferabilityGAT(**TINY).set_callbacks(monitor).fit(seen)
        assert bits(watched, encoded) == bits(fitted, encoded)

    def test_a_monitor_in_a_pipeline(self, monitor, records):
        gat = TransferabilityGAT(**TINY).set_callbacks(monitor)
        Pipeline([("encode", MetadataEncoder()), ("gat", gat)]).fit(records)
        assert len(self.log_of(monitor)) == TINY["max_iter"]

    @pytest.mark.untraced
    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_a_monitor_under_grid_search(self, monitor, records, n_jobs):
        gat = TransferabilityGAT(**TINY | {"max_iter": 4}).set_callbacks(monitor)
        pipe = Pipeline([("encode", MetadataEncoder()), ("gat", gat)])
        search = GridSearchCV(
            pipe,
            {"gat__n_layers": [1, 2]},
            scoring=RANKING_SCORERS["spearman"],
            cv=LeaveDatasetsOut(2),
            n_jobs=n_jobs,
        )
        search.fit(records)
        assert len(self.log_of(monitor)) == (2 * 2 + 1) * 4

    @pytest.mark.parametrize("where", ["alone", "pipeline", "search", "search in parallel"])
    def test_a_progress_bar(self, where, records, encoded, capsys):
        pytest.importorskip("rich", reason="scikit-learn's progress bar is drawn by rich")
        from sklearn.callback import ProgressBar

        gat = TransferabilityGAT(**TINY | {"max_iter": 3})
        pipe = Pipeline([("encode", MetadataEncoder()), ("gat", gat)])
        n_jobs = 2 if where == "search in parallel" else None
        search = GridSearchCV(
            pipe, {"gat__n_layers": [1]}, scoring=RANKING_SCORERS["ndcg"], cv=LeaveDatasetsOut(2), n_jobs=n_jobs
        )
        chosen = {"alone": gat, "pipeline": pipe}.get(where, search)
        chosen.set_callbacks(ProgressBar()).fit(encoded if where == "alone" else records)
        shown = capsys.readouterr().out
        assert type(chosen).__name__ in shown
        assert "100%" in shown

    def test_a_callback_can_stop_training(self, seen):
        gat = TransferabilityGAT(**TINY).set_callbacks(StopAt()).fit(seen)
        assert gat.n_iter_ == len(gat.loss_curve_) == 3
        assert np.isfinite(gat.predict(seen)).all()

    def test_an_interrupted_fit_leaves_an_unfitted_estimator_unfitted(self, seen, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        gat = TransferabilityGAT(**TINY).set_callbacks(Interrupt())
        with pytest.raises(KeyboardInterrupt):
            gat.fit(seen)
        assert not [name for name in vars(gat) if name.endswith("_")]
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("warm_start", [False, True])
    def test_an_interrupted_fit_leaves_a_fitted_estimator_as_it_was(
        self, fitted, seen, encoded, warm_start, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        gat = copy.deepcopy(fitted).set_params(warm_start=warm_start, hidden_dim=16)
        before, state = bits(gat, encoded), state_of(gat)
        gat.set_callbacks(Interrupt())
        with pytest.raises(KeyboardInterrupt):
            gat.fit(encoded.rename(columns={"pair__measure_0": "pair__other"}))
        assert bits(gat, encoded) == before
        assert state_of(gat) == state
        assert os.listdir(tmp_path) == []

    def test_an_interrupted_estimator_can_be_fitted_again(self, fitted, seen, encoded):
        gat = TransferabilityGAT(**TINY).set_callbacks(Interrupt())
        with pytest.raises(KeyboardInterrupt):
            gat.fit(seen)
        gat.set_callbacks()
        assert bits(gat.fit(seen), encoded) == bits(fitted, encoded)
