"""The bundled digits zoo, and that its scripts make what is bundled."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import weightedtau
from sklearn.datasets import load_digits

from skgat.datasets import load_digits_zoo
from skgat.records import infer_roles

ROOT = Path(__file__).parent.parent
DATA = ROOT / "skgat" / "datasets" / "data"
SCRIPTS = ROOT / "benchmarks" / "digits_zoo"


@pytest.fixture(scope="module")
def zoo():
    return load_digits_zoo()


def _scripts(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module


@pytest.fixture(scope="module")
def tasks():
    return _scripts("digits_tasks")


@pytest.fixture(scope="module")
def make():
    return _scripts("make")


def _matrix(records):
    return records.pivot(index="model", columns="dataset", values="score")


def _z(scores):
    return (scores - scores.mean()) / scores.std(ddof=0)


def _kendall(truth, guess):
    return np.mean([weightedtau(truth[name], guess[name])[0] for name in truth])


def _history(scores):
    """For each task the mean of a model's z-scores on all others."""
    z = _z(scores)
    return z.rsub(z.sum(axis=1), axis=0) / (z.shape[1] - 1)


class TestBundle:
    def test_sizes(self, zoo):
        assert len(zoo.models) == 30
        assert len(zoo.datasets) == 60
        assert zoo.records.shape == zoo.head_records.shape == (30 * 60, 17)
        assert sum(path.stat().st_size for path in DATA.glob("digits_zoo_*")) < 5_000_000
        assert zoo.models["architecture"].value_counts().eq(3).all()
        assert zoo.datasets["transformation"].value_counts().eq(4).all()

    @pytest.mark.parametrize("name", ["records", "head_records"])
    def test_records_are_tidy(self, zoo, name):
        records = zoo[name]
        assert list(records.columns[:3]) == ["model", "dataset", "score"]
        assert not records.isna().any(axis=None)
        assert not records.duplicated(["model", "dataset"]).any()
        assert records["score"].between(0, 1).all()
        assert not _matrix(records).isna().any(axis=None)
        for role, table in (("model", zoo.models), ("dataset", zoo.datasets)):
            assert table.columns[0] == role
            assert set(table[role]) == set(records[role])
            joined = records[[role]].merge(table, on=role)
            for column in table.columns[1:]:
                assert records[f"{role}__{column}"].tolist() == joined[column].tolist()

    def test_both_records_differ_in_the_score_alone(self, zoo):
        pd.testing.assert_frame_equal(zoo.records.drop(columns="score"), zoo.head_records.drop(columns="score"))
        assert (zoo.records["score"] != zoo.head_records["score"]).mean() > 0.9

    def test_accuracies_are_shares_of_the_test_images(self, zoo):
        for records in (zoo.records, zoo.head_records):
            right = records["score"] * records["dataset__n_test"]
            np.testing.assert_allclose(right, right.round(), atol=1e-3)

    def test_metadata_describe_what_their_names_say(self, zoo):
        plain = zoo.records.drop(columns=["model", "dataset", "score"])
        codes = [pd.factorize(zoo.records[role])[0] for role in ("model", "dataset")]
        bare = plain.rename(columns=lambda name: name.partition("__")[2])
        assert list(infer_roles(bare, *codes).values()) == list(infer_roles(plain, *codes).values())

    def test_forms(self, zoo):
        pd.testing.assert_frame_equal(zoo.frame, zoo.records)
        pd.testing.assert_frame_equal(zoo.data, zoo.records.drop(columns="score"))
        assert zoo.feature_names == list(zoo.data.columns)
        assert zoo.target_names == ["score"]
        data, target = load_digits_zoo(return_X_y=True)
        pd.testing.assert_frame_equal(data, zoo.data)
        pd.testing.assert_series_equal(target, zoo.target)
        arrays = load_digits_zoo(as_frame=False)
        assert arrays.frame is None
        assert arrays.data.shape == (1800, 16)
        np.testing.assert_array_equal(arrays.target, target)
        pd.testing.assert_frame_equal(arrays.head_records, zoo.head_records)

    def test_two_calls_share_nothing(self, zoo):
        other = load_digits_zoo()
        pair = other.records.loc[0, "model"], other.records.loc[0, "dataset"]
        for values in (other.features[pair], other.probabilities[pair], other.labels[pair[1]]):
            values[:] = -1
        other.records.loc[0, "score"] = -1.0
        assert (zoo.probabilities[pair] >= 0).all()
        assert (zoo.labels[pair[1]] >= 0).all()
        assert (load_digits_zoo().features[pair] == zoo.features[pair]).all()
        assert other.head_records["score"].min() > 0


