"""No score is an input to its own prediction, nothing of a held-out row reaches a fit, and no row reaches another.

Every guard runs on all public estimators, and is turned on an estimator that leaks, to see that it would tell.
"""

import copy
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from architectures import alexnet, resnet, vgg
from estimators import instance, public_estimators, reads_records, recommenders, state_bytes
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import has_fit_parameter

from skgat import MetadataEncoder, TransferabilityGAT
from skgat.baselines import BiasRegressor
from skgat.datasets import make_transfer_records
from skgat.embedding import Archi2Vec, ProbeEncoder
from skgat.gat import fitting
from skgat.gat.edges import choose_layout
from skgat.gat.trainer import Trainer
from skgat.graph import build_graph
from skgat.metrics import spearman
from skgat.records import read_pairs

NAMES = list(recommenders())
WEIGHTED = [
    class_.__name__
    for class_ in public_estimators()
    if reads_records(class_) and has_fit_parameter(class_, "sample_weight")
]
#: Enough to learn scores by heart.
LARGER = {"max_iter": 60, "n_estimators": 2, "random_state": 0}


def zoo(seed=0, **sizes):
    sizes = {"n_models": 14, "n_datasets": 18, "fill": 0.8, "noise": 0.01, "missing": 0.1} | sizes
    return make_transfer_records(**sizes, random_state=seed).records


@pytest.fixture(scope="module")
def records():
    return zoo()


@pytest.fixture(scope="module")
def fitted(records):
    """All recommenders, and rows that ask them for the known and the unknown."""
    known = records[(records["model"] != "model_13") & (records["dataset"] != "dataset_17")]
    pipelines = recommenders()
    return {name: pipeline.fit(known, known["score"]) for name, pipeline in pipelines.items()}


@pytest.fixture(scope="module")
def noise():
    return zoo(n_models=20, n_datasets=24)


@pytest.fixture(scope="module")
def held(records):
    return np.random.default_rng(0).random(len(records)) < 0.2


class _Transductive(RegressorMixin, BaseEstimator):
    """Leaks: what it says of a row hangs on the other rows of the call."""

    def fit(self, X, y):
        self.bias_ = BiasRegressor().fit(X, y)
        return self

    def predict(self, X):
        values = self.bias_.predict(X)
        return values - values.mean()


class _Peeking(_Transductive):
    """Leaks: it finds the scores in the rows that it is asked for."""

    def predict(self, X):
        values = self.bias_.predict(X)
        return values if "score" not in X else values + 0.5 * X["score"].fillna(0.0).to_numpy()


class _Remembering(TransformerMixin, BaseEstimator):
    """Leaks: its statistics are those of all rows that it ever met, held-out ones too."""

    def fit(self, X, y=None):
        self.seen_ = [X["pair__measure_0"].mean()]
        return self

    def transform(self, X):
        self.seen_.append(X["pair__measure_0"].mean())
        return X[["pair__measure_0"]] - np.mean(self.seen_)


class TestShuffledScores:
    """Where the scores mean nothing, nothing can be predicted but by a leak."""

    N_SHUFFLES = 6
    #: The mean over the shuffles of means over 18 datasets of about 6 held-out rows each has a deviation of
    #: 1 / sqrt(6 * 18 * 5) = 0.04.
    BOUND = 0.2

    @staticmethod
    def quality(make, frames):
        found = []
        for seed, frame in enumerate(frames):
            held = np.random.default_rng(seed).random(len(frame)) < 0.4
            heard, unheard = frame[~held], frame[held]
            # The rows come with their scores: whoever reads them is caught.
            predicted = make().fit(heard, heard["score"]).predict(unheard)
            found.append(spearman(unheard["score"], predicted, groups=unheard["dataset"]))
        return float(np.mean(found))

    @classmethod
    def shuffled(cls, records):
        for seed in range(cls.N_SHUFFLES):
            yield records.assign(score=np.random.default_rng(100 + seed).permutation(records["score"]))

    @pytest.mark.parametrize("name", NAMES)
    def test_fall_to_chance(self, records, name):
        def make():
            return recommenders()[name]

        assert abs(self.quality(make, self.shuffled(records))) < self.BOUND
        assert self.quality(make, [records]) > 2 * self.BOUND

    def test_a_peeking_estimator_is_caught(self, records):
        assert self.quality(_Peeking, self.shuffled(records)) > 2 * self.BOUND

    def test_the_stated_error_is_all_there_is(self, records):
        """Errors met on what was learned would be smaller than the spread of scores that mean nothing."""
        for frame in islice(self.shuffled(records), 2):
            gat = TransferabilityGAT(**LARGER)
            frame = MetadataEncoder().fit_transform(frame)
            std = gat.fit(frame).predict(frame, return_std=True)[1]
            assert np.median(std) > 0.8 * frame["score"].std()


