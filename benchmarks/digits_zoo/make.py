"""Make the bundled digits zoo: pre-train small networks, fine-tune each on every target task, write what was measured.

    OMP_NUM_THREADS=1 python benchmarks/digits_zoo/make.py [--work build/digits_zoo] [--output skgat/datasets/data]

Takes some minutes on one core. Everything is drawn from the seed in `digits_tasks.py`. Finished models are kept in the
work folder, under a digest of these scripts, and are not computed again. On one machine, with the same versions, the
files come out the same to the byte.
"""

import argparse
import hashlib
import os
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import sklearn
import torch
from digits_networks import ARCHITECTURES, Network, as_tensor
from digits_tasks import SEED, SOURCES, build_source, build_task, source_images, target_tasks
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

PRETRAIN_COPIES, PRETRAIN_EPOCHS, PRETRAIN_BATCH, PRETRAIN_RATE = 3, 40, 100, 3e-3
FINETUNE_STEPS, FINETUNE_RATE = 50, 2e-3


def model_specs():
    """Each architecture on three sources, in turn: ``(model, architecture, source, seed)``."""
    names = list(SOURCES)
    pairs = [(a, names[(i + step) % len(names)]) for i, a in enumerate(ARCHITECTURES) for step in (0, 3, 7)]
    return [
        (f"{architecture}.{source}", architecture, source, seed) for seed, (architecture, source) in enumerate(pairs)
    ]


def pretrain(architecture, source, seed):
    """The pre-trained network, and its accuracy on images of its source that it has not seen."""
    rng = np.random.default_rng([SEED, 4, seed])
    images, codes = _tensors(*build_source(source, "pretrain", PRETRAIN_COPIES, rng))
    torch.manual_seed(1000 * SEED + seed)
    network = Network(architecture, len(source.classes))
    optimizer = torch.optim.Adam(network.parameters(), lr=PRETRAIN_RATE)
    for _ in range(PRETRAIN_EPOCHS):
        for batch in torch.from_numpy(rng.permutation(len(images))).split(PRETRAIN_BATCH):
            _step(network, optimizer, images[batch], codes[batch])
    return network, _accuracy(network, *_tensors(*build_source(source, "pretrain_test", 1, rng)))


def _tensors(images, codes):
    return as_tensor(images), torch.from_numpy(codes).long()


def _step(network, optimizer, images, codes):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(images), codes).backward()
    optimizer.step()


@torch.no_grad()
def _accuracy(network, images, codes):
    return (network(images).argmax(1) == codes).double().mean().item()


def finetune(architecture, body, samples):
    """Test accuracy after training all layers, from the pre-trained body and a head of zeros, on full batches."""
    classes, codes = np.unique(samples.train_labels, return_inverse=True)
    network = Network(architecture, len(classes))
    network.body.load_state_dict(body)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    images, codes = _tensors(samples.train, codes)
    optimizer = torch.optim.Adam(network.parameters(), lr=FINETUNE_RATE)
    for _ in range(FINETUNE_STEPS):
        _step(network, optimizer, images, codes)
    return _accuracy(network, *_tensors(samples.test, np.searchsorted(classes, samples.test_labels)))


def retrain_head(train, test, samples):
    """Test accuracy of a logistic regression on the frozen, standardised features."""
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return head.fit(train, samples.train_labels).score(test, samples.test_labels)


@torch.no_grad()
def extract(network, images):
    """The features of some images, which are what the head gets."""
    return network.body(as_tensor(images)).numpy()


def measure(architecture, source, seed, targets):
    """All that is to be known of one model, as arrays; the accuracies have one entry a target task."""
    network, pretrain_accuracy = pretrain(architecture, source, seed)
    train = [extract(network, samples.train) for samples in targets]
    test = [extract(network, samples.test) for samples in targets]
    return {
        "features": np.concatenate(train).astype(np.float16),
        "source_head": torch.cat([network.head.weight.T, network.head.bias[None]]).detach().numpy(),
        "parameters": sum(values.numel() for values in network.parameters()),
        "pretrain_accuracy": pretrain_accuracy,
        "finetuned_accuracy": [finetune(architecture, network.body.state_dict(), samples) for samples in targets],
        "head_accuracy": [retrain_head(*each) for each in zip(train, test, targets, strict=True)],
    }