class TestArrays:
    def test_every_pair_has_them(self, zoo):
        pairs = set(zip(zoo.records["model"], zoo.records["dataset"], strict=True))
        assert zoo.features.keys() == zoo.probabilities.keys() == pairs
        assert list(zoo.labels) == zoo.datasets["dataset"].tolist()

    def test_shapes_and_types(self, zoo):
        n_features = zoo.models.set_index("model")["n_features"]
        n_classes = zoo.models.set_index("model")["pretrain_classes"].str.count(",") + 1
        n_samples = zoo.datasets.set_index("dataset")["n_samples"]
        assert n_features.max() <= 32
        for (model, dataset), features in zoo.features.items():
            probabilities = zoo.probabilities[model, dataset]
            assert features.shape == (n_samples[dataset], n_features[model])
            assert probabilities.shape == (n_samples[dataset], n_classes[model])
            assert features.dtype == probabilities.dtype == np.float32
            assert np.isfinite(features).all()
            assert features.std(axis=0).max() > 0
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)

    def test_labels_are_the_classes_of_the_task(self, zoo):
        for row in zoo.datasets.itertuples():
            labels = zoo.labels[row.dataset]
            assert labels.dtype == np.int64
            assert len(labels) == row.n_samples == row.n_classes * row.samples_per_class
            assert ", ".join(map(str, np.unique(labels))) == row.classes
            if row.label_noise == 0:
                assert (np.unique(labels, return_counts=True)[1] == row.samples_per_class).all()

    def test_source_classes_are_recognised(self, zoo):
        """On upright digits, rightly labelled, the probabilities of a digit model point to the label."""
        clean = zoo.datasets.query("transformation == 'upright' and label_noise == 0")["dataset"]
        digit_models = zoo.models.query("pretrain_task == 'upright' and pretrain_images == 500")
        for model in digit_models["model"]:
            hits = [(zoo.probabilities[model, name].argmax(axis=1) == zoo.labels[name]).mean() for name in clean]
            accuracy = digit_models.set_index("model").loc[model, "pretrain_accuracy"]
            assert np.mean(hits) == pytest.approx(accuracy, abs=0.1)


