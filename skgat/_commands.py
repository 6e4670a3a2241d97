"""The commands of ``skgat``: reading tables, calling the library, printing."""

__all__ = ["demo", "evaluate", "fit", "recommend", "report"]

import ast
import errno
import gzip
import json
import os
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline

from . import model_selection, persistence
from ._columns import counts_rows
from ._files import is_special
from ._fitted import as_ids, inspect_recommender
from .baselines import BiasRegressor
from .datasets import load_vision_zoo
from .encoder import MetadataEncoder
from .gat import TransferabilityGAT
from .metrics import ranking_scorer, top_k_regret, weighted_kendall
from .recommend import recommend as rank
from .records import make_records
from .report import write_report
from .report._figures import Scale

#: Of the models for each dataset, where the caller does not say how many.
_MOST_SHOWN = 5


def demo(args):
    """Hold one dataset of the bundled zoo out, rank its models and print them beside the truth."""
    zoo = load_vision_zoo()
    known = zoo.datasets["dataset"].tolist()
    if args.dataset not in known:
        raise ValueError(f"Got --dataset {args.dataset}, but expected one of {', '.join(known)}.")
    held_out = zoo.records["dataset"] == args.dataset
    history, truth = zoo.records[~held_out], zoo.records[held_out].set_index("model")["score"]
    new = zoo.datasets[zoo.datasets["dataset"] == args.dataset]
    print(f"Learning from {len(history)} results of {truth.size} models on {len(known) - 1} datasets ...")
    started = time.perf_counter()
    pipeline = _pipeline(seed=args.seed).fit(history)
    ranking = rank(pipeline, new, k=None)
    baseline = rank(BiasRegressor().fit(history), args.dataset, k=None)
    print(f"Ranked for {args.dataset!r}, which it has not seen ({time.perf_counter() - started:.1f} s):\n")
    true_rank = truth.rank(ascending=False, method="min").astype(int)
    table = pd.DataFrame(
        {
            "rank": ranking["rank"],
            "model": ranking["model"],
            "predicted": ranking["score"],
            "std": ranking["std"],
            "true score": ranking["model"].map(truth),
            "true rank": ranking["model"].map(true_rank),
        }
    )
    print(_text(table))
    print()
    print(_text(_demo_quality(truth, {"TransferabilityGAT": ranking, "additive baseline": baseline})))


def _demo_quality(truth, rankings):
    rows = []
    for name, ranking in rankings.items():
        pair = ranking["model"].map(truth), ranking["score"]
        groups = ranking["dataset"]
        quality = {
            "weighted Kendall": weighted_kendall(*pair, groups=groups),
            "top-1 regret": top_k_regret(*pair, groups=groups, k=1),
        }
        rows.append({"": name, **quality})
    return pd.DataFrame(rows)


def fit(args):
    """Fit the default pipeline on a table of records and save it."""
    _check_folder(args.output)
    records = _read_records(args)
    started = time.perf_counter()
    pipeline = _pipeline(args).fit(records)
    persistence.save(pipeline, args.output)
    n_models, n_datasets = (records[column].nunique() for column in (args.model_column, args.dataset_column))
    print(
        f"Saved {args.output}: {n_models} models, {n_datasets} datasets, {len(records)} records, fitted in "
        f"{time.perf_counter() - started:.1f} s."
    )


def _check_folder(output):
    """Refuse what cannot be written to before the work begins, not after it."""
    if not output:
        raise ValueError("Got --output '', but expected the name of a file.")
    if Path(output).is_dir():
        raise ValueError(f"Got --output {output}, but that is a folder; expected the name of a file.")
    if is_special(output):
        raise ValueError(f"Got --output {output}, but expected a regular file, not a device, a pipe or a socket.")
    folder = Path(output).resolve().parent
    if not folder.is_dir():
        raise ValueError(f"Got --output {output}, but there is no folder {str(folder)!r}.")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"Got --output {output}, but the folder {str(folder)!r} cannot be written to.")


