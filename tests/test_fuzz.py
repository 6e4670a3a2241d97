"""Whatever comes in, a correct result or a refusal in plain words comes out."""

import warnings

import numpy as np
import pandas as pd
import pytest
from fuzzing import PROFILE, answer, columns, frames, is_number, sizes, tables_of, to_rows
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skgat import MetadataEncoder, TransferabilityGAT, make_records, metrics, model_selection, recommend
from skgat.baselines import BiasRegressor, MatrixCompletion, NearestDatasets, TransferSpaceRegressor
from skgat.datasets import make_transfer_records
from skgat.embedding import GraphEmbedder

TINY = {"hidden_dim": 2, "n_heads": 1, "n_layers": 1, "n_estimators": 1, "max_iter": 1, "random_state": 0}


def plain_pairs(frame):
    """The ids of each row, None where one is missing."""
    rows = to_rows(frame)
    return [
        None if pd.isna(model) or pd.isna(dataset) else (model, dataset)
        for model, dataset in zip(rows["model"].tolist(), rows["dataset"].tolist(), strict=True)
    ]


class TestMakeRecords:
    @PROFILE
    @given(frame=frames())
    def test_long_scores(self, frame):
        rows, pairs = to_rows(frame), plain_pairs(frame)
        scores = rows["score"].tolist()
        made = answer(make_records, frame)
        sound = len(rows) > 0 and None not in pairs and all(map(is_number, scores)) and len(set(pairs)) == len(pairs)
        names = {name: name if "__" in name else f"pair__{name}" for name in rows.columns[3:]}
        if made is None:
            assert not (sound and len(set(names.values())) == len(names)), "a sound frame was refused"
            return
        assert None not in pairs
        assert len(set(pairs)) == len(pairs) == len(made) > 0
        assert_array_equal(made["score"], [float(score) for score in scores])
        assert set(made.columns[3:]) == set(names.values())
        assert list(zip(made["model"].tolist(), made["dataset"].tolist(), strict=True)) == pairs

    @PROFILE
    @given(data=st.data())
    def test_wide_scores(self, data):
        n_rows, names = data.draw(st.integers(0, 5)), data.draw(st.lists(st.text(max_size=3), max_size=4, unique=True))
        models = data.draw(columns(n_rows, kinds=("text", "int", "mixed", "bytes")) | st.just([*"abcde"][:n_rows]))
        cells = {name: data.draw(columns(n_rows, kinds=("float", "int", "int", "mixed"))) for name in names}
        table = pd.DataFrame({"model": pd.Series(models, dtype=object), **cells})
        made = answer(make_records, table)
        values = [value for column in cells.values() for value in column if not pd.isna(value)]
        if made is None:
            once = None not in models and len(set(models)) == len(models) and not any(map(pd.isna, models))
            assert not (values and once and all(map(is_number, values))), "a sound table was refused"
            return
        melted = table.melt("model", var_name="dataset", value_name="score").dropna(subset=["score"])
        expected = {(row.model, row.dataset): float(row.score) for row in melted.itertuples()}
        found = {(row.model, row.dataset): row.score for row in made.itertuples()}
        assert found == expected

    @PROFILE
    @given(data=st.data())
    def test_metadata_tables(self, data):
        scores = data.draw(frames(most=0))
        known = to_rows(scores)
        models, datasets = (
            data.draw(frames((key,)) if data.draw(st.integers(0, 3)) == 3 else tables_of(known[key].tolist(), key))
            for key in ("model", "dataset")
        )
        made = answer(make_records, scores, models, datasets)
        if made is None:
            return
        rows = to_rows(models)
        table = dict(zip(rows["model"].tolist(), range(len(rows)), strict=True))
        for column in rows.columns.drop("model"):
            name = column if str(column).startswith("model__") else f"model__{column}"
            values = rows[column].tolist()
            for model, found in zip(made["model"].tolist(), made[name].tolist(), strict=True):
                expected = values[table[model]]
                same = _missing(found) if _missing(expected) else found is expected or np.array_equal(found, expected)
                assert same, (found, expected)