class TestDifficulty:
    @pytest.mark.parametrize("name", ["records", "head_records"])
    def test_history_ranks_the_models_but_not_perfectly(self, zoo, name):
        scores = _matrix(zoo[name])
        assert 0.35 < _kendall(scores, _history(scores)) < 0.6

    def test_the_model_effect_is_not_all(self, zoo):
        z = _z(_matrix(zoo.records))
        assert 0.3 < z.mean(axis=1).var(ddof=0) < 0.7

    def test_the_best_model_differs_between_tasks(self, zoo):
        winners = _matrix(zoo.records).idxmax().value_counts()
        assert len(winners) >= 10
        assert winners.max() <= 20

    def test_models_that_saw_the_transformation_do_better_there(self, zoo):
        z = _z(_matrix(zoo.records)).melt(ignore_index=False, value_name="z").reset_index()
        z["task"] = z["model"].map(zoo.models.set_index("model")["pretrain_task"])
        z["transformation"] = z["dataset"].map(zoo.datasets.set_index("dataset")["transformation"])
        z["relative"] = z["z"] - z.groupby("model")["z"].transform("mean")
        same = z[z["task"] == z["transformation"]].groupby("task")["relative"].mean()
        assert len(same) == 6
        assert (same > 0).all()

    def test_fine_tuning_beats_chance_and_mostly_the_frozen_features(self, zoo):
        gain = zoo.records["score"] - zoo.head_records["score"]
        assert gain.mean() > 0
        assert (zoo.records["score"] > 1 / zoo.records["dataset__n_classes"]).mean() > 0.97

    @pytest.mark.parametrize(("measure", "least"), [("logme", 0.4), ("regularized_h_score", 0.4), ("leep", 0.3)])
    def test_measures_agree_with_the_truth(self, zoo, measure, least):
        transferability = pytest.importorskip("skgat.transferability", reason="the training-free measures are absent")
        function = getattr(transferability, measure)
        inputs = zoo.probabilities if measure == "leep" else zoo.features
        records = zoo.records[zoo.records["dataset__label_noise"] == 0]
        guesses = [
            function(inputs[pair], zoo.labels[pair[1]])
            for pair in zip(records["model"], records["dataset"], strict=True)
        ]
        assert _kendall(_matrix(records), _matrix(records.assign(score=guesses))) > least


class TestTasks:
    def test_pools_are_the_digits_split_once(self, tasks):
        pools = tasks.pools()
        assert [len(labels) for _, labels in pools.values()] == [500, 150, 350, 797]
        images = np.concatenate([images.reshape(-1, 64) * 16 for images, _ in pools.values()])
        rows = np.column_stack([images, np.concatenate([labels for _, labels in pools.values()])])
        truth = np.column_stack(load_digits(return_X_y=True))
        np.testing.assert_array_equal(rows[np.lexsort(rows.T)], truth[np.lexsort(truth.T)])

    def test_the_builder_makes_the_bundled_labels(self, tasks, zoo):
        built = {task.name: tasks.build_task(task).train_labels for task in tasks.target_tasks()}
        assert list(built) == list(zoo.labels)
        for name, labels in built.items():
            np.testing.assert_array_equal(labels, zoo.labels[name])

    def test_images_come_from_their_pools(self, tasks):
        upright = [task for task in tasks.target_tasks() if task.transformation == "upright"]
        pools = {name: {image.tobytes() for image in images} for name, (images, _) in tasks.pools().items()}
        assert not pools["pretrain"] & (pools["target_train"] | pools["target_test"])
        for task in upright:
            samples = tasks.build_task(task)
            assert {image.tobytes() for image in samples.train} <= pools["target_train"]
            assert {image.tobytes() for image in samples.test} <= pools["target_test"]
            assert len({image.tobytes() for image in samples.train}) == len(samples.train)

    def test_the_share_of_wrong_labels(self, tasks):
        for task in tasks.target_tasks():
            wrong = tasks.build_task(task).train_labels
            right = tasks.build_task(dataclasses.replace(task, label_noise=0.0)).train_labels
            assert (wrong != right).sum() == round(task.label_noise * len(right))

    @pytest.mark.parametrize("name", ["tilted", "rotated", "shifted", "shrunk", "noised", "speckled", "occluded"])
    def test_random_transformations_differ_from_image_to_image(self, tasks, name):
        image = tasks.pools()["target_train"][0][0]
        copies = tasks.TRANSFORMATIONS[name](np.tile(image, (20, 1, 1)), np.random.default_rng(0))
        assert copies.shape == (20, 8, 8)
        assert len({copy.tobytes() for copy in copies}) > 10
        assert copies.min() >= 0
        assert copies.max() <= 1

    @pytest.mark.parametrize("name", ["turned", "mirrored", "swapped", "scrambled"])
    def test_fixed_transformations_move_the_pixels(self, tasks, name):
        images = tasks.pools()["target_train"][0]
        moved = tasks.TRANSFORMATIONS[name](images, np.random.default_rng(0))
        np.testing.assert_array_equal(np.sort(moved.reshape(-1, 64)), np.sort(images.reshape(-1, 64)))
        assert not np.array_equal(moved, images)

    def test_a_shift_moves_whole_pixels(self, tasks):
        image = np.zeros((1, 8, 8))
        image[0, 4, 4] = 1.0
        shifted = tasks.TRANSFORMATIONS["shifted"](np.tile(image, (50, 1, 1)), np.random.default_rng(0))
        assert ((shifted == 0) | (shifted == 1)).all()
        rows, columns = np.nonzero(shifted)[1:]
        assert set(rows) == set(columns) == {2, 3, 4, 5, 6}