def _write(path, write):
    """Write the whole file or none of it."""
    unfinished = path.with_name(path.name + ".partial")
    with unfinished.open("wb") as file:
        write(file)
    os.replace(unfinished, path)


def _write_csv(path, rows):
    text = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    _write(path, lambda file: file.write(text.encode()))


def _listed(values):
    return ", ".join(map(str, values))


def model_row(name, architecture, source, result):
    """The metadata of a model."""
    return {
        "model": name,
        "architecture": architecture,
        "parameters": int(result["parameters"]),
        "n_features": ARCHITECTURES[architecture][1],
        "pretrain_task": source.task,
        "pretrain_classes": _listed(source.classes),
        "pretrain_images": len(source_images(source, "pretrain")),
        "pretrain_accuracy": float(result["pretrain_accuracy"]),
    }


def dataset_row(task, samples):
    """The metadata of a target task."""
    return {
        "dataset": task.name,
        "transformation": task.transformation,
        "classes": _listed(task.classes),
        "n_classes": len(task.classes),
        "n_samples": len(samples.train),
        "samples_per_class": task.samples_per_class,
        "label_noise": task.label_noise,
        "n_test": len(samples.test),
    }


def write_zoo(output, tasks, targets, specs, results):
    """Write the tables and the arrays that the package carries."""
    records, models = [], []
    arrays = {"labels": np.concatenate([samples.train_labels for samples in targets]).astype(np.int8)}
    for (name, architecture, source, _), result in zip(specs, results, strict=True):
        columns = {"finetuned": result["finetuned_accuracy"], "head": result["head_accuracy"]}
        records.append(pd.DataFrame({"model": name, "dataset": [task.name for task in tasks], **columns}))
        models.append(model_row(name, architecture, SOURCES[source], result))
        arrays[f"features/{name}"] = result["features"]
        arrays[f"source_head/{name}"] = result["source_head"]
    _write_csv(output / "digits_zoo_records.csv", pd.concat(records))
    _write_csv(output / "digits_zoo_models.csv", models)
    _write_csv(output / "digits_zoo_datasets.csv", map(dataset_row, tasks, targets))
    _write(output / "digits_zoo_arrays.npz", lambda file: np.savez_compressed(file, **arrays))


def _digest():
    """What changes whenever one of the scripts does."""
    scripts = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(script.read_bytes() for script in scripts)).hexdigest()[:12]


def _measured(work, spec, targets):
    """What was measured of a model: from the work folder if it is there."""
    name, architecture, source, seed = spec
    path = work / f"{name}.npz"
    if not path.exists():
        result = measure(architecture, SOURCES[source], seed, targets)
        _write(path, lambda file: np.savez_compressed(file, **result))
    with np.load(path) as file:
        return dict(file)


def main(argv=None):
    """Measure every model that the work folder lacks, then write the zoo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/digits_zoo"))
    parser.add_argument("--output", type=Path, default=Path("skgat/datasets/data"))
    args = parser.parse_args(argv)
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"scikit-learn {sklearn.__version__}, torch {torch.__version__}; {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} CPUs, {torch.get_num_threads()} thread(s); seed {SEED}"
    )
    work = args.work / _digest()
    for folder in (work, args.output):
        folder.mkdir(parents=True, exist_ok=True)
    tasks, specs = target_tasks(), model_specs()
    targets = [build_task(task) for task in tasks]
    started, results = time.perf_counter(), []
    for spec in specs:
        results.append(_measured(work, spec, targets))
        accuracies = {key: results[-1][f"{key}_accuracy"].mean() for key in ("pretrain", "finetuned", "head")}
        listed = ", ".join(f"{key} {value:.3f}" for key, value in accuracies.items())
        print(f"{time.perf_counter() - started:6.0f} s  {spec[0]:26} accuracy: {listed}", flush=True)
    write_zoo(args.output, tasks, targets, specs, results)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    main()
