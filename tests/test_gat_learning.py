"""What the GAT learns: planted interactions are found, the unknown is placed, shuffled labels teach nothing."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr

from skgat import MetadataEncoder, TransferabilityGAT
from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo, make_transfer_records
from skgat.exceptions import UnknownEntityWarning
from skgat.gat import prediction
from skgat.metrics import pearson, spearman

FAST = {"max_iter": 150, "hidden_dim": 16, "n_estimators": 2, "random_state": 0}
# For zoos in which the metadata can be trusted.
TRUSTING = FAST | {"feature_dropout": 0.0}
# What is about the networks alone.
NETWORKS = TRUSTING | {"kernel_weight": 0.0, "target_transform": "none"}
CASES = ["pair", "dataset", "model", "both"]
SEEDS = [0, 1]


def split(records, seed, n_models=5, n_datasets=6):
    """Encoded records to learn from, and four frames held out: pairs of known ends, or one or both ends unknown."""
    rng = np.random.default_rng(seed)
    new_model, new_dataset = (
        records[side].isin(rng.choice(records[side].unique(), count, replace=False))
        for side, count in (("model", n_models), ("dataset", n_datasets))
    )
    held = rng.random(len(records)) < 0.4
    seen = records[~new_model & ~new_dataset & ~held]
    encoder = MetadataEncoder().fit(seen)
    frames = {
        "pair": records[~new_model & ~new_dataset & held],
        "dataset": records[~new_model & new_dataset],
        "model": records[new_model & ~new_dataset],
        "both": records[new_model & new_dataset],
    }
    return encoder.transform(seen), {case: encoder.transform(frame) for case, frame in frames.items()}


def quality(estimator, frame, metric=spearman):
    return metric(frame["score"], estimator.predict(frame), groups=frame["dataset"])


@pytest.fixture(scope="module")
def planted():
    """Zoos in which the interaction outweighs the models' effects and the metadata tell most of it."""
    zoos = []
    for seed in SEEDS:
        zoo = make_transfer_records(
            24, 30, fill=1.0, rank=2, interaction_scale=0.1, model_scale=0.03, metadata_share=0.95, noise=0.01,
            n_pair_features=0, random_state=seed,
        )  # fmt: skip
        zoos.append(split(zoo.records, seed))
    return zoos


@pytest.fixture(scope="module")
def rankings(planted):
    """Mean quality over the zoos: {estimator: {(metric, case): value}}."""
    makers = {
        "default": lambda: TransferabilityGAT(**FAST),
        "kernel": lambda: TransferabilityGAT(**FAST | {"kernel_weight": 1.0, "n_estimators": 1, "max_iter": 1}),
        "bilinear": lambda: TransferabilityGAT(**NETWORKS),
        "mlp": lambda: TransferabilityGAT(decoder="mlp", **NETWORKS),
        "linear": lambda: TransferabilityGAT(decoder="linear", **NETWORKS),
        "bias": BiasRegressor,
    }
    table = {}
    for name, make in makers.items():
        found = []
        for seen, unseen in planted:
            estimator = make().fit(seen)
            found.append(
                {
                    (metric.__name__, case): quality(estimator, frame, metric)
                    for case, frame in unseen.items()
                    for metric in (spearman, pearson)
                }
            )
        table[name] = pd.DataFrame(found).mean().to_dict()
    return table