def recommend(args):
    """Rank models for datasets with a saved recommender."""
    recommender = persistence.load(args.file)
    knowledge = inspect_recommender(recommender)
    models = None if args.models is None else _read_known(args.models, knowledge)
    ranking = rank(
        recommender,
        _datasets(args.dataset, knowledge),
        models,
        k=_at_most(_MOST_SHOWN, models, knowledge) if args.k is None else args.k,
        strategy=args.strategy,
        exploration=args.exploration,
        exclude_known=args.exclude_known,
        context=None if args.context is None else _read_known(args.context, knowledge),
        random_state=args.seed,
    )
    if args.json:
        print(json.dumps(json.loads(ranking.to_json(orient="records", double_precision=15)), indent=2))
    elif ranking.empty:
        print("Nothing is left to recommend: the scores of all candidates are known.")
    else:
        print(_text(ranking))


def _at_most(k, models, knowledge):
    """How many models to show where nobody said how many; None, all of them, where nobody knows how many there are."""
    candidates = knowledge.ids["model"] if models is None else models
    return None if candidates is None else min(k, len(candidates)) or None


def report(args):
    """Write a page about the models for a dataset."""
    _check_folder(args.output)
    recommender = persistence.load(args.file)
    knowledge = inspect_recommender(recommender)
    path = write_report(
        recommender,
        _datasets(args.dataset, knowledge),
        args.output,
        models=None if args.models is None else _read_known(args.models, knowledge),
        k=args.k,
    )
    print(f"Wrote {path} ({path.stat().st_size / 1e3:,.0f} kB).")


def evaluate(args):
    """Cross-validate the default pipeline and the additive baseline."""
    records = _read_records(args)
    metrics = list(dict.fromkeys(args.metrics or ["weighted_kendall"]))
    names = {"dataset": args.dataset_column, "target": args.target}
    scoring = {metric: ranking_scorer(metric, **names) for metric in metrics}
    contestants = {"gat": _pipeline(args)}
    if args.baseline:
        contestants["additive"] = BiasRegressor(model=args.model_column, **names)
    splitter = _splitter(args)
    started = time.perf_counter()
    folds = {}
    for name, estimator in contestants.items():
        results = cross_validate(estimator, records, cv=splitter, scoring=scoring, error_score="raise")
        # A scorer gives losses a minus sign; a reader wants them as they are.
        folds[name] = {m: results[f"test_{m}"] * (-1 if m == "top_k_regret" else 1) for m in metrics}
    n_folds = len(results["fit_time"])
    print(
        f"{args.cv}, {n_folds} folds of {len(records)} records, gat = TransferabilityGAT "
        f"({time.perf_counter() - started:.1f} s)\n"
    )
    print(_text(_summary(folds, metrics, digits=4)))
    print("\nper fold:\n")
    columns = {f"{m} {name}": values[m] for m in metrics for name, values in folds.items()}
    print(_text(pd.DataFrame({"fold": range(1, n_folds + 1), **columns}), digits=4))


def _summary(folds, metrics, digits):
    rows = []
    for metric in metrics:
        row = {}
        for name, values in folds.items():
            defined = values[metric][~np.isnan(values[metric])]
            row[f"{name} mean"] = defined.mean() if len(defined) else np.nan
            row[f"{name} se"] = defined.std(ddof=1) / np.sqrt(len(defined)) if len(defined) > 1 else np.nan
        # Every metric has a unit of its own.
        cells = _cells(row.values(), _decimals([*row.values()], digits))
        rows.append({"metric": metric, **dict(zip(row, cells, strict=True))})
    return pd.DataFrame(rows)