class TestOwnEdge:
    """A network that hears scores along its edges gains nothing from hearing the one that it is asked for."""

    @staticmethod
    def gain(records, seed):
        """How much better predictions of noise are when their own scores are in the graph."""
        rng = np.random.default_rng(seed)
        frame = MetadataEncoder().fit_transform(records.assign(score=rng.permutation(records["score"])))
        frame = frame.sort_values(["dataset", "model"])
        gat = TransferabilityGAT(
            n_estimators=1, max_iter=300, kernel_weight=0.0, forest_weight=0.0, target_transform="none", additive=False,
            random_state=seed,
        ).fit(frame)  # fmt: skip
        part = rng.integers(0, 8, len(frame))
        without = np.empty(len(frame))
        for number in range(8):
            rows = part == number
            without[rows] = _without_edges(gat, rows).predict(frame[rows])
        quality = [spearman(frame["score"], found, groups=frame["dataset"]) for found in (gat.predict(frame), without)]
        return quality[0] - quality[1]

    def test_gains_nothing(self, noise):
        assert np.mean([self.gain(noise, seed) for seed in range(2)]) < 0.1

    def test_supervising_what_is_heard_is_caught(self, noise, monkeypatch):
        monkeypatch.setattr(Trainer, "draw_hidden", lambda trainer: ~trainer.training)
        monkeypatch.setattr(Trainer, "_loss", _loss_on_everything(Trainer._loss))
        assert np.mean([self.gain(noise, seed) for seed in range(2)]) > 0.2


def _without_edges(gat, rows):
    """The same weights over a graph that lacks some edges."""
    names = ("edge_models", "edge_datasets", "scores", "weights", "pair_features")
    graph = replace(gat.graph_, **{name: getattr(gat.graph_, name)[~rows] for name in names})
    other = copy.deepcopy(gat)
    for name, value in fitting.refresh(gat, graph).items():
        setattr(other, name, value)
    return other


def _loss_on_everything(loss):
    return lambda trainer, edges, out, targets, supervised: loss(
        trainer, edges, out, targets, trainer._all_in_training()
    )


class TestTrainingRowsOnly:
    """Whatever the held-out rows say, the fit on the others is the same, to the byte."""

    @staticmethod
    def wild(records, rows):
        """The rows with other scores and metadata; other categories, extremes and gaps among them."""
        wild = records.copy()
        rng = np.random.default_rng(7)
        for column in records.columns.difference(["model", "dataset"]):
            if records[column].dtype.kind == "f":
                wild.loc[rows, column] = rng.normal(1e6, 1e6, rows.sum())
            else:
                wild.loc[rows, column] = np.where(rng.random(rows.sum()) < 0.5, None, "never seen")
        return wild

    @classmethod
    def states(cls, estimator, records, rows):
        """What is fitted beside the rows, after it was scored on them: with the rows as they are, and wild."""
        split = PredefinedSplit(np.where(rows, 0, -1))
        for frame in (records, cls.wild(records, rows)):
            found = cross_validate(
                estimator, frame, frame["score"], cv=split, return_estimator=True, error_score="raise"
            )
            yield state_bytes(found["estimator"][0])

    @pytest.mark.parametrize("case", ["pairs", "datasets"])
    @pytest.mark.parametrize("name", NAMES)
    def test_in_cross_validation(self, records, name, case):
        held = {"pairs": np.arange(len(records)) % 4 == 0, "datasets": records["dataset"].isin(["dataset_03"])}[case]
        one, other = self.states(recommenders()[name], records, np.asarray(held))
        assert one == other

    def test_a_remembering_estimator_is_caught(self, records):
        rows = np.arange(len(records)) % 4 == 0
        one, other = self.states(make_pipeline(_Remembering(), Ridge()), records, rows)
        assert one != other

    @pytest.mark.parametrize("name", WEIGHTED)
    def test_rows_of_no_weight(self, records, name):
        estimator = recommenders()[name][-1]
        frame = MetadataEncoder().fit_transform(records)
        y = records["score"].to_numpy()
        held = np.arange(len(frame)) % 4 == 0
        weights = np.where(held, 0.0, 1.0)
        wild = frame.assign(pair__measure_0=np.where(held, 1e6, frame["pair__measure_0"]))
        one, other, third = (
            state_bytes(clone(estimator).fit(X, scores, sample_weight=w))
            for X, scores, w in (
                (frame, y, weights),
                (wild, np.where(held, 1e6, y), weights),
                (wild, np.where(held, 1e6, y), None),
            )
        )
        assert one == other
        assert one != third

    @pytest.mark.parametrize("name", NAMES)
    def test_the_scores_are_those_of_y(self, records, name):
        y = np.random.default_rng(0).permutation(records["score"])
        states = [
            state_bytes(recommenders()[name].fit(frame, y))
            for frame in (records.drop(columns="score"), records, records.assign(score=1e6))
        ]
        assert states[0] == states[1] == states[2]

    def test_metadata_are_encoded_without_the_scores(self, records):
        states = [
            state_bytes(MetadataEncoder().fit(frame, frame["score"]))
            for frame in (records, records.assign(score=np.random.default_rng(0).permutation(records["score"])))
        ]
        assert states[0] == states[1]


