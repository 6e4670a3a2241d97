"""What the loaders, fetchers and makers hand over."""

import hashlib
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import weightedtau

from skgat import datasets
from skgat.datasets import (
    _domainnet,
    _transfergraph,
    fetch_domainnet_transfer,
    fetch_transfergraph,
    load_digits_zoo,
    load_vision_zoo,
    make_transfer_records,
)
from skgat.datasets._transfergraph_tables import _measure_name
from skgat.exceptions import DownloadError

CACHE = Path(os.environ.get("SKGAT_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")
needs_cache = pytest.mark.skipif(
    not (CACHE / "domainnet").is_dir() or not (CACHE / "transfergraph").is_dir(),
    reason="the fetched datasets are not there; set SKGAT_DATA to a folder that has them",
)

LOADERS = {
    "zoo": load_vision_zoo,
    "digits": load_digits_zoo,
    "synthetic": lambda **options: make_transfer_records(random_state=0, **options),
    "domainnet": lambda **options: fetch_domainnet_transfer(CACHE, download_if_missing=False, **options),
    "image": lambda **options: fetch_transfergraph("image", CACHE, download_if_missing=False, **options),
    "text": lambda **options: fetch_transfergraph("text", CACHE, download_if_missing=False, **options),
}
FETCHED = ("domainnet", "image", "text")
every_loader = pytest.mark.parametrize(
    "load", [pytest.param(LOADERS[name], id=name, marks=needs_cache if name in FETCHED else ()) for name in LOADERS]
)


def matrix(bunch):
    return bunch.records.pivot(index="model", columns="dataset", values="score")


def history_quality(scores, targets, measure):
    """How well the mean of a model's z-scores on the other datasets ranks the models on each target."""
    z = (scores - scores.mean()) / scores.std(ddof=0)
    quality = []
    for target in targets:
        known = pd.DataFrame({"truth": scores[target], "guess": z.drop(columns=target).mean(axis=1)}).dropna()
        quality.append(measure(known["truth"], known["guess"]))
    return np.mean(quality)


def pearson(x, y):
    return np.corrcoef(x, y)[0, 1]


def kendall(x, y):
    return weightedtau(x, y)[0]


def plain(column):
    return column.astype(object).where(column.notna(), None).tolist()


@every_loader
def test_records_are_tidy(load):
    bunch = load()
    records = bunch.records
    assert list(records.columns[:3]) == ["model", "dataset", "score"]
    assert all(name.startswith(("model__", "dataset__", "pair__")) for name in records.columns[3:])
    assert records.columns.is_unique
    assert not records.duplicated(["model", "dataset"]).any()
    assert records["score"].dtype == np.float64
    assert np.isfinite(records["score"]).all()
    assert not records[["model", "dataset"]].isna().any(axis=None)
    assert list(records.index) == list(range(len(records)))
    for role, table in (("model", bunch.models), ("dataset", bunch.datasets)):
        assert table.columns[0] == role
        assert table[role].is_unique
        assert set(table[role]) == set(records[role])
        own = [name for name in records.columns if name.startswith(f"{role}__")]
        assert own == [f"{role}__{name}" for name in table.columns[1:]]
        joined = records[[role]].merge(table, on=role, how="left")
        for name in own:
            assert plain(records[name]) == plain(joined[name.removeprefix(f"{role}__")])
    assert len(bunch.DESCR) > 200
    assert bunch.target_names == ["score"]
    assert bunch.feature_names == [name for name in records.columns if name != "score"]


@every_loader
def test_forms(load):
    bunch = load()
    pd.testing.assert_frame_equal(bunch.frame, bunch.records)
    pd.testing.assert_frame_equal(bunch.data, bunch.records.drop(columns="score"))
    pd.testing.assert_series_equal(bunch.target, bunch.records["score"])
    data, target = load(return_X_y=True)
    pd.testing.assert_frame_equal(data, bunch.data)
    pd.testing.assert_series_equal(target, bunch.target)
    arrays = load(as_frame=False)
    assert arrays.frame is None
    assert isinstance(arrays.data, np.ndarray)
    assert arrays.data.shape == (len(bunch.records), len(bunch.feature_names))
    assert isinstance(arrays.target, np.ndarray)
    np.testing.assert_array_equal(arrays.target, bunch.target)
    assert arrays.data[5, 0] == bunch.records["model"].iloc[5]
    pd.testing.assert_frame_equal(arrays.records, bunch.records)
    data, target = load(return_X_y=True, as_frame=False)
    assert data.shape == arrays.data.shape
    np.testing.assert_array_equal(target, arrays.target)


def test_public_names():
    assert sorted(datasets.__all__) == [
        "fetch_domainnet_transfer", "fetch_transfergraph", "load_digits_zoo", "load_vision_zoo",
        "make_transfer_records",
    ]  # fmt: skip


class TestVisionZoo:
    def test_size(self):
        zoo = load_vision_zoo()
        assert len(zoo.records) == 23 * 11 == 253
        assert len(zoo.models) == 23
        assert len(zoo.datasets) == 11
        assert not zoo.records.isna().any(axis=None)
        assert not matrix(zoo).isna().any(axis=None)

    def test_facts(self):
        zoo = load_vision_zoo()
        models = zoo.models.set_index("model")
        assert models.loc["resnet101", "parameters"] == 44_549_160
        assert (models["pretraining"] == "supervised").sum() == 11
        assert (models.loc[models["pretraining"] != "supervised", "parameters"] == 25_557_032).all()
        assert zoo.datasets.set_index("dataset").loc["sun397", "n_classes"] == 397
        assert zoo.records["score"].between(50, 100).all()

    def test_two_calls_share_nothing(self):
        first = load_vision_zoo()
        first.records.loc[0, "score"] = -1.0
        first.models.loc[0, "family"] = "other"
        assert load_vision_zoo().records["score"].min() > 0
        assert "other" not in set(load_vision_zoo().models["family"])

    def test_sources_are_named(self):
        descr = load_vision_zoo().DESCR
        for word in ["SFDA", "ECCV 2022", "Records", "Models", "Datasets", "torchvision", "FGVC Aircraft", "BYOL"]:
            assert word in descr

    @pytest.mark.parametrize(("supervised", "expected"), [(True, 0.826), (False, 0.692), (None, 0.700)])
    def test_history_ranks_models_as_it_should(self, supervised, expected):
        zoo = load_vision_zoo()
        own = zoo.models["model"][(zoo.models["pretraining"] == "supervised") == supervised]
        scores = matrix(zoo) if supervised is None else matrix(zoo).loc[own]
        assert history_quality(scores, scores.columns, kendall) == pytest.approx(expected, abs=5e-4)


def write(folder, monkeypatch, module, modality=None, **tables):
    """Lay out a cache of small files of upstream's form, and tell the fetcher that they are what it looks for."""
    folder.mkdir(parents=True)
    checksums = {}
    for name, text in tables.items():
        path = folder / f"{name}.csv"
        path.write_text(text, encoding="utf-8")
        checksums[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "_SHA256", checksums if modality is None else {modality: checksums})


@pytest.fixture
def small_domainnet(tmp_path, monkeypatch):
    write(
        tmp_path / "domainnet",
        monkeypatch,
        _domainnet,
        record_domainnet_10_270=(
            ",task1_real_10,task2_real_10,task1_sketch_10,task1_real_30\n"
            "wide_resnet50_2,0.1,0.2,0.3,0.4\nresnet18,0.5,0.6,0.7,0.8\nresnet101,0.9,1.0,0.95,0.85\n"
        ),
        source_model_meta_data=(
            "Architecure_family,model name,# of parameters,acc@1 (on ImageNet-1K),GFLOPS\n"
            "resnet,resnet101,68883240,78.468,11.4\nresnet,resnet18,11689512,69.758,1.81\n"
            "resnet,wide_resnet50_2,44549160,81.886,7.8"
        ),
        target_dataset_meta_data=(
            "dataset name,num_pre_class,domain,categories,Labels,Sample_Size\n"
            '1_real_2,10,real,2,"owl, bee",20\n2_real_4,10,real,4,"sun, moon, jail, leaf",40\n'
            '3_sketch_2,10,sketch,2,"owl, bee",19\n4_real_2,30,real,2,"owl, bee",60\n'
        ),
    )
    return tmp_path


class TestDomainNet:
    def test_alignment(self, small_domainnet):
        bunch = fetch_domainnet_transfer(small_domainnet, download_if_missing=False)
        assert list(bunch.datasets["dataset"]) == [
            "task1_real_10", "task2_real_10", "task1_sketch_10", "task1_real_30",
        ]  # fmt: skip
        assert list(bunch.datasets["sample_size"]) == [20, 40, 19, 60]
        assert list(bunch.datasets["labels"])[1] == "sun, moon, jail, leaf"
        row = bunch.records.set_index(["dataset", "model"]).loc[("task1_sketch_10", "resnet101")]
        assert row["score"] == 0.95
        assert row["dataset__sample_size"] == 19
        assert row["dataset__domain"] == "sketch"

    def test_swapped_rows_are_put_right(self, small_domainnet):
        models = fetch_domainnet_transfer(small_domainnet, download_if_missing=False).models.set_index("model")
        assert models.loc["resnet101", ["parameters", "imagenet_top1", "gflops"]].tolist() == [44549160, 81.886, 7.8]
        assert models.loc["wide_resnet50_2", ["parameters", "imagenet_top1", "gflops"]].tolist() == [
            68883240, 78.468, 11.4,
        ]  # fmt: skip
        assert models.loc["resnet18", "parameters"] == 11689512
        assert models["parameters"].dtype == np.int64

    def test_cache_from_the_environment(self, small_domainnet, monkeypatch):
        monkeypatch.setenv("SKGAT_DATA", str(small_domainnet))
        assert len(fetch_domainnet_transfer(download_if_missing=False).records) == 12

    def test_missing(self, tmp_path):
        with pytest.raises(DownloadError, match=r"record_domainnet_10_270\.csv is not there, and download_if_missing"):
            fetch_domainnet_transfer(tmp_path, download_if_missing=False)

    @needs_cache
    def test_names_and_metadata_agree(self):
        bunch = LOADERS["domainnet"]()
        assert bunch.records.shape == (2700, 12)
        names = bunch.datasets["dataset"].str.extract(r"^task(\d+)_([a-z]+)_(\d+)$")
        task = names[0].astype(int)
        assert (names[1] == bunch.datasets["domain"]).all()
        assert (names[2].astype(int) == bunch.datasets["num_pre_class"]).all()
        # Three sets of 2 classes, three of 4, 8, 16, 32; the same sets in each domain and size.
        assert (bunch.datasets["categories"] == 2 ** ((task - 1) // 3 + 1)).all()
        assert (bunch.datasets["labels"].str.split(", ").str.len() == bunch.datasets["categories"]).all()
        assert (bunch.datasets.groupby(task.to_numpy())["labels"].nunique() == 1).all()
        assert (bunch.datasets["sample_size"] <= bunch.datasets["categories"] * bunch.datasets["num_pre_class"]).all()
        assert bunch.datasets["dataset"].iloc[[0, 1, 15, 90]].tolist() == [
            "task1_painting_10", "task2_painting_10", "task1_infograph_10", "task1_painting_30",
        ]  # fmt: skip
        # More classes are harder, more images help: the scores follow the metadata that they are aligned with.
        means = bunch.records.groupby("dataset__categories")["score"].mean()
        assert means[2] > means[[4, 8]].max() > means[[4, 8]].min() > means[16] > means[32]
        assert bunch.records.groupby("dataset__num_pre_class")["score"].mean().is_monotonic_increasing

    @needs_cache
    def test_model_mean_of_unknown_datasets(self):
        scores = matrix(LOADERS["domainnet"]())
        rng = np.random.RandomState(0)
        quality = []
        for fold in np.array_split(rng.permutation(270), 10):
            guess = scores.drop(columns=scores.columns[fold]).mean(axis=1)
            quality += [pearson(guess, scores.iloc[:, i]) for i in fold]
        assert np.mean(quality) == pytest.approx(0.60, abs=0.02)


MEASURES = """,model_name,dataset_path,dataset_name,task_type,batch_size,metric,model,target_dataset,runtime,score
0,a/x,pets,,T,16,TransferabilityMethod.LOG_ME,a/x,pets,20.1,0.5
0,a/x,pets,,T,16,LogME,a/x,pets,20.1,0.7
1,a/x,pets,,T,16,TransferabilityMetric.REG_H_SCORE,a/x,pets,20.2,27.0
2,a/x,svhn,,T,16,TransferabilityMetric.LOGME,a/x,svhn,20.2,0.9
b/y,pets,,T,16,TransferabilityMethod.LOG_ME,,,,,
"""


@pytest.fixture
def small_image(tmp_path, monkeypatch):
    write(
        tmp_path / "transfergraph" / "image_classification",
        monkeypatch,
        _transfergraph,
        "image",
        corr_domain_similarity_google_vit_base_patch16_224_imagenet=(
            ",\"['cat', 'dog']\",pets\n\"['cat', 'dog']\",0.0,2.5\npets,2.5,0.0\n"
        ),
        model_config_dataset=(
            "model,input_shape,output_shape,architectures,task,dataset,#labels,labels,task_specific_params,problem_type,"
            "finetuning_task,accuracy,model_type,number_of_parameters,memory_consumption\n"
            "a/x,224.0,768.0,['ViTForImageClassification'],,hfpics,2.0,\"['cat', 'dog']\",,,,0.9,vit,1000.0,5\n"
            "b/y,384.0,768.0,['SwinForImageClassification'],,imagenet,1000.0,imagenet,,,,,swin,2000.0,5\n"
            "c/z,384.0,768.0,['SwinForImageClassification'],,imagenet,1000.0,imagenet,,,,,swin,2000.0,5\n"
        ),
        records=(
            ",model,finetuned_dataset,epochs,train_runtime,train_loss,eval_loss,eval_accuracy,input_shape\n"
            "0,a/x,pets,30,1.0,,,0.8,\n1,b/y,pets,30,1.0,,,0.6,\n2,b/y,pets,30,1.0,,,0.7,\n"
            "3,a/x,food101,30,1.0,,,0.01,\n4,a/x,flowers,30,1.0,,,0.5,\n5,b/y,flowers,30,1.0,,,,\n"
        ),
        target_dataset_features="finetune_dataset,size,number_of_classes\npets,3680,37\nflowers,1020,10\nsvhn,7,10\n",
        transferability_score_records=MEASURES,
    )
    return tmp_path


TEXT_RECORDS = """,model,finetuned_dataset,learning_rate,train_runtime,eval_accuracy,peft_method,lora_alpha
0,a/x,glue/cola,0.1,1,0.6,,
1,a/x,glue/cola,0.1,1,0.8,,
2,a/x,glue/cola,0.1,1,0.99,lora,1.0
3,b/y,glue/cola,0.1,1,0.5,,
4,b/y,tweet_eval/offensive,0.1,1,0.7,,
5,a/x,tweet_eval/offensive,0.1,1,0.97,lora,1.0
6,a/x,tweet_eval/offensive,0.1,1,,,
7,b/y,tweet_eval/offensive,0.1,1,0.01,lor,
8,1.0,0.1,,,0.02,,
9,0.1,none,,,0.03,,
10,,lora,,,0.04,,
11,,glue/cola,,,0.05,,
"""


@pytest.fixture
def small_text(tmp_path, monkeypatch):
    write(
        tmp_path / "transfergraph" / "sequence_classification",
        monkeypatch,
        _transfergraph,
        "text",
        **{
            "corr_domain_similarity_EleutherAI_gpt-neo-125m_gpt": ",glue/cola,imdb\nglue/cola,0.0,1.5\nimdb,1.5,0.0\n",
            "corr_domain_similarity_gpt2_gpt": (
                ",glue/cola,imdb,glue_cola,dbpedia_14\nglue/cola,0.0,9.9,0.0,4.5\nimdb,9.9,0.0,9.9,3.5\n"
                "glue_cola,0.0,9.9,0.0,4.5\ndbpedia_14,4.5,3.5,4.5,0.0\n"
            ),
        },
        model_config_dataset=(
            ",model,architectures,number_of_labels,labels,model_type,number_of_parameters,memory_consumption,dataset,"
            "accuracy\n0,a/x,BertModel,2,\"['neg', 'pos']\",bert,1000,5,imdb,0.9\n"
            "1,b/y,BertModel,1,\"['LABEL_0']\",bert,2000,5,,\n"
        ),
        records=TEXT_RECORDS,
        target_dataset_features=(
            "finetune_dataset,size,number_of_classes\nglue/cola,8550,2\ntweet_eval/offensive,24300,18\n"
        ),
        transferability_score_records=MEASURES.replace("pets", "glue/cola"),
    )
    return tmp_path


class TestTransferGraph:
    def test_image_cleaning(self, small_image):
        bunch = fetch_transfergraph("image", small_image, download_if_missing=False)
        scores = bunch.records.set_index(["model", "dataset"])["score"]
        expected = {("a/x", "pets"): 0.8, ("b/y", "pets"): 0.65, ("a/x", "flowers"): 0.5}
        assert scores.to_dict() == pytest.approx(expected)
        assert bunch.datasets.set_index("dataset")["n_classes"].to_dict() == {"flowers": 102, "pets": 37}
        assert len(bunch.lora_records) == 0
        assert list(bunch.models["model"]) == ["a/x", "b/y"]

    def test_image_metadata(self, small_image):
        bunch = fetch_transfergraph("image", small_image, download_if_missing=False)
        assert bunch.models.iloc[0].to_dict() == {
            "model": "a/x", "architecture": "ViTForImageClassification", "family": "vit", "parameters": 1000.0,
            "memory": 5, "pretrained_on": "hfpics", "pretrained_accuracy": 0.9, "n_labels": 2.0, "labels": "cat, dog",
            "input_size": 224.0, "output_size": 768.0,
        }  # fmt: skip
        assert list(bunch.dataset_distances.index) == list(bunch.dataset_distances.columns) == ["cat, dog", "pets"]
        assert bunch.dataset_distances.loc["cat, dog", "pets"] == 2.5

    def test_measures(self, small_image):
        bunch = fetch_transfergraph("image", small_image, download_if_missing=False)
        assert [name for name in bunch.records if name.startswith("pair__")] == ["pair__log_me", "pair__reg_h_score"]
        records = bunch.records.set_index(["model", "dataset"])
        assert records.loc[("a/x", "pets"), "pair__log_me"] == pytest.approx(0.6)
        assert records.loc[("a/x", "pets"), "pair__reg_h_score"] == 27.0
        assert records.loc[[("b/y", "pets"), ("a/x", "flowers")], "pair__log_me"].isna().all()
        pairs = bunch.pairs.set_index(["model", "dataset"])
        assert len(pairs) == 2
        assert pairs.loc[("a/x", "svhn"), "log_me"] == 0.9

    def test_text_cleaning(self, small_text):
        bunch = fetch_transfergraph("text", small_text, download_if_missing=False)
        scores = bunch.records.set_index(["model", "dataset"])["score"]
        expected = {("a/x", "glue/cola"): 0.7, ("b/y", "glue/cola"): 0.5, ("b/y", "tweet_eval/offensive"): 0.7}
        assert scores.to_dict() == pytest.approx(expected)
        lora = bunch.lora_records.set_index(["model", "dataset"])["score"]
        assert lora.to_dict() == {("a/x", "glue/cola"): 0.99, ("a/x", "tweet_eval/offensive"): 0.97}
        assert bunch.datasets["n_classes"].tolist() == [2, 2]

    def test_text_distances_are_joined(self, small_text):
        distances = fetch_transfergraph("text", small_text, download_if_missing=False).dataset_distances
        assert list(distances.index) == list(distances.columns) == ["glue/cola", "imdb", "dbpedia_14"]
        assert distances.loc["glue/cola", "imdb"] == 1.5
        assert distances.loc["imdb", "dbpedia_14"] == 3.5

    @pytest.mark.parametrize(
        ("written", "name"),
        [
            ("TransferabilityMethod.LOG_ME", "log_me"),
            ("LogME", "log_me"),
            ("TransferabilityMetric.LOGME", "log_me"),
            ("TransferabilityMethod.REG_H_SCORE", "reg_h_score"),
            ("HScore", "h_score"),
            ("PARC", "parc"),
            ("TransRate", "trans_rate"),
        ],
    )
    def test_measure_names(self, written, name):
        assert _measure_name(written) == name

    def test_unknown_modality(self):
        with pytest.raises(ValueError, match=r"Got modality='video', but expected 'image' or 'text'\."):
            fetch_transfergraph("video")

    @needs_cache
    @pytest.mark.parametrize(("modality", "n_records", "per_target"), [("image", 2142, 179.0), ("text", 1439, 155.75)])
    def test_size(self, modality, n_records, per_target):
        bunch = LOADERS[modality]()
        assert len(bunch.records) == n_records
        assert f":Records: {n_records}," in bunch.DESCR
        assert len(bunch.targets) == 8
        assert bunch.records["dataset"].isin(bunch.targets).sum() / 8 == per_target
        assert set(bunch.targets) <= set(bunch.dataset_distances.index)
        assert not bunch.datasets.isna().any(axis=None)

    @needs_cache
    @pytest.mark.parametrize("modality", ["image", "text"])
    def test_distances_are_distances(self, modality):
        distances = LOADERS[modality]().dataset_distances
        assert list(distances.index) == list(distances.columns)
        assert distances.index.is_unique
        values = distances.to_numpy()
        np.testing.assert_allclose(values, values.T)
        assert (np.diag(values) == 0).all()
        assert (values[~np.eye(len(values), dtype=bool) & ~np.isnan(values)] > 0).all()

    @needs_cache
    def test_nothing_of_the_run_is_a_feature(self):
        for modality in ("image", "text"):
            bunch = LOADERS[modality]()
            assert [name for name in bunch.records if name.startswith("pair__")] == [
                "pair__log_me", "pair__reg_h_score",
            ]  # fmt: skip
        assert len(bunch.lora_records) > 1000
        assert "food101" not in set(LOADERS["image"]().records["dataset"])

    @needs_cache
    @pytest.mark.parametrize(("modality", "expected"), [("image", (0.838, 0.656)), ("text", (0.812, 0.543))])
    def test_history_ranks_models_as_published(self, modality, expected):
        bunch = LOADERS[modality]()
        scores = matrix(bunch)
        found = [history_quality(scores, bunch.targets, measure) for measure in (pearson, kendall)]
        assert found == pytest.approx(expected, abs=5e-4)


@needs_cache
@pytest.mark.parametrize(
    ("fetch", "module", "checksums", "folder"),
    [
        (fetch_domainnet_transfer, _domainnet, _domainnet._SHA256, ""),
        (lambda *args: fetch_transfergraph("image", *args), _transfergraph, _transfergraph._SHA256["image"], "image"),
        (lambda *args: fetch_transfergraph("text", *args), _transfergraph, _transfergraph._SHA256["text"], "sequence"),
    ],
    ids=["domainnet", "image", "text"],
)
def test_download_from_upstream_layout(tmp_path, monkeypatch, fetch, module, checksums, folder):
    upstream = CACHE / "transfergraph" if folder else CACHE / "domainnet"
    monkeypatch.setattr(module, "_BASE_URL", upstream.resolve().as_uri())
    bunch = fetch(tmp_path)
    assert len(bunch.records) > 1000
    assert {path.name for path in tmp_path.rglob("*.*")} == set(checksums)
    assert fetch(tmp_path, False).records.equals(bunch.records)


class TestSynthetic:
    def test_truth_and_noise(self):
        bunch = make_transfer_records(60, 80, 0.5, noise=0.03, random_state=1)
        assert bunch.truth.shape == (60, 80)
        rows = bunch.truth.index.get_indexer(bunch.records["model"])
        columns = bunch.truth.columns.get_indexer(bunch.records["dataset"])
        error = bunch.records["score"] - bunch.truth.to_numpy()[rows, columns]
        assert error.std() == pytest.approx(0.03, rel=0.05)
        assert abs(error.mean()) < 0.003

    def test_no_noise_is_the_truth(self):
        bunch = make_transfer_records(7, 9, 1.0, noise=0.0, random_state=2)
        scores = matrix(bunch).loc[bunch.truth.index, bunch.truth.columns]
        np.testing.assert_allclose(scores, bunch.truth)

    @pytest.mark.parametrize("rank", [0, 1, 3])
    def test_rank_of_the_interaction(self, rank):
        bunch = make_transfer_records(20, 25, rank=rank, random_state=3)
        factors = bunch.factors
        rest = bunch.truth - factors.base - factors.model_effect[:, None] - factors.dataset_effect
        assert np.linalg.matrix_rank(rest.to_numpy(), tol=1e-9) == rank
        np.testing.assert_allclose(rest, factors.model_factors @ factors.dataset_factors.T, atol=1e-12)

    def test_scales(self):
        bunch = make_transfer_records(
            400, 500, 0.01, base=10.0, model_scale=2.0, dataset_scale=3.0, interaction_scale=0.5, random_state=4
        )
        factors = bunch.factors
        assert factors.model_effect.std() == pytest.approx(2.0, rel=0.15)
        assert factors.dataset_effect.std() == pytest.approx(3.0, rel=0.15)
        assert (factors.model_factors @ factors.dataset_factors.T).std() == pytest.approx(0.5, rel=0.15)
        assert bunch.truth.to_numpy().mean() == pytest.approx(10.0, abs=0.6)

    @pytest.mark.parametrize(("share", "low", "high"), [(0.0, -0.3, 0.15), (0.7, 0.55, 0.85), (1.0, 0.999, 1.0)])
    def test_metadata_explain_their_share(self, share, low, high):
        bunch = make_transfer_records(
            300, 10, n_model_features=2, metadata_share=share, rank=2, fill=0.1, random_state=5
        )
        latent = np.column_stack([bunch.models["numeric_0"], np.log(bunch.models["skewed_1"])])
        latent = np.column_stack([latent, np.ones(300)])
        for effect in (bunch.factors.model_effect, *bunch.factors.model_factors.T):
            left = effect - latent @ np.linalg.lstsq(latent, effect, rcond=None)[0]
            assert low <= 1 - left.var() / effect.var() <= high

    def test_pair_features_see_the_truth_and_blur(self):
        bunch = make_transfer_records(60, 80, n_pair_features=3, random_state=6)
        quality = bunch.truth.sub(bunch.factors.dataset_effect, axis="columns")
        rows = quality.index.get_indexer(bunch.records["model"])
        columns = quality.columns.get_indexer(bunch.records["dataset"])
        seen = quality.to_numpy()[rows, columns]
        strength = [pearson(bunch.records[f"pair__measure_{i}"], seen) for i in range(3)]
        assert strength == pytest.approx([1 / np.hypot(1, i + 1) for i in range(3)], abs=0.03)

    def test_kinds_of_metadata(self):
        bunch = make_transfer_records(200, 300, n_model_features=5, n_dataset_features=0, random_state=7)
        assert list(bunch.models.columns) == [
            "model", "numeric_0", "skewed_1", "categorical_2", "multilabel_3", "numeric_4",
        ]  # fmt: skip
        assert list(bunch.datasets.columns) == ["dataset"]
        assert bunch.models["skewed_1"].dtype == np.int64
        assert bunch.models["skewed_1"].skew() > 3 > abs(bunch.models["numeric_0"].skew())
        assert bunch.models["categorical_2"].nunique() == 5
        assert bunch.models["multilabel_3"].str.split(", ").str.len().between(1, 8).all()
        assert bunch.models["multilabel_3"].nunique() > 10

    def test_missing_metadata(self):
        bunch = make_transfer_records(400, 300, 0.01, missing=0.25, random_state=8)
        for table in (bunch.models, bunch.datasets):
            assert table.iloc[:, 0].notna().all()
            assert table.iloc[:, 1:].isna().mean().between(0.15, 0.35).all()
        assert bunch.records["score"].notna().all()

    def test_same_seed_same_zoo(self):
        first, second = (make_transfer_records(random_state=9) for _ in range(2))
        pd.testing.assert_frame_equal(first.records, second.records)
        pd.testing.assert_frame_equal(first.truth, second.truth)
        other = make_transfer_records(random_state=10)
        assert not np.array_equal(first.truth, other.truth)
        assert pickle.loads(pickle.dumps(first)).records.equals(first.records)

    def test_global_seed_is_left_alone(self):
        np.random.seed(0)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        make_transfer_records(random_state=0)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    @settings(max_examples=60, deadline=None)
    @given(
        n_models=st.integers(1, 25),
        n_datasets=st.integers(1, 25),
        fill=st.floats(0, 1),
        seed=st.integers(0, 2**31),
    )
    @example(18, 15, 0.85, 0)  # A half, 229.5, that the factors in another order miss.
    def test_everyone_has_a_record_and_none_twice(self, n_models, n_datasets, fill, seed):
        bunch = make_transfer_records(
            n_models, n_datasets, fill, n_model_features=0, n_dataset_features=0, random_state=seed
        )
        assert len(bunch.records) == max(round(fill * (n_models * n_datasets)), n_models, n_datasets)
        assert not bunch.records.duplicated(["model", "dataset"]).any()
        assert set(bunch.records["model"]) == set(bunch.truth.index)
        assert set(bunch.records["dataset"]) == set(bunch.truth.columns)

    @pytest.mark.untraced  # A call is covered by the others, and here are four hundred.
    def test_pairs_are_drawn_evenly(self):
        counts = sum(
            matrix(make_transfer_records(4, 5, 0.5, n_pair_features=0, random_state=seed)).notna().to_numpy()
            for seed in range(400)
        )
        # Each pair is in half of the 400 draws; 5 standard deviations of a binomial are 50.
        assert np.abs(counts - 200).max() < 50

    @pytest.mark.untraced
    def test_a_million_records_in_seconds(self):
        start = time.perf_counter()
        bunch = make_transfer_records(20_000, 5_000, 0.01, random_state=0)
        assert len(bunch.records) == 1_000_000
        assert bunch.truth is None
        assert bunch.factors.model_factors.shape == (20_000, 3)
        assert time.perf_counter() - start < 20

    @pytest.mark.parametrize(
        ("argument", "value", "expected"),
        [
            ("n_models", 0, "an integer of at least 1"),
            ("n_datasets", 2.5, "an integer of at least 1"),
            ("rank", -1, "an integer of at least 0"),
            ("n_pair_features", True, "an integer of at least 0"),
            ("fill", 1.5, "a finite number of at least 0 and at most 1"),
            ("missing", -0.1, "a finite number of at least 0 and at most 1"),
            ("noise", -1, "a finite number of at least 0"),
            ("base", float("nan"), "a finite number"),
            ("metadata_share", "much", "a finite number of at least 0 and at most 1"),
        ],
    )
    def test_bad_arguments(self, argument, value, expected):
        with pytest.raises(ValueError, match=rf"^Got {argument}={value!r}, but expected {expected}\.$"):
            make_transfer_records(**{argument: value})
