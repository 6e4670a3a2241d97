"""The command line, from arguments to what is printed, and what a user sees when something is wrong."""

import functools
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import skgat
from skgat import _commands, cli, persistence, recommend
from skgat.baselines import BiasRegressor
from skgat.datasets import load_vision_zoo
from skgat.metrics import RANKING_SCORERS, weighted_kendall
from skgat.model_selection import LeaveDatasetsOut

ROOT = Path(skgat.__file__).parent.parent
QUICK = [f"--set=gat.{s}" for s in ("hidden_dim=8", "n_heads=2", "n_estimators=2", "max_iter=8", "device='cpu'")]


@pytest.fixture(scope="module")
def zoo():
    return load_vision_zoo()


@pytest.fixture(scope="module")
def folder(zoo, tmp_path_factory):
    """Tables of the vision zoo without its dataset "pets", and what was fitted on them."""
    folder = tmp_path_factory.mktemp("tables")
    known = zoo.records["dataset"] != "pets"
    zoo.records[known].to_csv(folder / "records.csv", index=False)
    zoo.records[known].to_parquet(folder / "records.parquet")
    zoo.records.loc[known, ["model", "dataset", "score"]].to_csv(folder / "scores.csv", index=False)
    zoo.models.to_csv(folder / "models.csv", index=False)
    zoo.datasets.to_csv(folder / "datasets.csv", index=False)
    new = zoo.datasets[zoo.datasets["dataset"] == "pets"]
    new.to_csv(folder / "new.csv", index=False)
    new.drop(columns="dataset").to_csv(folder / "nameless.csv", index=False)
    zoo.records.loc[~known, ["model", "dataset", "score"]].head(3).to_csv(folder / "few.csv", index=False)
    assert cli.main(["fit", str(folder / "records.csv"), "-o", str(folder / "zoo.skgat"), *QUICK]) == 0
    return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Run a command in the folder of the tables; gives the status and what was printed."""
    monkeypatch.chdir(folder)

    def run(*argv):
        capsys.readouterr()
        try:
            status = cli.main([*map(str, argv)])
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return run


def test_fit_says_what_it_learned_from(run, folder):
    status, out, err = run("fit", "records.parquet", "-o", "again.skgat", *QUICK)
    assert (status, err) == (0, "")
    assert re.match(r"Saved again.skgat: 23 models, 10 datasets, 230 records, fitted in \d+\.\d s\.\n$", out)
    one, two = (persistence.load(folder / name) for name in ("zoo.skgat", "again.skgat"))
    records = pd.read_csv(folder / "records.csv")
    np.testing.assert_array_equal(one.predict(records), two.predict(records))
    assert one["gat"].get_params()["hidden_dim"] == 8
    assert one["gat"].get_params()["random_state"] == 0


def test_fit_joins_tables(run, folder):
    tables = ["--models", "models.csv", "--datasets", "datasets.csv"]
    assert run("fit", "scores.csv", *tables, "-o", "joined.skgat", *QUICK)[0] == 0
    one, two = (persistence.load(folder / name) for name in ("zoo.skgat", "joined.skgat"))
    assert set(one["encode"].roles_) == set(two["encode"].roles_)


def test_fit_reads_wide_tables_and_other_names(run, folder, zoo):
    wide = zoo.records.pivot(index="model", columns="dataset", values="score").rename_axis("arch").reset_index()
    wide.to_csv(folder / "wide.csv", index=False)
    names = ["--model-column", "arch", "--dataset-column", "task", "--target", "accuracy"]
    status, out, _ = run("fit", "wide.csv", "-o", "wide.skgat", *names, *QUICK, "--set", "encode.max_components=4")
    assert status == 0
    assert "23 models, 11 datasets, 253 records" in out
    loaded = persistence.load(folder / "wide.skgat")
    assert loaded["encode"].get_params()["max_components"] == 4
    assert set(recommend(loaded, "pets", k=3)["model"]) <= set(zoo.models["model"])


@pytest.mark.parametrize("name", ["w.csv", "w.csv.gz", "w.tsv", "w.parquet", "bare.parquet"])
def test_fit_takes_the_numbers_of_models_from_a_wide_table(run, folder, name):
    wide = pd.DataFrame({"pets": [0.5, 0.6, 0.7], "cars": [0.3, 0.2, 0.4]}, index=[10, 20, 30])
    if name.startswith("bare"):
        wide.rename_axis("id").reset_index().to_parquet(folder / name)
    elif name.endswith("parquet"):
        wide.to_parquet(folder / name)
    else:
        wide.to_csv(folder / name, sep="\t" if name.endswith("tsv") else ",")
    status, out, err = run("fit", name, "-o", "w.skgat", *QUICK)
    assert (status, err) == (0, "")
    assert "3 models, 2 datasets, 6 records" in out
    gat = persistence.load(folder / "w.skgat")["gat"]
    assert gat.models_.tolist() == [10, 20, 30]
    assert sorted(gat.datasets_) == ["cars", "pets"]
    assert {r["model"] for r in json.loads(run("recommend", "w.skgat", "--dataset", "pets", "--json")[1])} == {
        10,
        20,
        30,
    }


def test_fit_joins_a_wide_table_of_numbered_datasets(run, folder):
    wide = pd.DataFrame({1: [0.5, 0.6, 0.7], 2: [0.3, 0.2, 0.4]}, index=[10, 20, 30])
    wide.to_csv(folder / "numbered.csv")
    pd.DataFrame({"dataset": [2, 1, 3], "size": [5.0, 7.0, 9.0]}).to_csv(folder / "sizes.csv", index=False)
    pd.DataFrame({"model": [10, 20, 30, 40], "depth": [1.0, 2.0, 4.0, 8.0]}).to_csv(folder / "depths.csv", index=False)
    pairs = pd.DataFrame({"model": [10, 20, 30] * 2, "dataset": [1] * 3 + [2] * 3, "logme": np.arange(6.0)})
    pairs.to_csv(folder / "pairs.csv", index=False)
    tables = ["--datasets", "sizes.csv", "--models", "depths.csv", "--pairs", "pairs.csv"]
    status, out, err = run("fit", "numbered.csv", *tables, "-o", "numbered.skgat", *QUICK)
    assert (status, err) == (0, "")
    assert "3 models, 2 datasets, 6 records" in out
    encoder = persistence.load(folder / "numbered.skgat")["encode"]
    assert encoder.datasets_["dataset__size"].to_dict() == {"1": 7.0, "2": 5.0}
    assert encoder.models_["model__depth"].to_dict() == {10: 1.0, 20: 2.0, 30: 4.0}
    pd.DataFrame({"dataset": [2]}).to_csv(folder / "second.csv", index=False)
    status, out, err = run("recommend", "numbered.skgat", "--dataset", "second.csv", "--json")
    assert (status, err) == (0, ""), "an unknown id would warn"
    assert {row["dataset"] for row in json.loads(out)} == {"2"}


@pytest.mark.parametrize("times", [1, 2])
def test_what_counts_the_rows_is_no_feature(run, folder, tmp_path, times):
    sources = {"scores": "scores.csv", "models": "models.csv", "datasets": "datasets.csv", "new": "new.csv"}
    for name, source in sources.items():
        table = pd.read_csv(folder / source)
        if name == "scores":
            # Sorted and thinned: the numbers tell the scores, and are not those from 0.
            table = table.sort_values("score", ignore_index=True).drop(index=[3])
            table.to_csv(tmp_path / "bare.csv", index=False)
            pairs = table[["model", "dataset"]].assign(logme=table["score"] ** 2)
            pairs.to_csv(tmp_path / "pairs.csv")
        for _ in range(times):
            table.to_csv(tmp_path / f"{name}.csv")
            table = pd.read_csv(tmp_path / f"{name}.csv")
    tables = [f"--{role}={tmp_path}/{role}.csv" for role in ("models", "datasets", "pairs")]
    assert run("fit", tmp_path / "scores.csv", *tables, "-o", "counted.skgat", *QUICK)[0] == 0
    roles = persistence.load(folder / "counted.skgat")["encode"].roles_
    assert not [name for name in roles if "Unnamed" in name]
    status, _, err = run("recommend", "counted.skgat", "--dataset", tmp_path / "new.csv")
    assert (status, err) == (0, "")
    counted, bare = (
        run("evaluate", tmp_path / name, *tables, "--folds", 2, *QUICK)[1].partition("s)")[2]
        for name in ("scores.csv", "bare.csv")
    )
    assert counted == bare != ""


def test_what_counts_the_rows_of_a_wide_table_is_no_dataset(run, folder):
    wide = pd.DataFrame({"model": ["a", "b", "c"], "pets": [0.5, 0.6, 0.7], "cars": [0.3, 0.2, 0.4]})
    wide.to_csv(folder / "counted.csv")
    assert "3 models, 2 datasets, 6 records" in run("fit", "counted.csv", "-o", "counted.skgat", *QUICK)[1]


def test_a_nameless_column_of_text_is_read(run, folder):
    scores = pd.read_csv(folder / "scores.csv")
    scores.set_axis([f"run on {d}" for d in scores["dataset"]]).to_csv(folder / "noted.csv")
    assert run("fit", "noted.csv", "-o", "noted.skgat", *QUICK)[0] == 0
    assert persistence.load(folder / "noted.skgat")["encode"].roles_ == {"Unnamed: 0": "dataset"}


def test_recommend_prints_the_ranking(run, folder):
    expected = recommend(persistence.load(folder / "zoo.skgat"), pd.read_csv(folder / "new.csv"), k=4)
    status, out, err = run("recommend", "zoo.skgat", "--dataset", "new.csv", "-k", 4)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["dataset", "rank", "model", "score", "std"]
    assert [line.split()[2] for line in lines[1:]] == expected["model"].tolist()
    status, out, _ = run("recommend", "zoo.skgat", "--dataset", "new.csv", "-k", 4, "--json")
    pd.testing.assert_frame_equal(pd.DataFrame(json.loads(out)), expected)


def test_recommend_for_a_known_dataset_and_for_one_without_an_id(run):
    assert {row["dataset"] for row in json.loads(run("recommend", "zoo.skgat", "--dataset", "dtd", "--json")[1])} == {
        "dtd"
    }
    out = run("recommend", "zoo.skgat", "--dataset", "nameless.csv", "--json")[1]
    assert {row["dataset"] for row in json.loads(out)} == {"new dataset"}


def test_recommend_takes_candidates_context_and_strategy(run, folder):
    ask = ["recommend", "zoo.skgat", "--dataset", "new.csv", "--json", "-k", 23]
    plain = json.loads(run(*ask)[1])
    taught = json.loads(run(*ask, "--context", "few.csv")[1])
    assert {r["model"]: r["score"] for r in plain} != {r["model"]: r["score"] for r in taught}
    left = json.loads(run(*ask, "--context", "few.csv", "--exclude-known")[1])
    assert {r["model"] for r in plain} - {r["model"] for r in left} == set(pd.read_csv(folder / "few.csv")["model"])
    one, two, three = (run(*ask, "--strategy", "thompson", "--seed", seed)[1] for seed in (1, 1, 2))
    assert one == two != three
    daring = json.loads(run(*ask, "--strategy", "ucb", "--exploration", 1000)[1])
    assert [r["model"] for r in daring] != [r["model"] for r in plain]
    pd.read_csv("models.csv").head(2).to_csv("candidates.csv", index=False)
    few = json.loads(
        run("recommend", "zoo.skgat", "--dataset", "dtd", "--models", "candidates.csv", "-k", 2, "--json")[1]
    )
    assert {r["model"] for r in few} == set(pd.read_csv("candidates.csv")["model"])


def test_recommend_shows_at_most_five_unless_told(run, folder, zoo):
    few = zoo.records[zoo.records["model"].isin(zoo.models["model"].head(3))][["model", "dataset", "score"]]
    few.to_csv(folder / "three.csv", index=False)
    assert run("fit", "three.csv", "-o", "three.skgat", *QUICK)[0] == 0
    status, out, err = run("recommend", "three.skgat", "--dataset", "pets", "--json")
    assert (status, err) == (0, "")
    assert {row["model"] for row in json.loads(out)} == set(few["model"])
    assert len(json.loads(run("recommend", "zoo.skgat", "--dataset", "dtd", "--json")[1])) == 5
    pd.read_csv("models.csv").head(2).to_csv("two.csv", index=False)
    assert len(json.loads(run("recommend", "zoo.skgat", "--dataset", "dtd", "--models", "two.csv", "--json")[1])) == 2
    status, _, err = run("recommend", "three.skgat", "--dataset", "pets", "-k", 5)
    assert status == 2
    assert "Got k=5, but there are only 3 candidate models" in err


def test_recommend_says_that_nothing_is_left(run):
    ask = ["recommend", "zoo.skgat", "--dataset", "dtd", "--exclude-known"]
    assert run(*ask) == (0, "Nothing is left to recommend: the scores of all candidates are known.\n", "")
    assert run(*ask, "--json") == (0, "[]\n", "")


def test_recommend_with_what_knows_no_ids(run, folder):
    ridge = Ridge().fit(pd.DataFrame({"x": [0.0, 1.0]}), [0.0, 1.0])
    persistence.save(ridge, folder / "ridge.skgat")
    for command in (["recommend"], ["report", "-o", "x.html"]):
        status, out, err = run(*command, "ridge.skgat", "--dataset", "dtd")
        assert (status, out) == (2, "")
        assert re.fullmatch(r"skgat \w+: error: Got --dataset dtd, but what was saved knows no dataset [^\n]+\n", err)
    status, out, err = run("recommend", "ridge.skgat", "--dataset", "new.csv")
    assert (status, out) == (2, "")
    assert "NoneType" not in err


def test_ids_keep_the_type_they_had_in_fit(run, folder):
    mixed = pd.DataFrame(
        {"model": ["a", "b"] * 3, "dataset": ["1", "1", "2", "2", "x", "x"], "score": [1, 2, 3, 5, 2, 4]}
    )
    mixed.to_csv(folder / "mixed.csv", index=False)
    assert run("fit", "mixed.csv", "-o", "mixed.skgat", *QUICK)[0] == 0
    pd.DataFrame({"dataset": [1, 2]}).to_csv(folder / "ones.csv", index=False)
    status, out, err = run("recommend", "mixed.skgat", "--dataset", "ones.csv", "-k", 1, "--json")
    assert (status, err) == (0, ""), "an unknown id would warn"
    assert [row["dataset"] for row in json.loads(out)] == ["1", "2"]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("ids", [["001", "01", "1", "10"], ["1.10", "1.1", "1.0", "2"], ["1e3", "1000", "True", "1"]])
def test_ids_are_told_apart_as_they_are_written(run, folder, ids, wide):
    scores = pd.DataFrame({"x": [1.0, 2.0, 3.0, 5.0], "y": [2.0, 1.0, 4.0, 3.0]}, index=pd.Index(ids, name="model"))
    long = scores.stack().rename_axis(["model", "dataset"]).rename("score").reset_index()
    # The first name of a wide table need not be that of the ids.
    (scores.rename_axis("") if wide else long.set_index("model")).to_csv(folder / "written.csv")
    pd.DataFrame({"model": ids, "depth": [1.0, 2.0, 4.0, 8.0]}).to_csv(folder / "written_depths.csv", index=False)
    status, out, err = run("fit", "written.csv", "--models", "written_depths.csv", "-o", "written.skgat", *QUICK)
    assert (status, err) == (0, "")
    assert "4 models, 2 datasets, 8 records" in out
    assert sorted(persistence.load(folder / "written.skgat")["gat"].models_) == sorted(ids)
    pd.DataFrame({"model": ids[:2], "depth": [1.0, 2.0]}).to_csv(folder / "written_two.csv", index=False)
    status, out, err = run("recommend", "written.skgat", "--dataset", "x", "--models", "written_two.csv", "--json")
    assert (status, err) == (0, ""), "an unknown id would warn"
    assert {row["model"] for row in json.loads(out)} == set(ids[:2])


@pytest.mark.parametrize(
    ("written", "ids"), [(["1", "20"], [1, 20]), (["1.0", "2.5"], [1.0, 2.5]), ([" 1", "2"], [1, 2])]
)
def test_ids_that_read_as_they_are_written_are_numbers(run, folder, written, ids):
    lines = [f"{model},{dataset},{i}" for i, (model, dataset) in enumerate(product(written, "xyz"))]
    (folder / "numbers.csv").write_text("\n".join(["model,dataset,score", *lines]))
    assert run("fit", "numbers.csv", "-o", "numbers.skgat", *QUICK)[0] == 0
    models = persistence.load(folder / "numbers.skgat")["gat"].models_.tolist()
    assert models == ids
    assert [type(model) for model in models] == [type(id_) for id_ in ids]


def test_evaluate_agrees_with_the_library(run, zoo, folder):
    records = pd.read_csv(folder / "records.csv")
    status, out, err = run("evaluate", "records.csv", "--folds", 2, *QUICK, "--metric", "weighted_kendall")
    assert (status, err) == (0, "")
    expected = []
    for train, test in LeaveDatasetsOut(2).split(records):
        held_out = records.iloc[test]
        predicted = BiasRegressor().fit(records.iloc[train]).predict(held_out)
        expected.append(weighted_kendall(held_out["score"], predicted, groups=held_out["dataset"]))
    rows = [line.split() for line in out.splitlines() if line]
    summary = next(row for row in rows if row[0] == "weighted_kendall")
    assert [float(v) for v in summary[3:]] == pytest.approx(
        [np.mean(expected), np.std(expected, ddof=1) / np.sqrt(2)], abs=6e-5
    )
    assert [float(row[-1]) for row in rows[-2:]] == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("cv", cli.SPLITTERS)
def test_evaluate_with_every_splitter(run, cv):
    metrics = ["--metric", "top_k_regret", "--metric", "pearson", "--metric", "pearson"]
    status, out, _ = run("evaluate", "records.csv", "--cv", cv, "--folds", 2, *QUICK, *metrics, "--no-baseline")
    assert status == 0
    assert out.startswith(f"{cv}, 2 folds of 230 records, gat = TransferabilityGAT (")
    rows = [line.split() for line in out.splitlines() if line]
    assert [row[0] for row in rows[2:4]] == ["top_k_regret", "pearson"]
    assert float(rows[2][1]) >= 0, "a regret is printed as a loss"
    assert "additive" not in out


def table_of(lines):
    return [line.split() for line in lines if line]


def test_scores_of_any_unit_can_be_told_apart(run, folder):
    few = pd.read_csv(folder / "scores.csv")
    few.assign(score=1e-6 * few["score"]).to_csv(folder / "tiny.csv", index=False)
    assert run("fit", "tiny.csv", "-o", "tiny.skgat", *QUICK)[0] == 0
    ask = ["recommend", "tiny.skgat", "--dataset", "dtd"]
    exact = pd.DataFrame(json.loads(run(*ask, "--json")[1]))
    rows = table_of(run(*ask)[1].splitlines()[1:])
    assert len({row[3] for row in rows}) == 5
    assert [float(row[3]) for row in rows] == pytest.approx(exact["score"], rel=0.01)
    assert [float(row[4]) for row in rows] == pytest.approx(exact["std"], abs=1e-8)
    tables = ["--models", "models.csv", "--datasets", "datasets.csv"]
    metrics = ["--metric", "top_k_regret", "--metric", "pearson"]
    out = run("evaluate", "tiny.csv", *tables, "--folds", 2, *QUICK, *metrics)[1]
    regret, pearson = table_of(out.splitlines()[3:5])
    assert 0 < float(regret[3]) < 1e-6
    assert re.fullmatch(r"0\.\d{4}", pearson[1]), "a metric has decimals of its own"


def test_decimals_of_printed_scores():
    ranking = pd.DataFrame({"model": ["a", "b", "c"], "score": [0.9, 0.85, 0.844], "std": [0.0213, 0.0214, np.nan]})
    assert table_of(_commands._text(ranking).splitlines()) == [
        ["model", "score", "std"],
        ["a", "0.900", "0.021"],
        ["b", "0.850", "0.021"],
        ["c", "0.844", "-"],
    ]
    close = ranking.assign(score=[0.86123, 0.86119, 0.86115])
    assert [row[1] for row in table_of(_commands._text(close).splitlines()[1:])] == ["0.861230", "0.861190", "0.861150"]
    equal = ranking.assign(score=0.8 + np.arange(3) * 1e-16)
    assert [row[1] for row in table_of(_commands._text(equal).splitlines()[1:])] == ["0.800"] * 3


def test_metric_names_are_those_of_the_library():
    assert set(cli.METRICS) == set(RANKING_SCORERS)


def test_demo(run, monkeypatch, zoo):
    small = {"hidden_dim": 8, "n_heads": 2, "n_estimators": 2, "max_iter": 8, "device": "cpu"}
    monkeypatch.setattr(_commands, "TransferabilityGAT", functools.partial(_commands.TransferabilityGAT, **small))
    status, out, err = run("demo", "--dataset", "cars")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if re.match(r" +\d+ ", line)]
    assert [int(row[0]) for row in rows] == list(range(1, 24))
    truth = zoo.records[zoo.records["dataset"] == "cars"].set_index("model")["score"]
    assert {row[1]: float(row[4]) for row in rows} == truth.round(3).to_dict()
    best = next(row for row in rows if row[5] == "1")
    assert best[1] == truth.idxmax()
    history = zoo.records[zoo.records["dataset"] != "cars"]
    bias = BiasRegressor().fit(history).predict(pd.DataFrame({"model": truth.index, "dataset": "cars"}))
    expected = weighted_kendall(truth, bias, groups=np.zeros(len(truth)))
    assert float(out.splitlines()[-1].split()[2]) == pytest.approx(expected, abs=6e-4)


BAD = [
    (["demo", "--dataset", "nothing"], r"Got --dataset nothing, but expected one of aircraft, "),
    (["fit", "missing.csv", "-o", "x"], r"No such file or directory: 'missing\.csv'"),
    (["fit", "README", "-o", "x"], r"Got the table 'README', but expected a file that ends in \.csv"),
    (["fit", "empty.csv", "-o", "x"], r"No columns to parse from file"),
    (["fit", "empty.csv", "-o", "x"], r"Got empty\.csv, but expected a header with the names of the columns \(No col"),
    (["fit", "wide.utf16.csv", "-o", "x"], r"Got wide\.utf16\.csv, but expected text in UTF-8 \('utf-8' codec"),
    (["fit", "ragged.csv", "-o", "x"], r"Got ragged\.csv, but expected cells with a comma .* in line 3, saw 4"),
    (
        ["fit", "ragged.tsv", "-o", "x"],
        r"Got ragged\.tsv, but expected cells with a tab between them \(Error .* saw 4\)\.",
    ),
    (["fit", "semicolon.csv", "-o", "x"], r"Got semicolon\.csv with the only column 'model;dataset;score'"),
    (["fit", "decimal.csv", "-o", "x"], r"only column 'model;dataset;score', but expected a comma between columns\."),
    (["fit", "tab.csv", "-o", "x"], r"only column 'model\\tdataset\\tscore', but expected a comma between columns\."),
    (["fit", "comma.tsv", "-o", "x"], r"only column 'model,dataset,score', but expected a tab between columns\."),
    (["fit", "scores.csv", "--models", "tab.csv", "-o", "x"], r"Got tab\.csv with the only column"),
    (["recommend", "zoo.skgat", "--dataset", "ragged.csv"], r"Got ragged\.csv, but expected cells"),
    (["fit", "twice.csv", "-o", "x"], r"Got twice\.csv with several columns 'pets', but expected a name to stand once"),
    (["fit", "broken.parquet", "-o", "x"], r"Got broken\.parquet, but expected a Parquet file \(.+\)"),
    (["fit", "missing.parquet", "-o", "x"], r"No such file or directory: 'missing\.parquet'"),
    (["fit", "nothing.parquet", "-o", "x"], r"scores has no column|scores holds no score"),
    (["fit", "scores.csv", "-o", "no/where/x"], r"Got --output no/where/x, but there is no folder"),
    (["fit", "cut.csv.gz", "-o", "x"], r"'cut\.csv\.gz' is damaged or cut off \(.+\)"),
    (["fit", "bent.csv.gz", "-o", "x"], r"'bent\.csv\.gz' is damaged or cut off \(.+\)"),
    (["fit", "plain.csv.gz", "-o", "x"], r"'plain\.csv\.gz' is damaged or cut off \(Not a gzipped file"),
    (["recommend", "zoo.skgat", "--dataset", "cut.csv.gz"], r"'cut\.csv\.gz' is damaged or cut off"),
    (["fit", "scores.csv", "-o", "x", "--target", "accuracy"], r"no .*'accuracy'|'accuracy'"),
    (["fit", "scores.csv", "-o", "x", "--set", "gat"], r"Got --set gat, but expected STEP\.NAME=VALUE"),
    (["fit", "scores.csv", "-o", "x", "--set", "steps.x=1"], r"Got --set steps\.x=1, but steps\.x is no argument"),
    (["fit", "scores.csv", "-o", "x", "--set", "gat.hidden_dim__x=1"], r"but gat\.hidden_dim__x is no argument"),
    (["fit", "scores.csv", "-o", "x", "--set", "gat.colour=1"], r"Invalid parameter 'colour'"),
    (["fit", "scores.csv", "-o", "x", "--set", "gat.decoder=blue"], r"decoder"),
    (["recommend", "records.csv", "--dataset", "dtd"], r"'records\.csv' is not a file that skgat saved"),
    (["recommend", "none.skgat", "--dataset", "dtd"], r"No such file or directory: 'none\.skgat'"),
    (
        ["recommend", "zoo.skgat", "--dataset", "petz"],
        r"Got --dataset petz, but expected a table .* or a known dataset: air",
    ),
    (["recommend", "zoo.skgat", "--dataset", "models.csv"], r"datasets has no column 'dataset' with the dataset ids"),
    (["recommend", "zoo.skgat", "--dataset", "dtd", "-k", "99"], r"Got k=99, but there are only 23 candidate models"),
    (
        ["recommend", "zoo.skgat", "--dataset", "new.csv", "--context", "gaps.csv"],
        r"the first is nan for model '[^']+' on dataset 'pets'; every score must be a finite number",
    ),
    (["evaluate", "scores.csv", "--folds", "99"], r"Got n_splits=99, but .* 10 distinct dataset"),
    (["evaluate", "scores.csv", "--metric", "luck"], r"invalid choice: 'luck'"),
    (["evaluate"], r"the following arguments are required: RECORDS"),
    ([], r"the following arguments are required: COMMAND"),
]


def write_unreadable_tables(folder):
    (folder / "wide.utf16.csv").write_text("model,pets\nresnet,0.5\n", encoding="utf-16")
    (folder / "twice.csv").write_text("model,pets,cars,pets\na,0.5,0.4,0.3\n")
    for name, sign in {"ragged.csv": ",", "ragged.tsv": "\t"}.items():
        rows = ["model", "dataset", "score"], ["a", "x", "0.5"], ["b", "x", "0", "6"]
        (folder / name).write_text("".join(f"{sign.join(row)}\n" for row in rows))
    for name, sign, score in (
        ("semicolon.csv", ";", "0.5"), ("decimal.csv", ";", "0,5"), ("tab.csv", "\t", "0.5"), ("comma.tsv", ",", "0.5")
    ):  # fmt: skip
        rows = ["model", "dataset", "score"], ["a", "x", score]
        (folder / name).write_text("".join(f"{sign.join(row)}\n" for row in rows))


@pytest.mark.parametrize(("argv", "message"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_bad_input_is_one_line_and_status_2(run, folder, argv, message):
    (folder / "empty.csv").touch()
    (folder / "broken.parquet").write_bytes(b"PAR1 no more")
    pd.DataFrame(index=range(3)).to_parquet(folder / "nothing.parquet")
    few = pd.read_csv(folder / "few.csv")
    few.assign(score=few["score"].mask(few.index == 1)).to_csv(folder / "gaps.csv", index=False)
    whole = gzip.compress((folder / "scores.csv").read_bytes())
    (folder / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "bent.csv.gz").write_bytes(whole[:20] + b"\xff" * 20 + whole[40:])
    (folder / "plain.csv.gz").write_bytes((folder / "scores.csv").read_bytes())
    write_unreadable_tables(folder)
    before = sorted(os.listdir(folder))
    status, out, err = run(*argv)
    assert status == 2
    assert out == "" or argv[0] == "evaluate"
    assert re.fullmatch(r"skgat[ a-z]*: error: [^\n]+\n", err)
    assert re.search(message, err)
    assert sorted(os.listdir(folder)) == before


def test_a_setting_that_is_nested_too_deep_is_text(run):
    status, out, err = run("fit", "scores.csv", "-o", "x", "--set", "gat.hidden_dim=" + 5000 * "-")
    assert (status, out) == (2, "")
    assert re.fullmatch(r"skgat fit: error: The 'hidden_dim' parameter [^\n]+ Got '-{5000}' instead\.\n", err)


@pytest.mark.parametrize(
    ("output", "message"),
    [("", "Got --output '', but expected the name of a file"), ("taken", "Got --output taken, but that is a folder")],
)
@pytest.mark.parametrize("command", [["fit", "scores.csv"], ["report", "zoo.skgat", "--dataset", "dtd"]])
def test_what_cannot_be_written_is_refused_before_the_work(run, folder, monkeypatch, command, output, message):
    (folder / "taken").mkdir(exist_ok=True)
    for name in ("_pipeline", "write_report"):
        monkeypatch.setattr(_commands, name, lambda *args, **kwargs: pytest.fail("it began to work"))
    status, out, err = run(*command, "-o", output)
    assert (status, out) == (2, "")
    assert err.startswith(f"skgat {command[0]}: error: {message}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("command", [["fit", "scores.csv"], ["report", "zoo.skgat", "--dataset", "dtd"]])
def test_a_pipe_is_refused_before_the_work(run, tmp_path, monkeypatch, command):
    os.mkfifo(tmp_path / "pipe")
    for name in ("_pipeline", "write_report"):
        monkeypatch.setattr(_commands, name, lambda *args, **kwargs: pytest.fail("it began to work"))
    status, out, err = run(*command, "-o", tmp_path / "pipe")
    assert (status, out) == (2, "")
    assert err == (
        f"skgat {command[0]}: error: Got --output {tmp_path / 'pipe'}, but expected a regular file, not a device, "
        "a pipe or a socket.\n"
    )


@pytest.mark.filterwarnings("default::skgat.exceptions.DuplicatePairWarning")
def test_warnings_are_one_line(run, folder):
    pd.DataFrame({"model": ["a", "a"], "dataset": ["x", "x"], "score": [0.1, 0.2]}).to_csv(
        folder / "twice.csv", index=False
    )
    scores = pd.concat([pd.read_csv(folder / "scores.csv"), pd.read_csv(folder / "twice.csv")])
    scores.to_csv(folder / "twice.csv", index=False)
    status, _, err = run("fit", "twice.csv", "-o", "twice.skgat", *QUICK)
    assert status == 0
    assert re.fullmatch(r"skgat: warning: 1 \(model, dataset\) pair\(s\) occur more than once[^\n]+\n", err)


def test_help_teaches_and_version(run):
    for command in ([], ["fit"], ["recommend"], ["evaluate"]):
        status, out, _ = run(*command, "--help")
        assert status == 0
        assert "examples:" in out
        assert f"skgat {' '.join(command)}".strip() in out
    assert run("--version") == (0, f"skgat {skgat.__version__}\n", "")


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_help_needs_no_library():
    code = (
        "import sys\nfrom skgat.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'numpy', 'pandas', 'sklearn', 'torch'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], env=_environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_module_runs_as_the_command():
    command = [sys.executable, "-m", "skgat", "fit", "nothing.csv", "-o", "x"]
    result = subprocess.run(command, env=_environment(), capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_interrupt_ends_with_130_and_leaves_no_file(folder, tmp_path):
    before = (folder / "zoo.skgat").read_bytes()
    (tmp_path / "zoo.skgat").write_bytes(before)
    command = [sys.executable, "-m", "skgat", "fit", str(folder / "records.csv"), "-o", "zoo.skgat"]
    # A run without end that says when it has begun, so that the signal meets it at work.
    command += [f"--set=gat.{s}" for s in ("max_iter=1000000", "verbose=1", "n_estimators=1", "device='cpu'")]
    environment = {**_environment(), "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes)
    assert process.stdout.readline(), "it ended before it began"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "skgat: interrupted\n")
    assert os.listdir(tmp_path) == ["zoo.skgat"]
    assert (tmp_path / "zoo.skgat").read_bytes() == before


def test_a_reader_that_leaves_is_no_error(folder):
    command = f"{sys.executable} -m skgat recommend {folder}/zoo.skgat --dataset dtd --json; echo $? >&2"
    result = subprocess.run(["bash", "-c", f"({command}) | true"], env=_environment(), capture_output=True, text=True)
    assert result.stderr == "141\n"


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_without_an_output_the_work_is_done(folder, tmp_path):
    ask = f"{sys.executable} -m skgat fit {folder}/scores.csv -o {tmp_path}/zoo.skgat {' '.join(QUICK)} >&-"
    result = subprocess.run(["bash", "-c", ask], env=_environment(), capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "zoo.skgat").stat().st_size


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_letters_that_the_output_does_not_know_are_escaped(run, folder, encoding):
    few = pd.read_csv(folder / "scores.csv").replace({"model": {"resnet50": "模型"}})
    few.to_csv(folder / "letters.csv", index=False)
    assert run("fit", "letters.csv", "-o", "模.skgat", *QUICK)[0] == 0
    command = [sys.executable, "-m", "skgat", "recommend", "模.skgat", "--dataset", "dtd", "-k", "23"]
    environment = {**_environment(), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    assert rb"\u6a21\u578b" in result.stdout


def test_the_output_of_a_caller_stays_as_it_was(folder, monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    assert cli.main(["recommend", str(folder / "zoo.skgat"), "--dataset", "dtd"]) == 0
    assert output.errors == "strict"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert cli.main(["recommend", str(folder / "zoo.skgat"), "--dataset", "dtd"]) == 0
    assert "rank" in sys.stdout.getvalue()


def test_parquet_without_pyarrow_names_the_extra(run, monkeypatch):
    def missing(path):
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd, "read_parquet", missing)
    status, out, err = run("fit", "records.parquet", "-o", "x")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "pip install 'skgat[arrow]'" in err