def _splitter(args):
    columns = {"model": args.model_column, "dataset": args.dataset_column}
    if args.cv == "leave-datasets-out":
        return model_selection.LeaveDatasetsOut(args.folds, dataset=args.dataset_column)
    if args.cv == "leave-models-out":
        return model_selection.LeaveModelsOut(args.folds, model=args.model_column)
    if args.cv == "leave-both-out":
        return model_selection.LeaveBothOut(args.folds, **columns)
    return model_selection.MissingEdges(n_splits=args.folds, random_state=args.seed, **columns)


def _pipeline(args=None, seed=0):
    names, settings = {}, []
    if args is not None:
        names = {"model": args.model_column, "dataset": args.dataset_column, "target": args.target}
        settings, seed = args.settings, args.seed
    steps = [("encode", MetadataEncoder(**names)), ("gat", TransferabilityGAT(random_state=seed, **names))]
    pipeline = Pipeline(steps)
    for text in settings:
        name, value = _setting(text)
        try:
            pipeline.set_params(**{name: value})
        except AttributeError as error:
            # What stands before the name is an argument, not a step: it has no arguments of its own.
            raise ValueError(f"Got --set {text}, but {text.partition('=')[0]} is no argument of a step.") from error
    return pipeline


def _setting(text):
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise ValueError(f"Got --set {text}, but expected STEP.NAME=VALUE, such as gat.hidden_dim=32.")
    return name.replace(".", "__", 1), _literal(value)


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        # The last two are what Python says of text that is nested too deep.
        return text


def _read_records(args):
    ids = [args.model_column, args.dataset_column]
    scores = _read_table(args.records, ids, keyed=True)
    if args.model_column in scores.columns:
        # In a wide table without this column, what counts the rows may be the ids of the models.
        scores = _without_counters(scores)
    tables = {role: getattr(args, role) for role in ("models", "datasets", "pairs")}
    tables = {role: _without_counters(_read_table(path, ids)) for role, path in tables.items() if path is not None}
    if not tables and set(ids) <= set(scores.columns):
        return scores
    wide = args.dataset_column not in scores.columns and args.target not in scores.columns
    if wide and args.model_column not in scores.columns and len(scores.columns) and _only_counts(scores.index):
        scores = scores.rename(columns={scores.columns[0]: args.model_column})
    for column in ids:
        # The names of the columns of a wide table are text, whatever a column of the same ids is read as.
        held = as_ids(scores[column]) if column in scores.columns else scores.columns if wide else []
        for table in tables.values():
            _match_ids(table, column, held)
    return make_records(scores, **tables, model=args.model_column, dataset=args.dataset_column, target=args.target)


def _only_counts(index):
    # Parquet keeps the index of a pandas frame; no other table has one.
    return isinstance(index, pd.RangeIndex) and index.name is None


def _without_counters(frame):
    """Leave out the numbers of rows, which pandas writes into a file unless told otherwise.

    They describe nothing, and where the rows were sorted by score they would tell it.
    """
    return frame.drop(columns=[column for column in frame.columns if counts_rows(column, frame[column])])


def _read_table(path, ids, keyed=False):
    """A table whose columns named ``ids`` hold ids; ``keyed``: with none of them, the first column does."""
    name = str(path).lower()
    if name.endswith((".csv", ".csv.gz")):
        return _read_text(path, "comma", ",", ids, keyed)
    if name.endswith(".tsv"):
        return _read_text(path, "tab", "\t", ids, keyed)
    if name.endswith((".parquet", ".pq")):
        try:
            return pd.read_parquet(path)
        except ImportError as error:
            raise ValueError(
                f"Reading {str(path)!r} needs pyarrow; install it with: pip install 'skgat[arrow]'."
            ) from error
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
        except (ValueError, OSError) as error:
            raise ValueError(f"Got {path}, but expected a Parquet file ({error}).") from error
    raise ValueError(f"Got the table {str(path)!r}, but expected a file that ends in .csv, .csv.gz, .tsv or .parquet.")