def _missing(value):
    return np.ndim(value) == 0 and bool(pd.isna(value))


class TestEncoder:
    @PROFILE
    @given(frame=frames(most=4), data=st.data())
    def test_encodes_or_refuses(self, frame, data):
        encoder = MetadataEncoder(
            max_components=data.draw(st.integers(1, 4)), min_frequency=data.draw(st.sampled_from([None, 2, 0.3]))
        )
        encoded = answer(encoder.fit_transform, frame)
        if encoded is None:
            return
        names = encoder.get_feature_names_out().tolist()
        assert encoded.columns.tolist() == [*names, *(["score"] if "score" in to_rows(frame) else [])]
        values = encoded[names[2:]].to_numpy(dtype=np.float64)
        assert values.shape == (len(to_rows(frame)), len(names) - 2)
        assert np.isfinite(values).all()
        again = answer(encoder.transform, frame)
        assert_array_equal(again[names[2:]].to_numpy(dtype=np.float64), values)
        if isinstance(frame, pd.DataFrame):
            row = data.draw(st.integers(0, len(frame) - 1))
            alone = answer(encoder.transform, frame.iloc[[row]])
            assert_allclose(alone[names[2:]].to_numpy(dtype=np.float64)[0], values[row], rtol=1e-12, atol=1e-12)

    @PROFILE
    @given(data=st.data())
    def test_meets_other_values_than_in_fit(self, data):
        names = ("model", "dataset", "model__a", "pair__c")
        one, other = (data.draw(frames(names, most=0, n_rows=data.draw(st.integers(1, 6)))) for _ in range(2))
        encoder = MetadataEncoder()
        if answer(encoder.fit, one) is None:
            return
        encoded = answer(encoder.transform, other)
        if encoded is not None:
            values = encoded[encoder.get_feature_names_out()[2:]].to_numpy(dtype=np.float64)
            assert np.isfinite(values).all()


NUMBERS = dict.fromkeys(("score", "model__a", "dataset__b", "pair__c", "plain", "größe"), ("float", "int", "bool"))


class TestRegressors:
    @PROFILE
    @given(frame=frames(kinds=NUMBERS), more=frames(("model", "dataset"), kinds=NUMBERS), data=st.data())
    def test_the_network(self, frame, more, data):
        transform = data.draw(st.sampled_from(["balanced", "none", "zscore", "rank"]))
        # The kernel regression is far slower than so small a network.
        weight = data.draw(st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0]))
        gat = TransferabilityGAT(target_transform=transform, kernel_weight=weight, **TINY)
        if answer(gat.fit, frame) is None:
            return
        for found in gat.predict(frame, return_std=True):
            assert len(found) == len(to_rows(frame))
            assert np.isfinite(found).all()
        assert (found >= 0).all()
        found = answer(gat.predict, more)
        assert found is None or np.isfinite(found).all()
        if answer(gat.partial_fit, more.iloc[:4].assign(score=0.5) if isinstance(more, pd.DataFrame) else frame):
            assert np.isfinite(gat.predict(frame)).all()

    @pytest.mark.parametrize(
        "make",
        [
            BiasRegressor,
            lambda: MatrixCompletion(n_components=2, max_iter=3, random_state=0),
            lambda: NearestDatasets(n_neighbors=2),
            lambda: TransferSpaceRegressor(n_components=2, max_iter=3, n_splits=2, random_state=0),
        ],
        ids=["bias", "completion", "nearest", "space"],
    )
    def test_the_baselines(self, make):
        @PROFILE
        @given(frame=frames(kinds=NUMBERS), more=frames(("model", "dataset"), kinds=NUMBERS))
        def check(frame, more):
            regressor = make()
            if answer(regressor.fit, frame) is None:
                return
            found = answer(regressor.predict, frame)
            assert len(found) == len(to_rows(frame))
            assert np.isfinite(found).all()
            found = answer(regressor.predict, more)
            assert found is None or np.isfinite(found).all()

        check()

    @PROFILE
    @given(frame=frames(kinds=NUMBERS))
    def test_the_embedder(self, frame):
        embedder = GraphEmbedder(n_components=2, max_iter=2, n_walks=1, walk_length=4, random_state=0)
        vectors = answer(embedder.fit_transform, frame)
        assert vectors is None or np.isfinite(vectors.to_numpy(dtype=np.float64)).all()