@pytest.mark.parametrize("metric", ["spearman", "pearson"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["bilinear", "mlp", "kernel"])
def test_a_planted_interaction_is_recovered(rankings, name, case, metric):
    found = rankings[name][metric, case]
    assert found > rankings["bias"][metric, case] + 0.2
    assert found > rankings["linear"][metric, case] + 0.15
    assert found > {"pair": 0.7, "dataset": 0.55, "model": 0.35, "both": 0.35}[case]


@pytest.mark.parametrize("case", CASES)
def test_the_default_caution_still_recovers_it(rankings, case):
    found = rankings["default"]["spearman", case]
    assert found > rankings["bias"]["spearman", case] + 0.1
    assert found > rankings["linear"]["spearman", case] + 0.1


def test_a_linear_decoder_ranks_all_models_alike_for_every_unknown_dataset(planted):
    seen, unseen = planted[0]
    alone = {"max_iter": 20, "kernel_weight": 0.0, "forest_weight": 0.0}
    gat = TransferabilityGAT(decoder="linear", **FAST | alone).fit(seen)
    frame = unseen["dataset"]
    table = frame.assign(score=gat.predict(frame)).pivot(index="model", columns="dataset", values="score")
    for dataset in table.columns[1:]:
        assert spearmanr(table[dataset], table.iloc[:, 0]).statistic == pytest.approx(1.0)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"kernel_weight": 0.0, "target_transform": "none"},
        {"kernel_weight": 1.0},
        {"edge_features": False},
        {"additive": False},
        {"decoder": "mlp"},
        {"edge_dropout": 0.0},
    ],
    ids=str,
)
def test_shuffled_scores_teach_nothing(params):
    """Held-out quality falls to chance.

    Per dataset the rank correlation of m held-out models has variance 1 / (m - 1) if truth and prediction are
    independent, whatever the prediction; over the datasets the errors are averaged. The bound is 3.5 standard errors.
    """
    records = make_transfer_records(24, 40, fill=0.6, interaction_scale=0.1, random_state=5).records
    shuffled = records.assign(score=np.random.default_rng(0).permutation(records["score"]))
    seen, unseen = split(shuffled.drop(columns="pair__measure_0"), 5, n_models=1, n_datasets=12)
    gat = TransferabilityGAT(**FAST | {"max_iter": 80} | params).fit(seen)
    for case in ("pair", "dataset"):
        sizes = unseen[case].groupby("dataset").size()
        sizes = sizes[sizes > 1]
        bound = 3.5 * np.sqrt((1 / (sizes - 1)).sum()) / len(sizes)
        assert bound < 0.35
        assert abs(quality(gat, unseen[case])) < bound
    # Nor does it claim to know: its error on hidden edges is no less than the spread of the scores, but for noise.
    assert gat.noise_["dataset"] > 0.5


@pytest.mark.parametrize("trained_on_metadata", [False, True])
def test_an_unknown_id_without_metadata_gets_the_additive_guess(trained_on_metadata):
    """Models are ranked by how they do elsewhere, datasets by how others do there."""
    records = load_vision_zoo().records
    ids = records[["model", "dataset", "score"]]
    gat = TransferabilityGAT(**FAST).fit(MetadataEncoder().fit_transform(records) if trained_on_metadata else ids)
    bias = BiasRegressor().fit(ids)
    for known, new in (("model", "dataset"), ("dataset", "model")):
        pairs = pd.DataFrame({known: getattr(gat, f"{known}s_"), new: "new"})
        with pytest.warns(UnknownEntityWarning, match=f"^1 unknown {new}\\(s\\), such as 'new', come without any meta"):
            found = gat.predict(pairs)
        expected = bias.predict(pairs)
        assert spearmanr(found, expected).statistic > 0.85
        assert abs(found.mean() - expected.mean()) < 0.5 * records["score"].std()


@pytest.mark.parametrize(("kernel_weight", "gain"), [(0.0, 0.1), (0.5, 0.03)])
def test_a_few_records_of_an_unknown_dataset_improve_its_ranking(kernel_weight, gain):
    """Metadata tell little here; results do. The networks learn how they do, the regression knows of metadata only."""
    gains = []
    for seed in SEEDS:
        zoo = make_transfer_records(
            24, 30, fill=1.0, rank=2, interaction_scale=0.1, model_scale=0.03, metadata_share=0.2, noise=0.01,
            n_pair_features=0, random_state=10 + seed,
        )  # fmt: skip
        seen, unseen = split(zoo.records, seed, n_models=1, n_datasets=6)
        gat = TransferabilityGAT(**FAST | {"kernel_weight": kernel_weight}).fit(seen)
        for _, frame in unseen["dataset"].groupby("dataset"):
            context, rest = frame[:8], frame[8:]
            taught = copy.deepcopy(gat).partial_fit(context)
            gains.append([spearmanr(rest["score"], model.predict(rest)).statistic for model in (gat, taught)])
    before, after = np.mean(gains, axis=0)
    assert after > before + gain
    assert np.mean(np.diff(gains) > 0) > 0.6