class TestInsideTheFit:
    """What a member does not train on has no part in its weights: validation edges, and the folds of calibration."""

    @staticmethod
    def trained(records, held_out=None, folds=None, change=None):
        gat = TransferabilityGAT(hidden_dim=8, n_heads=2, n_estimators=2)
        frame = MetadataEncoder().fit_transform(records)
        graph = build_graph(read_pairs(gat, frame, reset=True, scores=True))
        task = fitting.prepare(gat, graph)
        targets = np.stack([task.target, task.target])
        if change is not None:
            targets = np.where(change, 1e3, targets)
        validation = None if held_out is None else (held_out, task.target)
        trainer = Trainer(
            task.graph, task.features, task.near, targets, task.config, task.settings, choose_layout,
            torch.device("cpu"), 0, validation=validation, folds=folds,
        )  # fmt: skip
        for _ in range(5):
            trainer.epoch()
        state = {name: value.numpy() for name, value in trainer.network.state_dict().items()}
        return state_bytes(state), trainer.predictions().numpy()

    def test_validation_edges(self, records, held):
        one, other = (self.trained(records, held_out=held, change=change) for change in (None, held))
        assert one[0] == other[0]
        assert state_bytes(one[1]) == state_bytes(other[1])
        assert self.trained(records, held_out=held, change=~held)[0] != one[0]

    def test_folds_of_each_member(self, records, held):
        folds = np.stack([held, np.roll(held, 3)])
        one, other = (self.trained(records, folds=folds, change=change) for change in (None, folds))
        assert one[0] == other[0]
        assert state_bytes(one[1]) == state_bytes(other[1])
        assert self.trained(records, folds=folds, change=folds[::-1])[0] != one[0]

    def test_a_member_reads_its_units_from_what_it_hears(self, records):
        """The scale, the levels and the placement of a fold know nothing of its held-out scores."""
        gat = TransferabilityGAT()
        frame = MetadataEncoder().fit_transform(records)
        graph = build_graph(read_pairs(gat, frame, reset=True, scores=True))
        features = fitting.prepare(gat, graph).features["dataset"]
        folds = fitting.draw_folds(graph, 3, "balanced", features, seed=0)
        for number, fold in enumerate(folds):
            changed = replace(graph, scores=np.where(fold.held, 1e3, graph.scores))
            again = fitting.draw_folds(changed, 3, "balanced", features, seed=0)
            assert state_bytes(again[number]) == state_bytes(fold)
            assert state_bytes(again[number - 1]) != state_bytes(folds[number - 1])

    def test_stopping_and_similar_nodes_come_from_training_rows(self, records):
        gat = TransferabilityGAT(
            hidden_dim=8, n_heads=2, n_estimators=1, max_iter=8, n_neighbors=3, early_stopping=True, random_state=0
        )
        rows = np.arange(len(records)) % 4 == 0
        one, other = TestTrainingRowsOnly.states(make_pipeline(MetadataEncoder(), gat), records, rows)
        assert one == other


