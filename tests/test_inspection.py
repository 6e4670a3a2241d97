"""explain: what it takes away, what that changes, and whether it matters."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, wilcoxon
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

mpl.use("Agg")
import matplotlib.pyplot as plt

from skgat import MetadataEncoder, TransferabilityGAT, presets, recommend
from skgat._entities import read_entities
from skgat._fitted import inspect_recommender
from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo
from skgat.gat.evidence import attention_on_records, without_records
from skgat.gat.kernel import solve
from skgat.inspection import Explanation, explain
from skgat.inspection._explain import explain_models
from skgat.plotting import ExplanationDisplay

ZOO = load_vision_zoo()
RECORDS = ZOO.records
HISTORY = RECORDS[RECORDS["dataset"] != "pets"].reset_index(drop=True)
PETS = ZOO.datasets[ZOO.datasets["dataset"] == "pets"]
SMALL = {"max_iter": 30, "hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "random_state": 0, "device": "cpu"}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def fit(records=HISTORY, **settings):
    gat = TransferabilityGAT(**SMALL | settings)
    return Pipeline([("encode", MetadataEncoder()), ("gat", gat)]).fit(records)


@pytest.fixture(scope="module")
def recommender():
    return fit()


@pytest.fixture(scope="module")
def cold(recommender):
    return explain(recommender, "resnet50", PETS, max_records=None)


def edge_of(gat, model, dataset):
    graph = gat.graph_
    at = (graph.models[graph.edge_models] == model) & (graph.datasets[graph.edge_datasets] == dataset)
    return int(np.flatnonzero(at)[0])


@pytest.mark.untraced  # It waits for the fit that the others share.
def test_form(recommender, cold):
    assert isinstance(cold, Explanation)
    assert (cold.model, cold.dataset, cold.n_records) == ("resnet50", "pets", len(HISTORY))
    expected = recommend(recommender, PETS, ["resnet50"], k=1)
    np.testing.assert_allclose([cold.score, cold.std], expected[["score", "std"]].iloc[0], rtol=1e-9)
    assert set(cold.frame["kind"]) == {"record", "metadata"}
    told = cold.records[["model", "dataset"]].apply(tuple, axis=1)
    assert sorted(told) == sorted(HISTORY[["model", "dataset"]].apply(tuple, axis=1))
    for part in (cold.records, cold.metadata):
        assert part["effect"].abs().is_monotonic_decreasing
        assert np.isfinite(part[["effect", "ranking_effect"]]).all().all()
    scores = cold.records.merge(HISTORY, on=["model", "dataset"])
    np.testing.assert_array_equal(scores["score_x"], scores["score_y"])


@pytest.mark.parametrize("record", [("resnet50", "cars"), ("insdis", "aircraft")])
def test_the_effect_is_that_of_a_graph_that_never_had_the_record(recommender, cold, record):
    """Against partial_fit, which builds its graph by another way: of all records, and of all but one."""
    model, dataset = record
    gat, X = recommender[-1], recommender[:-1].transform(HISTORY)
    gone = ((HISTORY["model"] == model) & (HISTORY["dataset"] == dataset)).to_numpy()
    few = fit(HISTORY[HISTORY["dataset"] != dataset], max_iter=5)
    few_X = few[:-1].transform(HISTORY)
    rest = HISTORY["dataset"].to_numpy() == dataset
    without = few[-1].partial_fit(few_X[rest & ~gone])
    pair = RECORDS[(RECORDS["model"] == "resnet50") & (RECORDS["dataset"] == "pets")].drop(columns="score")
    expected = without.predict(few[:-1].transform(pair))[0]
    whole = without.partial_fit(few_X[gone])
    removed = without_records(whole, few[:-1].transform(pair), [edge_of(whole, model, dataset)])[0]
    assert removed == pytest.approx(expected, abs=1e-4)
    # And the frame says what the primitive says.
    told = cold.records.set_index(["model", "dataset"]).loc[record, "effect"]
    alone = without_records(gat, recommender[:-1].transform(pair), [edge_of(gat, model, dataset)])[0]
    assert told == pytest.approx(cold.score - alone, abs=1e-5)
    assert len(X) == gat.graph_.n_edges


@pytest.mark.untraced
def test_the_effect_on_the_order_leaves_out_what_all_models_share(recommender):
    parts = [explain(recommender, model, PETS, max_records=20) for model in ("resnet50", "swav")]
    chosen = set(map(tuple, parts[0].records[["model", "dataset"]].to_numpy()))
    both = [part.records.set_index(["model", "dataset"]) for part in parts]
    shared = [pair for pair in chosen if pair in both[1].index]
    assert shared
    gaps = [part.loc[shared, "effect"] - part.loc[shared, "ranking_effect"] for part in both]
    # The average over all compared models is one number a record, whichever model is explained.
    np.testing.assert_allclose(gaps[0], gaps[1], atol=1e-6)


def strongest_side(explanation, n=5):
    """The results that raise the prediction most, or those that lower it most: those of both would cancel."""
    records = explanation.records
    sides = [records.nlargest(n, "effect"), records.nsmallest(n, "effect")]
    side = max(sides, key=lambda part: abs(part["effect"].sum()))
    return side[["model", "dataset"]].to_numpy()


@pytest.mark.untraced
@pytest.mark.parametrize("dataset", ["pets", "cars"])
def test_removing_the_top_evidence_moves_more_than_removing_random_evidence(recommender, dataset):
    """Of models on an unknown dataset; and on a known one, whose own results are among the evidence."""
    rng, gat = np.random.default_rng(0), recommender[-1]
    models = sorted(rng.choice(ZOO.models["model"], 8, replace=False))
    known = dataset == "cars"
    given = read_entities(dataset if known else PETS, "dataset", inspect_recommender(recommender), "new")
    told = explain_models(recommender, models, given, max_records=80)
    graph = gat.graph_
    of_models, of_datasets = graph.models[graph.edge_models], graph.datasets[graph.edge_datasets]
    moves = []
    for model, explanation in zip(models, told, strict=True):
        pair = RECORDS[(RECORDS["model"] == model) & (RECORDS["dataset"] == dataset)].drop(columns="score")
        X = recommender[:-1].transform(pair)
        top = [edge_of(gat, *row) for row in strongest_side(explanation)]
        related = np.flatnonzero((of_models == model) | (of_datasets == dataset))
        draws = [rng.choice(related, 5, replace=False) for _ in range(6)]
        moved = [abs(explanation.score - without_records(gat, X, edges)[0]) for edges in (top, *draws)]
        moves.append((moved[0], np.mean(moved[1:])))
    top, random = np.array(moves).T
    assert top.mean() > 1.5 * random.mean()
    assert wilcoxon(top, random, alternative="greater").pvalue < 0.05


@pytest.mark.untraced
def test_removing_the_top_evidence_matters_to_a_recommender_that_is_trained_again():
    """With the kernel regression alone, whose training is exact: what moves is the evidence and not the seed."""
    new = RECORDS["dataset"] == "pets"
    history = RECORDS[~new].reset_index(drop=True)
    settings = {"kernel_weight": 1.0, "forest_weight": 0.0, "max_iter": 1, "n_estimators": 1}
    fitted, rng, moves = fit(history, **settings), np.random.default_rng(0), []
    for model in ("googlenet", "swav", "densenet169"):
        pair = RECORDS[new & (RECORDS["model"] == model)].drop(columns="score")
        told = strongest_side(explain(fitted, model, PETS, max_records=40))
        key = history[["model", "dataset"]].apply(tuple, axis=1)
        top = key.isin(set(map(tuple, told)))
        related = np.flatnonzero(history["model"] == model)
        before = fitted.predict(pair)[0]
        draws = [rng.choice(related, 5, replace=False) for _ in range(3)]
        random = np.mean([abs(before - fit(history.drop(index=draw), **settings).predict(pair)[0]) for draw in draws])
        moves.append((abs(before - fit(history[~top], **settings).predict(pair)[0]), random))
    top, random = np.array(moves).T
    assert top.mean() > 2 * random.mean()


@pytest.mark.parametrize("transform", ["pandas", "polars"])
def test_lists_in_metadata_and_frames_of_other_libraries(transform):
    tagged = HISTORY.assign(dataset__tags=[["a", name[0]] for name in HISTORY["dataset"]])
    recommender = Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(**SMALL | {"max_iter": 2}))])
    recommender.set_output(transform=transform).fit(tagged)
    told = explain(recommender, "resnet50", {"dataset": "new", "dataset__tags": ["a", "c"]}, max_records=3)
    assert told.metadata.set_index("column")["value"]["dataset__tags"] == ["a", "c"]
    known = explain(recommender, "resnet50", "cars", max_records=3)
    assert known.metadata.set_index("column")["value"]["dataset__tags"] == ["a", "c"]


@pytest.mark.parametrize("dataset", ["pets", "new", {"dataset__a": 1.0, "dataset__b": 0.3}])
@pytest.mark.parametrize("model", ["resnet50", "new", {"model__a": 1.0, "model__b": 0.0}])
def test_without_an_encoder(model, dataset):
    rng = np.random.default_rng(0)
    bare = RECORDS[["model", "dataset", "score"]].copy()
    for side, name in (("model", "a"), ("model", "b"), ("dataset", "a"), ("dataset", "b")):
        codes = pd.factorize(bare[side])[0]
        bare[f"{side}__{name}"] = rng.normal(size=codes.max() + 1)[codes]
    gat = TransferabilityGAT(**SMALL | {"max_iter": 2}).fit(bare)
    told = explain(gat, model, dataset, max_records=3)
    assert np.isfinite([told.score, told.std]).all()
    assert told.frame[["effect", "ranking_effect"]].notna().all(axis=None)
    named = {"model": model, "dataset": dataset}
    silent = [side for side in named if named[side] == "new"]
    effects = told.metadata.set_index("column")["effect"]
    assert sorted(effects.index[effects == 0]) == sorted(f"{side}__{name}" for side in silent for name in "ab")


def test_a_feature_of_an_unknown_dataset_is_replaced_by_the_average(recommender, cold):
    gat = recommender[-1]
    pair = RECORDS[(RECORDS["model"] == "resnet50") & (RECORDS["dataset"] == "pets")].drop(columns="score")
    X = recommender[:-1].transform(pair)
    X["dataset__train_size"] = gat.network_.scaling["dataset_center"][
        gat.graph_.dataset_columns.index("dataset__train_size")
    ]
    told = cold.metadata.set_index("column").loc["dataset__train_size"]
    assert told["effect"] == pytest.approx(cold.score - gat.predict(X)[0], abs=1e-6)
    assert told["value"] == PETS["dataset__train_size" if "dataset__train_size" in PETS else "train_size"].iloc[0]
    assert (told["model"], told["dataset"]) == (None, "pets")


def test_metadata_are_told_by_the_names_of_the_records(cold):
    columns = {c for c in HISTORY.columns if c.startswith(("model__", "dataset__"))}
    assert set(cold.metadata["column"]) == columns
    top1 = cold.metadata.set_index("column").loc["model__imagenet_top1"]
    assert top1["value"] == HISTORY.loc[HISTORY["model"] == "resnet50", "model__imagenet_top1"].iloc[0]
    assert (top1["model"], top1["dataset"]) == ("resnet50", None)


@pytest.mark.parametrize("encoder", [True, False])
def test_of_known_ones_the_metadata_are_those_that_were_used(encoder):
    numbers = HISTORY[["model", "dataset", "model__year", "dataset__n_classes", "score"]]
    recommender = fit(numbers, max_iter=3)
    if not encoder:
        recommender = TransferabilityGAT(**SMALL | {"max_iter": 3}).fit(numbers)
    usual = explain(recommender, "swav", "cars", max_records=2)
    said = {"model": "swav", "model__year": 1999.0}, {"dataset": "cars", "dataset__n_classes": 7.0}
    told = explain(recommender, *said, max_records=2)
    pd.testing.assert_frame_equal(told.frame, usual.frame)
    assert set(told.metadata["value"]) == {2020.0, 196.0}
    unknown = explain(recommender, said[0] | {"model": "mine"}, said[1] | {"dataset": "new"}, max_records=2)
    assert set(unknown.metadata["value"]) == {1999.0, 7.0}


def test_of_what_joined_after_fit_the_metadata_are_those_that_it_joined_with():
    recommender = fit(max_iter=3)
    joined = RECORDS[RECORDS["dataset"] == "pets"]
    recommender[-1].partial_fit(recommender[:-1].transform(joined))
    told = explain(recommender, "resnet50", PETS, max_records=2).metadata.set_index("column")["value"]
    assert told["dataset__domain"] == PETS["domain"].iloc[0]
    assert told["dataset__train_size"] == PETS["train_size"].iloc[0]
    changed = PETS.assign(domain="scenes", train_size=5)
    told = explain(recommender, "resnet50", changed, max_records=2).metadata.set_index("column")["value"]
    assert told["dataset__domain"] is None
    assert told["dataset__train_size"] != 5


def test_metadata_that_say_nothing_have_no_effect():
    """A constant column is at its average already."""
    told = explain(fit(HISTORY.assign(model__same=1.0), max_iter=5), "swav", "cars", max_records=1)
    effects = told.metadata.set_index("column")["effect"]
    assert effects["model__same"] == pytest.approx(0.0, abs=1e-5)
    assert effects["model__imagenet_top1"] != pytest.approx(0.0, abs=1e-4)


def test_attention_is_that_of_the_pair(recommender, cold):
    weights = cold.records.set_index(["model", "dataset"])["attention"]
    assert weights[weights.notna()].index.get_level_values("model").unique().tolist() == ["resnet50"]
    # Each layer and head gives all of its attention to the records of the node.
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    raw = recommender[-1].attention()
    raw = raw[(raw["target"] == "resnet50") & (raw["source"] == "cars")]
    assert weights["resnet50", "cars"] == pytest.approx(raw["weight"].mean(), abs=1e-5)
    both = attention_on_records(recommender[-1])
    assert both["model"].sum() == pytest.approx(23, abs=1e-3)
    assert both["dataset"].sum() == pytest.approx(10, abs=1e-3)


def test_similarity_is_largest_for_the_result_itself(recommender):
    told = explain(recommender, "swav", "cars", max_records=25).records
    nearest = told.loc[told["similarity"].idxmax()]
    assert (nearest["model"], nearest["dataset"]) == ("swav", "cars")
    assert nearest["similarity"] == pytest.approx(1.0)
    assert (told["similarity"] <= 1.0 + 1e-9).all()


def test_kernel_covariance_is_that_of_the_regression(recommender):
    """Solving with the covariance matrix gives what the regression predicts."""
    from skgat.gat.fitting import prepare
    from skgat.records import ROLES

    gat = recommender[-1]
    task = prepare(gat, gat.graph_, gat.network_.scaling)
    strengths = replace(gat.kernel_.strengths, rest=0.0)
    graph, kernel = gat.graph_, solve(gat.graph_, task.features, task.target, strengths)
    codes = {"model": graph.edge_models, "dataset": graph.edge_datasets, "pair": np.arange(graph.n_edges)}
    rows = {role: task.features[role][codes[role]] for role in ROLES}
    matrix = np.stack(
        [
            kernel.covariance(
                {role: rows[role][[i]] for role in ROLES},
                rows,
                {side: codes[side] == codes[side][i] for side in ("model", "dataset")},
            )
            for i in range(graph.n_edges)
        ]
    )
    noise = kernel.strengths.noise * graph.weights.mean() / graph.weights
    expected = matrix @ np.linalg.solve(matrix + np.diag(noise), task.target)
    told = kernel.predict(
        kernel.terms["model"][codes["model"]], kernel.terms["dataset"][codes["dataset"]], task.features["pair"]
    )
    np.testing.assert_allclose(told, expected, atol=1e-4)
    # The quick estimate, beside what taking out each record does to the prediction of one pair.
    inverse = np.linalg.inv(matrix + np.diag(noise))
    exact = (inverse @ matrix[7]) * (inverse @ task.target) / inverse.diagonal()
    influence = kernel.influence(graph, task.features, task.target, matrix[7])
    assert spearmanr(influence, np.abs(exact)).statistic > 0.95


@pytest.mark.untraced
def test_the_quick_choice_finds_the_strong_evidence(recommender, cold):
    few = explain(recommender, "resnet50", PETS, max_records=60)
    assert len(few.records) == 60
    keys = [set(map(tuple, part.records.head(5)[["model", "dataset"]].to_numpy())) for part in (cold, few)]
    assert len(keys[0] & keys[1]) >= 4
    joint = cold.records.merge(few.records, on=["model", "dataset"])
    np.testing.assert_allclose(joint["effect_x"], joint["effect_y"], atol=1e-6)


@pytest.mark.parametrize(
    ("model", "dataset"),
    [
        ("swav", "cars"),
        ({"family": "resnet", "pretraining": "supervised", "parameters": 3e7, "gflops": 5.0, "input_size": 224,
          "imagenet_top1": 77.0, "year": 2020}, "cars"),
        ({"model": "mine", "family": "new", "pretraining": "supervised", "parameters": 3e7, "gflops": 5.0,
          "input_size": 224, "imagenet_top1": 77.0, "year": 2020}, PETS),
    ],
)  # fmt: skip
def test_known_and_unknown(recommender, model, dataset):
    told = explain(recommender, model, dataset, max_records=10)
    expected = recommend(recommender, dataset, model if isinstance(model, dict) else [model], k=1)
    assert told.model == expected["model"].iloc[0]
    assert told.score == pytest.approx(expected["score"].iloc[0], abs=1e-6)
    assert len(told.records) == 10
    assert len(told.metadata) == 12


@pytest.mark.parametrize(
    "settings", [{"kernel_weight": 0.0}, {"kernel_weight": 1.0}, {"n_neighbors": 3}, {"target_transform": "logit"}]
)
def test_other_settings(settings):
    told = explain(fit(**{"max_iter": 3} | settings), "swav", PETS, max_records=8)
    assert np.isfinite(told.records[["effect", "similarity"]]).all().all()
    assert (told.records["effect"] != 0).any()


def test_without_an_encoder_and_without_metadata():
    ids = HISTORY[["model", "dataset", "score"]]
    told = explain(TransferabilityGAT(**SMALL | {"max_iter": 3}).fit(ids), "swav", "cars", max_records=8)
    assert not len(told.metadata)
    assert len(told.records) == 8
    numbers = HISTORY[["model", "dataset", "model__year", "dataset__n_classes", "score"]]
    told = explain(TransferabilityGAT(**SMALL | {"max_iter": 3}).fit(numbers), "swav", "cars", max_records=8)
    assert set(told.metadata["column"]) == {"model__year", "dataset__n_classes"}
    assert set(told.metadata["value"]) == {2020.0, 196.0}


def test_the_network_of_the_paper():
    gat = presets.scg4trf().set_params(max_iter=3, random_state=0, device="cpu")
    told = explain(Pipeline([("encode", MetadataEncoder()), ("gat", gat)]).fit(HISTORY), "swav", "cars", max_records=8)
    assert np.isfinite(told.records["effect"]).all()
    # There, datasets hear of their results and models do not.
    heard = told.records.set_index("dataset")["attention"]
    assert heard["cars"].notna().any()
    assert heard[heard.index != "cars"].isna().all()


def test_a_search_is_opened():
    grid = {"gat__hidden_dim": [8]}
    pipeline = Pipeline([("encode", MetadataEncoder()), ("gat", TransferabilityGAT(**SMALL | {"max_iter": 2}))])
    search = GridSearchCV(pipeline, grid, cv=2).fit(HISTORY, HISTORY["score"])
    assert len(explain(search, "swav", "cars", max_records=3).records) == 3


def test_nothing_is_changed(recommender):
    before = recommender[-1].predict(recommender[:-1].transform(HISTORY))
    graph = recommender[-1].graph_
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global one must stay
    one, two = (explain(recommender, "swav", PETS, max_records=5) for _ in range(2))
    pd.testing.assert_frame_equal(one.frame, two.frame)
    assert recommender[-1].graph_ is graph
    np.testing.assert_array_equal(before, recommender[-1].predict(recommender[:-1].transform(HISTORY)))
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, ["a", "b"], "cars"), "model names 2 models, but expected one"),
        ((None, "swav", ["pets", "cars"]), "dataset names 2 datasets, but expected one"),
        ((None, {"size": 3}, "cars"), "models has the column 'size', which the recommender did not see in fit"),
    ],
)
def test_refusals(recommender, arguments, message):
    with pytest.raises(ValueError, match=message):
        explain(recommender, *arguments[1:])


@pytest.mark.parametrize("max_records", [0, -1, 2.5, True])
def test_max_records(recommender, max_records):
    with pytest.raises((ValueError, TypeError), match=f"Got max_records={max_records!r}, but expected an integer"):
        explain(recommender, "swav", "cars", max_records=max_records)


def test_others_cannot_be_explained():
    message = "explain takes a TransferabilityGAT or a Pipeline that ends in one, got BiasRegressor"
    with pytest.raises(TypeError, match=message):
        explain(BiasRegressor().fit(HISTORY), "swav", "cars")


def test_the_plot(cold):
    display = cold.plot(k=4)
    assert isinstance(display, ExplanationDisplay)
    records, metadata = display.ax_
    strongest = cold.records.iloc[0]
    first = records.get_yticklabels()[0].get_text()
    assert first == f"{strongest['model']} on {strongest['dataset']}: {strongest['score']:.4g}"
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_[0]], cold.records["effect"].head(4))
    assert [len(bars) for bars in display.bars_] == [4, 4]
    assert metadata.get_xlabel() == "effect on the predicted score"
    assert records.get_xlim() == metadata.get_xlim()
    assert "resnet50 on pets" in display.figure_.get_suptitle()
    colors = {np.sign(bar.get_width()): bar.get_facecolor() for bar in display.bars_[0]}
    assert len(set(colors.values())) == len(colors)


def test_the_plot_of_the_effect_on_the_order(cold):
    display = ExplanationDisplay.from_predictions(cold, k=3, effect="ranking_effect")
    widths = np.abs([bar.get_width() for bar in display.bars_[0]])
    np.testing.assert_allclose(widths, cold.records["ranking_effect"].abs().nlargest(3))


@pytest.mark.parametrize(("settings", "message"), [({"k": 0}, "Got k=0"), ({"effect": "x"}, "Got effect='x'")])
def test_the_plot_refuses(cold, settings, message):
    with pytest.raises(ValueError, match=message):
        cold.plot(**settings)
