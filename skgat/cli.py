"""The command ``skgat``: reading the arguments, and turning what goes wrong into one line."""

__all__ = ["build_parser", "main"]

import argparse
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager, suppress

#: What ``--cv`` and ``--metric`` take. Written out so that ``--help`` needs no library.
SPLITTERS = ("leave-datasets-out", "leave-models-out", "leave-both-out", "missing-edges")
METRICS = (
    "pearson",
    "spearman",
    "kendall",
    "weighted_kendall",
    "ndcg",
    "top_k_recall",
    "top_k_regret",
    "relative_accuracy",
)

_INTERRUPTED = 130
_BROKEN_PIPE = 141
_TERMINATED = 143

_EPILOG = """\
examples:
  skgat demo                                        see it work on the bundled zoo
  skgat fit records.csv -o zoo.skgat                learn from your history
  skgat recommend zoo.skgat --dataset new.csv -k 5  rank the models for a new dataset
  skgat report zoo.skgat --dataset new.csv -o report.html
                                                    the same and the reasons, as one page to read and pass on
  skgat evaluate records.csv --metric weighted_kendall --metric top_k_regret
                                                    see how good it is on datasets it has not seen

A record is one fine-tuning result: a row with the columns model, dataset and score. Columns beside them are metadata:
model__parameters describes the model, dataset__size the dataset, pair__logme the pair; without such a prefix skgat
finds out itself. Tables are CSV (.csv, .csv.gz, .tsv) or Parquet (.parquet).
"""

_FIT_EPILOG = """\
examples:
  skgat fit records.csv -o zoo.skgat
  skgat fit scores.csv --models models.csv --datasets datasets.csv -o zoo.skgat
  skgat fit runs.parquet --model-column arch --dataset-column task --target accuracy -o zoo.skgat
  skgat fit records.csv -o zoo.skgat --set gat.hidden_dim=32 --set encode.max_components=8

The scores may also be a wide table: one row a model, one column a dataset, empty cells for what was not run. The models
are in the column model, else in the first one.
"""

_RECOMMEND_EPILOG = """\
examples:
  skgat recommend zoo.skgat --dataset pets
  skgat recommend zoo.skgat --dataset new.csv -k 10 --json
  skgat recommend zoo.skgat --dataset new.csv --context few.csv --strategy ucb --exclude-known

new.csv has one row a dataset: its id in the column that was called so in fit, and the columns that describe it, named
as in fit or without "dataset__". few.csv holds a few results on these datasets; the saved file stays as it is.
"""

_REPORT_EPILOG = """\
examples:
  skgat report zoo.skgat --dataset new.csv -o report.html
  skgat report zoo.skgat --dataset pets -o pets.html -k 3

One page with everything in it, for any browser, without a network: the ranking with intervals, sortable and
searchable, the past results and the metadata behind the first models, the nearest datasets, and the history around
them. new.csv has one row, the dataset; see skgat recommend --help.
"""

