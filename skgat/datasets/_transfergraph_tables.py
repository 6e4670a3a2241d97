"""What the tables of TransferGraph say once their faults are taken out."""

__all__ = ["read_datasets", "read_distances", "read_measures", "read_models", "read_scores"]

import ast
import re
from functools import reduce

import pandas as pd

_MODEL_COLUMNS = {
    "model": "model",
    "architectures": "architecture",
    "model_type": "family",
    "number_of_parameters": "parameters",
    "memory_consumption": "memory",
    "dataset": "pretrained_on",
    "accuracy": "pretrained_accuracy",
    "#labels": "n_labels",
    "number_of_labels": "n_labels",
    "labels": "labels",
    "input_shape": "input_size",
    "output_shape": "output_size",
}
_DATASET_COLUMNS = {"finetune_dataset": "dataset", "size": "size", "number_of_classes": "n_classes"}
_N_CLASSES = {"flowers": 102, "smallnorb_label_elevation": 9, "tweet_eval/offensive": 2, "tweet_eval/emotion": 4}
#: Values in the dataset column of text rows whose fields are shifted.
_NOT_DATASETS = ["0.1", "lora", "none"]
#: Every model but a few stands at chance level there.
_BROKEN = ["food101"]
#: A second name of glue/cola, with the same distances.
_TWICE = ["glue_cola"]
_MEASURE_NAMES = {"logme": "log_me", "hscore": "h_score", "reghscore": "reg_h_score"}


def read_scores(path):
    """The mean accuracy of each pair, fully fine-tuned and fine-tuned with LoRA, as two frames."""
    rows = pd.read_csv(path, low_memory=False).rename(
        columns={"finetuned_dataset": "dataset", "eval_accuracy": "score"}
    )
    method = rows["peft_method"] if "peft_method" in rows else pd.Series(index=rows.index, dtype=object)
    faulty = rows["dataset"].isin(_NOT_DATASETS + _BROKEN) | (method == "lor")
    rows, method = rows[~faulty], method[~faulty]
    lora = method == "lora"
    return _mean_score(rows[~lora]), _mean_score(rows[lora])


def _mean_score(rows):
    rows = rows.dropna(subset=["model", "dataset", "score"])
    return rows.groupby(["dataset", "model"], as_index=False)["score"].mean()[["model", "dataset", "score"]]


def read_models(path, ids):
    """The metadata of the models that have a record."""
    table = pd.read_csv(path)
    names = [name for name in _MODEL_COLUMNS if name in table]
    models = table[names].rename(columns=_MODEL_COLUMNS)
    models["architecture"] = models["architecture"].map(_plain_list)
    models["labels"] = models["labels"].map(_plain_list)
    return _of_ids(models, "model", ids)


def read_datasets(path, ids):
    """The metadata of the datasets that have a record."""
    datasets = pd.read_csv(path).rename(columns=_DATASET_COLUMNS)
    datasets["n_classes"] = datasets["dataset"].map(_N_CLASSES).fillna(datasets["n_classes"]).astype("int64")
    return _of_ids(datasets, "dataset", ids)


def _of_ids(table, key, ids):
    return table.set_index(key).reindex(ids).rename_axis(key).reset_index()


def read_measures(path):
    """The mean of each transferability measure for each pair; one column a measure."""
    rows = pd.read_csv(path, low_memory=False).dropna(subset=["model", "target_dataset", "metric", "score"])
    rows["metric"] = rows["metric"].map(_measure_name)
    keys = ["model", "target_dataset", "metric"]
    table = rows.groupby(keys)["score"].mean().unstack().rename_axis(columns=None)
    return table.reset_index().rename(columns={"target_dataset": "dataset"})


def _measure_name(name):
    """One spelling for a measure: ``TransferabilityMethod.LOG_ME``, ``LogME`` and ``LOGME`` are ``log_me``."""
    name = name.rpartition(".")[2]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return _MEASURE_NAMES.get(snake.replace("_", ""), snake)


def read_distances(paths):
    """One square table of distances from several; the first that has a value counts."""
    tables = [_read_square(path) for path in paths]
    names = list(dict.fromkeys(name for table in tables for name in table))
    return reduce(pd.DataFrame.combine_first, tables).loc[names, names]


def _read_square(path):
    table = pd.read_csv(path, index_col=0)
    table = table.rename(index=_plain_list, columns=_plain_list).rename_axis(index=None, columns=None)
    return table.drop(index=_TWICE, columns=_TWICE, errors="ignore")


def _plain_list(text):
    """``"['a', 'b']"`` as ``"a, b"``; other text as it is."""
    return ", ".join(ast.literal_eval(text)) if text.startswith("[") else text