ORACLES = {
    "pearson": lambda truth, pred: stats.pearsonr(truth, pred)[0],
    "spearman": lambda truth, pred: stats.spearmanr(truth, pred)[0],
    "kendall": lambda truth, pred: stats.kendalltau(truth, pred)[0],
    "weighted_kendall": lambda truth, pred: stats.weightedtau(truth, pred)[0],
}
BOUNDS = {"top_k_regret": (0, np.inf), "relative_accuracy": (-np.inf, 1), "ndcg": (0, 1), "top_k_recall": (0, 1)}


class TestMetrics:
    @pytest.mark.parametrize("name", sorted(metrics.RANKING_SCORERS))
    def test_any_numbers_in_any_groups(self, name):
        metric = getattr(metrics, name)

        @PROFILE
        @given(data=st.data())
        def check(data):
            n_rows = data.draw(sizes())
            truth, pred = (np.array(data.draw(columns(n_rows, kinds=("float", "int"), nulls=False))) for _ in range(2))
            groups = data.draw(columns(n_rows, kinds=("text", "int", "bytes", "datetime", "bool", "mixed")))
            value = answer(metric, truth, pred, groups=groups)
            if value is None:
                return
            low, high = BOUNDS.get(name, (-1, 1))
            assert np.isnan(value) or low <= value <= high
            order = np.random.default_rng(0).permutation(n_rows)
            again = answer(metric, truth[order], pred[order], groups=[groups[i] for i in order])
            assert_array_equal(again, value)
            if name in ORACLES and n_rows <= 12:
                assert_allclose(value, self.slowly(ORACLES[name], truth, pred, groups), atol=1e-7)

        check()

    @staticmethod
    def slowly(oracle, truth, pred, groups):
        found = []
        for group in set(groups):
            rows = [i for i, other in enumerate(groups) if other == group]
            t, p = truth[rows].astype(float), pred[rows].astype(float)
            if len(np.unique(t)) > 1:
                if oracle is ORACLES["pearson"]:
                    # Sizes at which squares overflow are no matter of its value.
                    t, p = (x / (np.abs(x).max() or 1.0) for x in (t, p))
                else:
                    t, p = (stats.rankdata(x) for x in (t, p))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    value = oracle(t, p) if len(np.unique(p)) > 1 else 0.0
                found.append(value)
        return np.mean(found) if found else np.nan


class TestSplitters:
    @PROFILE
    @given(frame=frames(("model", "dataset")), data=st.data())
    def test_what_is_held_out(self, frame, data):
        n_splits = data.draw(st.sampled_from([2, 3, "all"]))
        seed = data.draw(st.sampled_from([None, 0]))
        kind = data.draw(st.sampled_from(["LeaveDatasetsOut", "LeaveModelsOut", "LeaveBothOut", "MissingEdges"]))
        if kind == "MissingEdges":
            splitter = model_selection.MissingEdges((0.5, 0.0), 2, random_state=seed)
        else:
            splitter = getattr(model_selection, kind)(n_splits, random_state=seed)
        splits = answer(lambda: list(splitter.split(frame)))
        if splits is None:
            return
        pairs, n_rows = plain_pairs(frame), len(to_rows(frame))
        assert None not in pairs or kind in ("LeaveDatasetsOut", "LeaveModelsOut")
        # These look at one of the ids alone.
        pairs = list(zip(*(to_rows(frame)[side].tolist() for side in ("model", "dataset")), strict=True))
        assert len(splits) == splitter.get_n_splits(frame)
        tested = np.zeros(n_rows, dtype=int)
        for train, test in splits:
            assert len(train)
            assert len(test)
            assert not set(train) & set(test)
            tested[test] += 1
            heard, asked = ({pairs[i] for i in rows} for rows in (train, test))
            for side, names in enumerate((("LeaveModelsOut", "LeaveBothOut"), ("LeaveDatasetsOut", "LeaveBothOut"))):
                if kind in names:
                    assert not {pair[side] for pair in heard} & {pair[side] for pair in asked}
            assert not heard & asked
            assert kind == "LeaveBothOut" or len(train) + len(test) == n_rows
        if kind in ("LeaveDatasetsOut", "LeaveModelsOut"):
            assert (tested == 1).all()


