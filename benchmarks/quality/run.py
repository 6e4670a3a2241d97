"""How good the recommendations are, against every baseline: runs what is missing, then writes the tables.

    python benchmarks/quality/run.py [--jobs 4] [--ablations]
    python benchmarks/quality/run.py --only vision/lodo --only 'domainnet/edges/bias*' --splits 1
    python benchmarks/quality/run.py --no-run --report docs/benchmarks.md

Every contestant on every split is one small file in the folder of results, so a run can be stopped and taken up again;
a result is taken anew when the arguments, the code or the data behind it change. ``--only MATRIX/SCENARIO/CONTESTANT``
takes shell patterns, and later parts may be left out. The report holds whatever results there are; with ``--only`` it
is written only where ``--report`` says so. The files of DomainNet and TransferGraph are downloaded once.
"""

import argparse
import os
import sys
import time
from fnmatch import fnmatchcase

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy: contestants are timed on one thread each, and run beside each other

from joblib import Parallel, delayed  # noqa: E402
from quality_board import Board  # noqa: E402
from quality_contestants import ABLATION_SPLITS, CONTESTANTS, ablations, available  # noqa: E402
from quality_report import write  # noqa: E402
from quality_sources import ROOT  # noqa: E402
from quality_splits import SCENARIOS, load_matrix, splits_of  # noqa: E402
from quality_store import Job, Store, run_job  # noqa: E402


def parse(argv):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the downloaded matrices; by default that of skgat.datasets")
    parser.add_argument("--out", default=str(ROOT / "build" / "quality"), help="folder of the results")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="MATRIX/SCENARIO/CONTESTANT; repeatable")
    parser.add_argument("--splits", type=int, metavar="N", help="only the first N splits of each scenario")
    parser.add_argument("--ablations", action="store_true", help="also the default with one thing changed at a time")
    parser.add_argument("--report", metavar="PATH", help="where to write the tables; docs/benchmarks.md without --only")
    parser.add_argument("--no-run", action="store_true", help="write the report from the results that are there")
    args = parser.parse_args(argv)
    if args.report is None and args.only is None and args.splits is None:
        args.report = str(ROOT / "docs" / "benchmarks.md")
    return args


def wanted(patterns, *parts):
    """Tell whether a matrix, or a matrix and a scenario, or all three parts fit one of the patterns."""
    if patterns is None:
        return True
    return any(
        all(fnmatchcase(part, pattern) for part, pattern in zip(parts, given.split("/"), strict=False))
        for given in patterns
    )


def jobs_of(args):
    """Everything that is asked for, split by split, so that what is there of a split can be compared."""
    for name, scenario in SCENARIOS.items():
        for matrix in scenario.matrices:
            if wanted(args.only, matrix, name):
                yield from _jobs_at(args, matrix, name)


def _jobs_at(args, matrix, scenario):
    records = load_matrix(matrix, args.data).records
    names = [
        name
        for name, contestant in CONTESTANTS.items()
        if available(contestant, records) and wanted(args.only, matrix, scenario, name)
    ]
    most = {(of_matrix, of_scenario): n for of_matrix, of_scenario, n in ABLATION_SPLITS}.get((matrix, scenario), 0)
    changed = [name for name in ablations() if wanted(args.only, matrix, scenario, name)] if args.ablations else []
    for number in range(len(splits_of(matrix, scenario, args.data)))[: args.splits]:
        yield from (Job(matrix, scenario, number, name) for name in names)
        if number < most:
            yield from (Job(matrix, scenario, number, name) for name in changed)


def run(args, store):
    """Run what is missing; returns the number of failures."""
    pending = [job for job in jobs_of(args) if store.read(job) is None]
    print(f"{len(pending)} results to take", file=sys.stderr, flush=True)
    started = time.perf_counter()
    failures = 0
    results = Parallel(n_jobs=args.jobs, return_as="generator_unordered")(
        delayed(_run_one)(job, store) for job in pending
    )
    for number, (job, error) in enumerate(results, start=1):
        failures += error is not None
        place = f"{job.matrix}/{job.scenario}/{job.contestant}/{job.split}"
        minutes = (time.perf_counter() - started) / 60.0
        said = f"[{number}/{len(pending)}, {minutes:.1f} min] {place}{'' if error is None else f' FAILED: {error}'}"
        print(said, file=sys.stderr, flush=True)
    return failures


def _run_one(job, store):
    return job, run_job(job, store)


def main(argv=None):
    """Run and report; the exit status is 1 if a contestant failed."""
    args = parse(argv)
    store = Store(args.out, args.data)
    failures = 0 if args.no_run else run(args, store)
    if args.report:
        write(Board(store), args.report)
        print(f"written: {args.report}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