def _read_text(path, separator, sign, ids, keyed):
    try:
        names = pd.read_csv(path, sep=sign, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0]
        _check_names(path, names)
        held = [name for name in ids if name in set(names)] or ([names[0] or "Unnamed: 0"] if keyed else [])
        table = pd.read_csv(path, sep=sign, dtype=dict.fromkeys(held, str))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{str(path)!r} is damaged or cut off ({error}).") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"Got {path}, but expected text in UTF-8 ({error}).") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"Got {path}, but expected a header with the names of the columns ({error}).") from error
    except pd.errors.ParserError as error:
        told = str(error).strip()
        raise ValueError(f"Got {path}, but expected cells with a {separator} between them ({told}).") from error
    header = str(table.columns[0])
    if table.shape[1] == 1 and any(other in header for other in {",", ";", "\t"} - {sign}):
        raise ValueError(f"Got {path} with the only column {header!r}, but expected a {separator} between columns.")
    return table.assign(**{name: _plain_ids(table[name]) for name in held if name in table})


def _check_names(path, names):
    """Refuse a name that stands twice in a header, where pandas would make up another for the second."""
    twice = names[names.duplicated() & (names != "")]
    if len(twice):
        raise ValueError(f"Got {path} with several columns {twice.iloc[0]!r}, but expected a name to stand once.")


def _plain_ids(texts):
    """Ids as numbers if these look as they are written in the file: 001 and 1 are two models, so are 1.10 and 1.1."""
    texts = texts.str.strip()
    try:
        numbers = pd.to_numeric(texts)
    except (ValueError, TypeError):
        return texts
    return numbers if (numbers.astype(str) == texts).all() else texts


def _datasets(text, knowledge):
    if Path(text).suffix.lower() in (".csv", ".gz", ".tsv", ".parquet", ".pq"):
        return _read_known(text, knowledge)
    known = _known_by_text("dataset", knowledge)
    if not known:
        raise ValueError(
            f"Got --dataset {text}, but what was saved knows no dataset by its id; expected a table (.csv or .parquet)."
        )
    if text not in known:
        shown = ", ".join(list(known)[:10]) + (", ..." if len(known) > 10 else "")
        raise ValueError(f"Got --dataset {text}, but expected a table (.csv or .parquet) or a known dataset: {shown}.")
    return known[text]


def _known_by_text(role, knowledge):
    """The known ids by what they look like; none where no step of the recommender tells them."""
    ids = knowledge.ids[role]
    return _by_text([] if ids is None else ids)


def _by_text(ids):
    return {str(id_): id_ for id_ in ids}


def _match_ids(frame, column, ids):
    """Replace in place what looks like one of the ids by that id: what a file alone makes of them may differ."""
    if column in frame.columns:
        known = _by_text(ids)
        frame[column] = [known.get(str(id_), id_) for id_ in as_ids(frame[column])]


def _read_known(path, knowledge):
    """A table in which the ids have the types they had in fit, whatever this file alone makes of them."""
    frame = _without_counters(_read_table(path, [knowledge.names[role] for role in ("model", "dataset")]))
    for role in ("model", "dataset"):
        _match_ids(frame, knowledge.names[role], _known_by_text(role, knowledge).values())
    return frame


def _text(table, digits=3):
    table = table.copy()
    decimals = digits
    for name in table.columns:
        if pd.api.types.is_float_dtype(table[name]):
            # An error needs no more decimals than what it is the error of.
            decimals = decimals if name == "std" else _decimals(table[name], digits)
            table[name] = _cells(table[name], decimals)
    return table.to_string(index=False, na_rep="-")


def _decimals(values, digits):
    """So many as were asked for, unless the values differ by less than these can tell, or are less."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size or (np.ptp(values) or abs(values[0])) >= 10.0**-digits:
        return digits
    return max(digits, Scale.of(values).decimals)


def _cells(values, decimals):
    return ["-" if np.isnan(value) else f"{value:.{decimals}f}" for value in values]
