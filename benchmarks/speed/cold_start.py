"""Seconds from a fresh process to an answer: imports, fits, the command line, loading a recommender and predicting.

python benchmarks/speed/cold_start.py

Every line is a process of its own, the median of a few: seconds on the clock, seconds of the processor (which a busy
machine lengthens less), and whether that process had loaded torch. The first lines are what the libraries themselves
take.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
from machine import describe
from sklearn.pipeline import make_pipeline

import skgat
from skgat import MetadataEncoder, TransferabilityGAT, persistence
from skgat.datasets import load_vision_zoo

_COMMAND = "from skgat.cli import main\ntry:\n    main({argv!r})\nexcept SystemExit as end:\n    assert not end.code\n"
_FIT = (
    "from skgat import MetadataEncoder, TransferabilityGAT\nfrom skgat.datasets import load_vision_zoo\n"
    "records = MetadataEncoder().fit_transform(load_vision_zoo().records)\nTransferabilityGAT(max_iter={}).fit(records)"
)
_PREDICT = "import pandas\nrows = pandas.read_csv('rows.csv')\nit = {load}\nit.predict(rows)\n"

CASES = {
    "python": "pass",
    "import numpy": "import numpy",
    "import pandas, sklearn.base": "import pandas, sklearn.base",
    "import torch": "import torch",
    "import skgat": "import skgat",
    "from skgat import TransferabilityGAT": "from skgat import TransferabilityGAT",
    "one epoch on the vision zoo": _FIT.format(1),
    "the default fit on the vision zoo": _FIT.format(200),
    "skgat --help": _COMMAND.format(argv=["--help"]),
    "skgat recommend, a known dataset": _COMMAND.format(argv=["recommend", "it.skgat", "--dataset", "pets"]),
    "skgat recommend, a new dataset": _COMMAND.format(argv=["recommend", "it.skgat", "--dataset", "new.csv"]),
    "joblib.load and predict": _PREDICT.format(load="__import__('joblib').load('it.joblib')"),
    "persistence.load and predict": _PREDICT.format(
        load="__import__('skgat.persistence', fromlist=['load']).load('it.skgat')"
    ),
}


def make_files(folder):
    """A saved recommender in both forms, rows to predict, and a dataset that it has not seen."""
    zoo = load_vision_zoo()
    gat = TransferabilityGAT(max_iter=20, random_state=0)
    pipeline = make_pipeline(MetadataEncoder(), gat).fit(zoo.records)
    joblib.dump(pipeline, folder / "it.joblib")
    persistence.save(pipeline, folder / "it.skgat")
    zoo.records.drop(columns="score").to_csv(folder / "rows.csv", index=False)
    zoo.datasets[zoo.datasets["dataset"] == "pets"].assign(dataset="new").to_csv(folder / "new.csv", index=False)


def run(code, folder):
    """Seconds on the clock and of the processor that a process takes to run the code, and whether it loaded torch."""
    code += "\nimport sys\nprint('torch' in sys.modules, file=sys.stderr)\n"
    environment = os.environ | {"PYTHONPATH": str(Path(skgat.__file__).parent.parent)}
    start, used = time.perf_counter(), processor_seconds()
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr)
    return seconds, processor_seconds() - used, done.stderr.split()[-1] == "True"


def processor_seconds():
    """What the processes that have ended took of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(f"{describe()}; median of {repeats} processes\n")
    print(f"{'':40}{'seconds':>9}{'CPU':>7}{'torch':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        for told, code in CASES.items():
            runs = [run(code, folder) for _ in range(repeats)]
            seconds, used = (statistics.median(column) for column in list(zip(*runs, strict=True))[:2])
            print(f"{told:40}{seconds:9.2f}{used:7.2f}{'loaded' if runs[0][2] else 'no':>8}")


if __name__ == "__main__":
    main()