@pytest.fixture(scope="module")
def recommenders():
    records = make_transfer_records(6, 5, fill=0.8, random_state=0).records
    encoded = MetadataEncoder().fit_transform(records)
    return [
        (BiasRegressor().fit(records), records),
        (NearestDatasets().fit(encoded), encoded),
        (TransferabilityGAT(**TINY).fit(encoded), encoded),
    ]


@st.composite
def contexts(draw, records):
    """Results on a dataset, nothing, or any frame."""
    kind = draw(st.integers(0, 4))
    if kind < 3:
        return None
    if kind == 4:
        return draw(frames(kinds=NUMBERS))
    rows = draw(st.lists(st.integers(0, len(records) - 1), min_size=1, max_size=3))
    scores = st.floats(-2, 2) | st.sampled_from([1e12, 1e-12, float("nan")])
    context = records.iloc[rows].assign(score=[draw(scores) for _ in rows])
    return context if draw(st.booleans()) else context.assign(dataset="new")


ANYTHING = st.none() | st.integers(-2, 9) | st.text(max_size=3) | st.floats()


def entities(role, n_known):
    """Ids that are known or not, metadata that the recommender can read, and things that it cannot."""
    ids = st.sampled_from([f"{role}_{i}" for i in range(n_known)]) | st.sampled_from(["new", 3])
    names = st.sampled_from([role, f"{role}__numeric_0", "numeric_0"])
    numbers = st.floats(-2, 2) | st.sampled_from([1e12, 5e-324])
    return (
        ids
        | st.lists(ids, min_size=1, max_size=4, unique=True)
        | st.dictionaries(names, numbers, max_size=1)
        | st.lists(ids, min_size=1, max_size=4, unique=True).map(lambda rows: pd.DataFrame({role: rows}))
        | tables_of([f"{role}_0"], role)
        | st.dictionaries(st.sampled_from([role, "x"]), ANYTHING, max_size=2)
        | st.lists(ANYTHING, max_size=3)
        | ANYTHING
    )


class TestRecommend:
    @PROFILE
    @given(
        number=st.integers(0, 2),
        datasets=entities("dataset", 5),
        models=st.none() | entities("model", 6),
        k=st.none() | st.integers(1, 4) | st.integers(-1, 7) | st.floats(),
        strategy=st.sampled_from(["mean", "mean", "mean", "ucb", "thompson", "best"]),
        exclude_known=st.booleans(),
        data=st.data(),
    )
    def test_ranks_or_refuses(self, recommenders, number, datasets, models, k, strategy, exclude_known, data):
        recommender, records = recommenders[number]
        ranking = answer(
            recommend, recommender, datasets, models, k=k, strategy=strategy, exclude_known=exclude_known,
            context=data.draw(contexts(records)), random_state=0,
        )  # fmt: skip
        if ranking is None:
            return
        assert ranking.columns.tolist() == ["dataset", "rank", "model", "score", "std"]
        assert np.isfinite(ranking["score"].to_numpy(dtype=np.float64)).all()
        for _, part in ranking.groupby("dataset", dropna=False, sort=False):
            assert part["rank"].tolist() == list(range(1, len(part) + 1))
            assert part["model"].map(repr).nunique() == len(part)
            assert k is None or len(part) <= k
            if strategy == "mean":
                assert (np.diff(part["score"]) <= 0).all()