class TestRowsAlone:
    """What is said of a row depends on the row and the fitted state: not on other rows, their order, or the scores."""

    @staticmethod
    def differences(predict, records):
        """By what was changed: the largest change of what is said of the rows that were not."""
        whole = predict(records)
        scale = np.abs(whole).max()
        rng = np.random.default_rng(0)
        order = rng.permutation(len(records))
        few = rng.choice(len(records), 12, replace=False)
        others = ~np.isin(np.arange(len(records)), few)
        wild = TestTrainingRowsOnly.wild(records, others)
        found = {
            "target": np.abs(predict(records.assign(score=rng.normal(size=len(records)))) - whole).max(),
            "no target": np.abs(predict(records.drop(columns="score")) - whole).max(),
            "order": np.abs(predict(records.iloc[order]) - whole[order]).max(),
            "subset": np.abs(predict(records.iloc[few]) - whole[few]).max(),
            "alone": max(np.abs(predict(records.iloc[[row]]) - whole[[row]]).max() for row in few),
            "other rows": np.abs(predict(wild)[few] - whole[few]).max(),
        }
        return {name: difference / scale for name, difference in found.items()}

    @pytest.mark.parametrize("name", NAMES)
    def test_of_predictions(self, fitted, records, name):
        found = self.differences(fitted[name].predict, records)
        assert found.pop("target") == found.pop("no target") == 0.0
        assert_allclose(list(found.values()), 0.0, atol=1e-11, err_msg=str(found))

    @pytest.mark.parametrize("name", NAMES)
    def test_of_transformed_rows(self, fitted, records, name):
        steps = fitted[name][:-1]

        def transform(frame):
            return np.asarray(steps.transform(frame).drop(columns=["model", "dataset", "score"], errors="ignore"))

        found = self.differences(transform, records)
        assert_allclose(list(found.values()), 0.0, atol=1e-11, err_msg=str(found))

    @pytest.mark.parametrize(("leaky", "caught"), [(_Transductive, "subset"), (_Peeking, "target")])
    def test_leaky_estimators_are_caught(self, records, leaky, caught):
        found = self.differences(leaky().fit(records, records["score"]).predict, records)
        assert found[caught] > 1e-3

    def test_standard_deviations_too(self, fitted, records):
        gat = fitted["TransferabilityGAT"]
        found = self.differences(lambda frame: gat.predict(frame, return_std=True)[1], records)
        assert_allclose(list(found.values()), 0.0, atol=1e-11, err_msg=str(found))

    @pytest.mark.parametrize("name", NAMES)
    def test_predicting_leaves_the_state_alone(self, fitted, records, name):
        before = state_bytes(fitted[name])
        fitted[name].predict(TestTrainingRowsOnly.wild(records, np.ones(len(records), dtype=bool)))
        assert state_bytes(fitted[name]) == before


#: What the transformers that read no records are given.
CALLS = {
    Archi2Vec: lambda: {"wide": alexnet(1.0), "slim": alexnet(0.5), "deep": vgg((1, 1, 2)), "skips": resnet((1, 1))},
    ProbeEncoder: lambda: {
        name: np.random.default_rng(number).normal(number, 1.0, size=(30, 6)) for number, name in enumerate("abcd")
    },
}


class TestNetworksAndFeatures:
    """The transformers that read no records: what they say of one does not depend on the others of the call."""

    def test_none_is_forgotten(self):
        assert {class_ for class_ in public_estimators() if not reads_records(class_)} == set(CALLS)

    @pytest.mark.parametrize("class_", CALLS, ids=lambda class_: class_.__name__)
    def test_of_the_rest(self, class_):
        given = CALLS[class_]()
        *known, new = given
        estimator = instance(class_).fit({name: given[name] for name in known})
        before = state_bytes(estimator)
        whole = estimator.transform(given)
        for name in given:
            alone = estimator.transform({name: given[name]})
            assert_allclose(alone.to_numpy()[0], whole.loc[name].to_numpy(), rtol=1e-12, atol=1e-12)
        assert state_bytes(estimator) == before
        again = instance(class_).fit({name: given[name] for name in known}, y=np.arange(len(known)))
        assert state_bytes(again) == before
        assert state_bytes(instance(class_).fit(given)) != before, f"{new} is heard of when it is in fit"
