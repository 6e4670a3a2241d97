"""Bytes of the fitted state, of the files that hold it, and of training at its peak.

    OMP_NUM_THREADS=1 python benchmarks/speed/memory.py

The state is counted by its parts and compared with what joblib and `persistence.save` write. The peak is that of a
fresh process, less what it held before the fit with the libraries and the records in memory and a small fit behind it;
beside it stands what the formula in docs/scale.md says. Neither depends on how long is trained: there are three epochs,
and two steps of the regression's solver.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import joblib
import numpy as np
import pandas as pd
from machine import describe
from peak import growth_during

from skgat import TransferabilityGAT
from skgat.gat import kernel
from skgat.persistence import save

#: Models, datasets and records.
SIZES = {"small": (10, 270, 2_700), "middle": (500, 1_000, 85_000), "large": (10_000, 2_000, 1_000_000)}
#: What the peak is measured on; the first two are kept as tables.
PEAKS = [
    (10, 270, 2_700), (100, 1_000, 60_000), (500, 1_000, 85_000), (2_000, 1_000, 200_000), (8_000, 2_000, 200_000),
    (2_000, 1_000, 800_000),
]  # fmt: skip
N_FEATURES = 8
MIB = 2**20
#: Bytes: a pair in the table, a record in the lists, a node, each for each network; a record once; what does not grow.
TABLE, LISTS, NODES, ONCE, FIXED = 140, 170, 7_000, 250, 50 * MIB


def make_frame(n_models, n_datasets, n_records, seed=0):
    """Scores of distinct pairs with features of models and datasets."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(n_models * n_datasets, size=n_records, replace=False)
    ends = {"model": cells % n_models, "dataset": cells // n_models}
    columns = {
        f"{side}__{number}": rng.normal(size=codes.max() + 1)[codes]
        for side, codes in ends.items()
        for number in range(N_FEATURES)
    }
    return pd.DataFrame({**ends, "score": rng.normal(size=n_records), **columns})


def fit(frame, **params):
    """A fit of full size and little work."""
    with mock.patch.object(kernel, "_MOST_STEPS", 2):
        return TransferabilityGAT(max_iter=3, random_state=0, device="cpu", **params).fit(frame)


def work(shape, members):
    """What a fresh process does: MiB at the peak of a fit, and how many weights each network has."""
    frame, fitted = make_frame(*shape), []
    # What libraries load when they are first used is not memory of this fit.
    for small in (SIZES["small"], (300, 300, 2_000)):
        fit(make_frame(*small), n_estimators=members)
    grown = growth_during(lambda: fitted.append(fit(frame, n_estimators=members)))
    return grown, sum(array[0].size for array in fitted[0].network_.weights.values())


def bytes_of(values):
    """The bytes of arrays, however they are nested; of ids the bytes of their text."""
    if isinstance(values, dict):
        return sum(bytes_of(value) for value in values.values())
    if not isinstance(values, np.ndarray):
        return 0
    return sum(len(str(value)) for value in values) if values.dtype == object else values.nbytes


def state_of(fitted):
    """Bytes by part of what was learned."""
    network = fitted.network_
    parts = {
        "graph": vars(fitted.graph_),
        "states of the nodes": network.levels,
        "decoder terms": network.terms,
        "weights": network.weights,
        "regression": {name: vars(fitted.kernel_)[name] for name in ("terms", "attachments", "projections",
                                                                     "landmarks")},
        "trees": {case: vars(forest) for case, forest in (fitted.forest_ or {}).items()},
        "what trees say": {} if fitted.grove_ is None else vars(fitted.grove_),
    }  # fmt: skip
    return {name: bytes_of(arrays) for name, arrays in parts.items()}


def files_of(fitted):
    """Bytes of the files."""
    with tempfile.TemporaryDirectory() as folder:
        ours, joblibs = Path(folder) / "skgat", Path(folder) / "joblib"
        save(fitted, ours)
        joblib.dump(fitted, joblibs)
        return {"joblib.dump": joblibs.stat().st_size, "persistence.save": ours.stat().st_size}


def show_state(sizes):
    """Print the parts and the files of each size."""
    columns = {name: fit(make_frame(*shape)) for name, shape in sizes.items()}
    parts = {name: state_of(fitted) for name, fitted in columns.items()}
    files = {name: files_of(fitted) for name, fitted in columns.items()}
    print(f"{'MiB':44}" + "".join(f"{name:>12}" for name in sizes))
    for part in next(iter(parts.values())):
        print(f"{part:44}" + "".join(f"{parts[name][part] / MIB:12.3f}" for name in sizes))
    for file in next(iter(files.values())):
        print(f"{file:44}" + "".join(f"{files[name][file] / MIB:12.3f}" for name in sizes))
    for title, chosen in (("all parts", None), ("graph, states, weights", ("graph", "states of the nodes", "weights"))):
        wanted = {name: sum(parts[name][part] for part in chosen or parts[name]) for name in sizes}
        for file in next(iter(files.values())):
            ratios = "".join(f"{files[name][file] / wanted[name]:12.2f}" for name in sizes)
            print(f"{f'{file} / {title}':44}{ratios}")


def expected(n_models, n_datasets, n_records, n_parameters, members=4):
    """Bytes at the peak by the formula of docs/scale.md, at the default sizes of the network."""
    cells = n_models * n_datasets
    # As `choose_layout` has it.
    table = cells <= min(2**18, 4 * n_records + 2**14)
    on_pairs = TABLE * cells if table else LISTS * n_records
    return FIXED + ONCE * n_records + members * (on_pairs + NODES * (n_models + n_datasets) + 16 * n_parameters)


def show_peaks(peaks, members=4):
    """Print the peak of each fit and what the formula says."""
    print(f"{'models':>8}{'datasets':>10}{'records':>11}{'MiB at the peak':>17}{'by the formula':>16}")
    for shape in peaks:
        command = [sys.executable, __file__, "--work", json.dumps([shape, members])]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"A fit failed: {done.stderr[-2000:]}")
        grown, n_parameters = json.loads(done.stdout)
        said = expected(*shape, n_parameters, members) / MIB
        print("".join(f"{count:{width},}" for count, width in zip(shape, (8, 10, 11), strict=True)), end="")
        print(f"{grown:17.0f}{said:16.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work(*args.work)))
        return
    print(f"{describe()}; seed 0, four networks\n")
    show_state(SIZES)
    print()
    show_peaks(PEAKS)


if __name__ == "__main__":
    main()