_EVALUATE_EPILOG = """\
examples:
  skgat evaluate records.csv --cv leave-datasets-out --metric weighted_kendall
  skgat evaluate records.csv --cv missing-edges --folds 10 --metric pearson --metric top_k_regret

Metrics are means over datasets, then over folds; higher is better but for top_k_regret. The additive baseline gives
every dataset the same ranking: what is not above it has learned no interaction.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser():
    """The parser of the command line.

    Returns
    -------
    argparse.ArgumentParser
    """
    parser = _Parser(
        prog="skgat",
        description="Which pre-trained models to fine-tune on a dataset, from the history of which did well where.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_demo(commands)
    _add_fit(commands)
    _add_recommend(commands)
    _add_report(commands)
    _add_evaluate(commands)
    return parser


def _version():
    from . import __version__

    return __version__


def _add_command(commands, name, summary, epilog=None):
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_demo(commands):
    command = _add_command(commands, "demo", "rank the bundled models for a held-out dataset, beside the truth")
    command.add_argument("--dataset", default="pets", help="the dataset to hold out (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="seed of the training (default: %(default)s)")


def _add_fit(commands):
    command = _add_command(commands, "fit", "learn from records and save the recommender", _FIT_EPILOG)
    _add_records(command)
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="where to save the recommender")


def _add_records(command):
    command.add_argument("records", metavar="RECORDS", help="table of results")
    for role in ("models", "datasets", "pairs"):
        command.add_argument(f"--{role}", metavar="TABLE", help=f"table of metadata of the {role}, keyed by id")
    for option, role, default in (
        ("--model-column", "model ids", "model"),
        ("--dataset-column", "dataset ids", "dataset"),
        ("--target", "scores", "score"),
    ):
        command.add_argument(option, metavar="NAME", default=default, help=f"column of the {role} (default: {default})")
    command.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="STEP.NAME=VALUE",
        help="an argument of a step, gat or encode, such as gat.hidden_dim=32; may be repeated",
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the training (default: %(default)s)")


def _add_recommend(commands):
    command = _add_command(commands, "recommend", "rank models with a saved recommender", _RECOMMEND_EPILOG)
    command.add_argument("file", metavar="FILE", help="what `skgat fit` saved")
    command.add_argument("--dataset", required=True, metavar="TABLE|ID", help="metadata of datasets, or a known id")
    command.add_argument("--models", metavar="TABLE", help="metadata of the candidates (default: all known models)")
    command.add_argument("-k", type=int, help="how many models for each dataset (default: 5, or all of fewer)")
    command.add_argument("--strategy", choices=("mean", "ucb", "thompson"), default="mean", help="what to rank by")
    command.add_argument("--exclude-known", action="store_true", help="leave out pairs whose score is known")
    command.add_argument("--context", metavar="TABLE", help="a few results on the datasets, to rank with")
    command.add_argument(
        "--exploration",
        type=float,
        default=1.0,
        help="standard deviations, relative to other models, that --strategy ucb adds (default: %(default)s)",
    )
    command.add_argument("--seed", type=int, default=0, help="seed of --strategy thompson (default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print a JSON list with one object a row")


def _add_report(commands):
    command = _add_command(commands, "report", "write a page about the models for a dataset", _REPORT_EPILOG)
    command.add_argument("file", metavar="FILE", help="what `skgat fit` saved")
    command.add_argument("--dataset", required=True, metavar="TABLE|ID", help="metadata of one dataset, or a known id")
    command.add_argument("--models", metavar="TABLE", help="metadata of the candidates (default: all known models)")
    command.add_argument("-o", "--output", required=True, metavar="PAGE", help="where to write the page")
    command.add_argument("-k", type=int, default=5, help="how many models to give reasons for (default: %(default)s)")


def _add_evaluate(commands):
    command = _add_command(commands, "evaluate", "cross-validate on records", _EVALUATE_EPILOG)
    _add_records(command)
    command.add_argument(
        "--cv", choices=SPLITTERS, default=SPLITTERS[0], help="what to hold out (default: %(default)s)"
    )
    command.add_argument(
        "--metric",
        dest="metrics",
        action="append",
        choices=METRICS,
        help="may be repeated (default: weighted_kendall)",
    )
    command.add_argument("--folds", type=int, default=5, help="number of splits (default: %(default)s)")
    command.add_argument(
        "--baseline",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="evaluate the additive baseline beside it (default: yes)",
    )


def main(argv=None):
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    status : int
        0, 2 for bad arguments or input and whatever else went wrong, 130 when interrupted, 143 when terminated.
    """
    args = build_parser().parse_args(argv)
    try:
        with _termination_raises(), _any_letter_prints(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            _run(args)
            if sys.stdout is not None:  # closed by whoever started the command, who wants no output
                sys.stdout.flush()
    except KeyboardInterrupt:
        print("skgat: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except _Terminated:
        print("skgat: terminated", file=sys.stderr)
        return _TERMINATED
    except BrokenPipeError:
        # Whoever read the output has left; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except MemoryError as error:
        print(f"skgat {args.command}: error: out of memory: {_one_line(error) or 'nothing is left'}", file=sys.stderr)
        return 2
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"skgat {args.command}: error: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


class _Terminated(BaseException):
    """The process was asked to end."""


@contextmanager
def _termination_raises():
    """Let SIGTERM unwind the stack, so that what is under way cleans up after itself."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may say what signals do.
        yield
        return

    def end(number, frame):
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _any_letter_prints():
    """Let ids print with escapes where the encoding of the output has no letters for them."""
    stream = sys.stdout
    errors = getattr(stream, "errors", None)
    # Any other way of handling them was chosen by somebody.
    if errors not in ("strict", "surrogateescape") or not hasattr(stream, "reconfigure"):
        yield
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        # It flushes, and whoever reads may have left; that is no news, or the next who writes hears of it.
        with suppress(OSError):
            stream.reconfigure(errors=errors)


def _run(args):
    from . import _commands

    getattr(_commands, args.command)(args)


def _one_line(message):
    return " ".join(str(message).split())


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"skgat: warning: {_one_line(message)}", file=sys.stderr)