def test_unknown_datasets_are_less_certain_than_known_pairs(planted):
    seen, unseen = planted[0]
    gat = TransferabilityGAT(**FAST | {"max_iter": 60}).fit(seen)
    stds = {case: gat.predict(frame, return_std=True)[1] for case, frame in unseen.items()}
    known = gat.predict(seen, return_std=True)[1]
    assert all((std > 0).all() for std in stds.values())
    assert stds["dataset"].mean() > known.mean()
    assert stds["both"].mean() > known.mean()


@pytest.fixture(scope="module")
def zoo():
    """Scores that are no shares of one, so that no limit bends them; ten of 30 models are unknown."""
    zoo = make_transfer_records(30, 12, fill=1.0, metadata_share=0.9, n_pair_features=0, random_state=0)
    records = zoo.records.assign(score=1_000 * zoo.records["score"])
    new = records["model"].isin(records["model"].unique()[::3])
    encoder = MetadataEncoder().fit(records[~new])
    return encoder.transform(records[~new]), encoder.transform(records[new])


class TestReach:
    """Predictions for unknown models lie as far apart as the features tell, though networks say less of them."""

    PARAMS = FAST | {"feature_dropout": 0.4, "forest_weight": 0.0, "max_iter": 30}

    def both(self, zoo, monkeypatch, **params):
        """Predictions and deviations for unknown models, as they are and without being stretched."""
        gat = TransferabilityGAT(**self.PARAMS | params).fit(zoo[0])
        found = gat.predict(zoo[1], return_std=True)
        known = gat.predict(zoo[0])
        monkeypatch.setattr(prediction, "_reach", lambda *_: 1.0)
        assert_array_equal(gat.predict(zoo[0]), known)
        return found, gat.predict(zoo[1], return_std=True)

    def apart(self, frame, values):
        """Relative to the other models on the dataset."""
        return values - pd.Series(values).groupby(frame["dataset"].to_numpy()).transform("mean").to_numpy()

    @pytest.mark.parametrize(
        ("params", "factor"),
        [
            ({}, 1 / (1 - 0.5 * 0.4)),
            ({"kernel_weight": 0.0}, 1 / 0.6),
            ({"kernel_weight": 1.0}, 1.0),
            ({"forest_weight": 0.5}, 1 / (1 - 0.25 * 0.4)),
            ({"forest_weight": 1.0}, 1.0),
            ({"feature_dropout": 0.0}, 1.0),
            ({"target_transform": "none"}, 1.0),
        ],
    )
    def test_by_hand(self, zoo, monkeypatch, params, factor):
        (values, std), (plain, plain_std) = self.both(zoo, monkeypatch, **params)
        assert_allclose(self.apart(zoo[1], values), factor * self.apart(zoo[1], plain), rtol=1e-6, atol=1e-6)
        assert (std > plain_std).all() if factor > 1 else (std == plain_std).all()

    def test_brings_them_closer_to_the_truth(self, zoo, monkeypatch):
        truth = self.apart(zoo[1], zoo[1]["score"].to_numpy())
        found = [self.apart(zoo[1], values) for values, _ in self.both(zoo, monkeypatch, feature_dropout="auto")]
        off, plain_off = (np.mean((values - truth) ** 2) for values in found)
        assert off < 0.95 * plain_off


def test_heavier_rows_pull():
    """Two halves of the records contradict each other; the heavy half is predicted better."""
    rng = np.random.default_rng(0)
    grid = pd.MultiIndex.from_product([range(10), range(8)], names=["model", "dataset"]).to_frame(index=False)
    first = rng.random(len(grid)) < 0.5
    frame = grid.assign(score=np.where(first, 1.0, 0.0) + 0.05 * rng.normal(size=len(grid)))
    frame["dataset__x"] = frame["dataset"].astype(float)
    levels = []
    for weights in (np.where(first, 20.0, 1.0), np.where(first, 1.0, 20.0)):
        gat = TransferabilityGAT(**FAST | {"max_iter": 40}).fit(frame, sample_weight=weights)
        levels.append(gat.predict(frame.assign(dataset=99, dataset__x=3.0)).mean())
    assert levels[0] > levels[1] + 0.3


def test_the_loss_falls(planted):
    gat = TransferabilityGAT(**TRUSTING).fit(planted[0][0])
    curve = np.array(gat.loss_curve_)
    assert curve[-20:].mean() < 0.6 * curve[:5].mean()