class TestScript:
    def test_it_makes_the_bundled_tables(self, make, zoo):
        tasks = make.target_tasks()
        rows = pd.DataFrame([make.dataset_row(task, make.build_task(task)) for task in tasks])
        pd.testing.assert_frame_equal(rows, zoo.datasets, check_dtype=False)
        assert [spec[0] for spec in make.model_specs()] == zoo.models["model"].tolist()

    def test_networks_are_as_described(self, make, zoo):
        for (_, architecture, source, _), row in zip(make.model_specs(), zoo.models.itertuples(), strict=True):
            network = make.Network(architecture, len(make.SOURCES[source].classes))
            assert sum(values.numel() for values in network.parameters()) == row.parameters
            assert make.extract(network, np.zeros((3, 8, 8))).shape == (3, row.n_features)

    def test_a_model_made_anew_is_the_bundled_one(self, make, zoo):
        """Only rounding may differ, by the machine and the version of torch, and what training makes of it."""
        name, architecture, source, seed = make.model_specs()[0]
        tasks = make.target_tasks()[::12]
        result = make.measure(architecture, make.SOURCES[source], seed, [make.build_task(task) for task in tasks])
        bundled = np.concatenate([zoo.features[name, task.name] for task in tasks])
        assert np.corrcoef(result["features"].ravel(), bundled.ravel())[0, 1] > 0.99
        for key, records in (("finetuned_accuracy", zoo.records), ("head_accuracy", zoo.head_records)):
            scores = _matrix(records).loc[name, [task.name for task in tasks]]
            np.testing.assert_allclose(result[key], scores, atol=0.03)

    def test_what_is_done_is_not_done_again(self, make, tmp_path, monkeypatch, capsys):
        specs, tasks = make.model_specs()[:2], make.target_tasks()[2::20]
        monkeypatch.setattr(make, "PRETRAIN_EPOCHS", 1)
        monkeypatch.setattr(make, "model_specs", lambda: specs)
        monkeypatch.setattr(make, "target_tasks", lambda: tasks)
        argv = ["--work", str(tmp_path / "work"), "--output", str(tmp_path / "zoo")]
        make.main(argv)
        first = {path.name: path.read_bytes() for path in (tmp_path / "zoo").iterdir()}
        assert len(first) == 4
        lost, kept = sorted((tmp_path / "work").rglob("*.npz"))
        lost.unlink()
        stamp = kept.stat().st_mtime_ns
        make.main(argv)
        assert {path.name: path.read_bytes() for path in (tmp_path / "zoo").iterdir()} == first
        assert kept.stat().st_mtime_ns == stamp
        assert lost.exists()
        assert "torch" in capsys.readouterr().out

    def test_files_are_written_whole_or_not_at_all(self, make, tmp_path):
        def fail(file):
            file.write(b"half")
            raise OSError("disk full")

        path = tmp_path / "zoo.csv"
        path.write_bytes(b"old")
        with pytest.raises(OSError, match="disk full"):
            make._write(path, fail)
        assert path.read_bytes() == b"old"
