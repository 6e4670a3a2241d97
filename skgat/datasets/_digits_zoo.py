"""The bundled digits zoo: 30 small networks on 60 tasks, with the features that training-free measures need."""

__all__ = ["load_digits_zoo"]

from importlib.resources import files

import numpy as np
import pandas as pd
from scipy.special import softmax

from ._bunch import make_bunch

_DESCR = """\
Digits zoo: 30 small pre-trained networks, each fine-tuned on 60 tasks made from handwritten digits
---------------------------------------------------------------------------------------------------

:Records: 1,800, one for each pair (no missing pair)
:Models: 30 (10 architectures, each pre-trained on 3 of 10 source tasks)
:Datasets: 60 (15 transformations of the images, 4 tasks of each)
:Score: accuracy on held-out test images after fine-tuning all layers, from 0 to 1

Every figure was measured by `benchmarks/digits_zoo/make.py` in the source repository, which makes all files of this
zoo anew from its seed (0), here with Python 3.11.7, numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1 and torch 2.13.0 on
an x86-64 CPU with one thread. With the same versions on the same machine they come out the same to the byte; elsewhere
the tasks and their labels are the same, and accuracies differ by rounding that training amplifies.

Images. The 1,797 digits of 8 x 8 pixels of :func:`sklearn.datasets.load_digits`, split once, at random, into four
pools that share no image: 500 to pre-train, 150 for the pre-training accuracy, 350 to train on target tasks, and 797
to test on them. Tasks share the images of their pool, in other samples and under other transformations.

Source tasks. The ten digits upright, rotated by any angle, inverted, noised, scrambled (one fixed order of the pixels),
shifted by up to 2 pixels, or mixed (each image upright, rotated, inverted, noised or shifted); the digits 0 to 4 alone;
the ten digits with 60 images; and the orientation of the image (one of four) in place of the digit. Each image is there
three times, each time transformed by another random draw (for the orientation: once in each). 40 epochs of Adam on
batches of 100 at a rate of 0.003.

Target tasks. For each of 15 transformations four tasks, with 10, 8, 6 and 4 digits as classes, with 4, 7, 12 or 18
training images a class, and with a share of wrong labels among the training samples of 0, 0, 0.15 or 0.3. Test labels
are always right. Fine-tuning: a new head of zeros, all layers, 50 steps of Adam at a rate of 0.002 on all training
samples at once. Retraining the head: scikit-learn's LogisticRegression on the frozen, standardised features. Both are
one run, the same for every model and task, without early stopping.

Models. `architecture`, `parameters` (with the head of the source task), `n_features` (before the head),
`pretrain_task`, `pretrain_classes` (a label set), `pretrain_images`, `pretrain_accuracy` (on unseen images of the
source task).

Datasets. `transformation`, `classes` (a label set), `n_classes`, `n_samples` (training), `samples_per_class`,
`label_noise`, `n_test`.

Features. What the pre-trained model, before any fine-tuning, hands to its head for each training sample of each task,
rounded to float16. Probabilities of the source classes follow from them and from the source head, which is linear.
"""


def load_digits_zoo(return_X_y=False, as_frame=True):
    """Load the bundled digits zoo: 30 small networks fine-tuned on 60 tasks made from handwritten digits.

    Beside the records it holds each model's features of each task's training samples, so that every training-free
    measure can be computed and be compared with the accuracy that fine-tuning reached. It comes with the package;
    nothing is downloaded.

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a bunch.
    as_frame : bool, default=True
        If True, ``data`` is a DataFrame and ``target`` a Series. If False, ``data`` is an object array with the
        columns of ``feature_names`` and ``target`` a float array. ``records``, ``head_records``, ``models`` and
        ``datasets`` are frames either way.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the entries

        records : DataFrame of shape (1800, 17)
            Columns ``model``, ``dataset``, ``score`` (test accuracy after fine-tuning all layers), ``model__*`` and
            ``dataset__*``.
        head_records : DataFrame of shape (1800, 17)
            The same rows, but the score is the test accuracy of a new linear head on the frozen features.
        models, datasets : DataFrame
            The metadata, one row an id; the first column is the id.
        labels : dict
            Labels of the training samples of a task, some of them wrong: ``labels[dataset]`` is an int array of shape
            (n_samples,). They are the digits themselves, so not always contiguous.
        features : dict
            ``features[model, dataset]`` is a float32 array of shape (n_samples, n_features): what the pre-trained
            model makes of the training samples.
        probabilities : dict
            ``probabilities[model, dataset]`` is a float32 array of shape (n_samples, n_source_classes): the
            pre-trained model's probabilities of the classes that it was pre-trained to tell apart.
        data, target
            The records without the scores, and the scores.
        frame : DataFrame or None
            ``records`` if ``as_frame``.
        feature_names, target_names : list of str
            The columns of ``data`` and of ``target``.
        DESCR : str
            How it was made.
    (data, target) : tuple if ``return_X_y``

    Examples
    --------
    >>> from skgat.datasets import load_digits_zoo
    >>> zoo = load_digits_zoo()
    >>> zoo.records.shape
    (1800, 17)
    >>> zoo.features["resnet.upright", "tilted-10x12"].shape, zoo.labels["tilted-10x12"].shape
    ((120, 16), (120,))
    """
    scores, models, datasets = (_read(name) for name in ("records", "models", "datasets"))
    forms = {"descr": _DESCR, "return_X_y": return_X_y, "as_frame": as_frame}
    finetuned = scores[["model", "dataset", "finetuned"]].rename(columns={"finetuned": "score"})
    if return_X_y:
        return make_bunch(finetuned, models, datasets, **forms)
    bunch = make_bunch(finetuned, models, datasets, **forms, **_read_arrays(models, datasets))
    bunch.head_records = bunch.records.assign(score=scores["head"].to_numpy())
    return bunch


def _path(name):
    return files(__package__) / "data" / f"digits_zoo_{name}"


def _read(name):
    with _path(f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def _read_arrays(models, datasets):
    """The arrays of each task, and of each model on each task."""
    names, bounds = datasets["dataset"].tolist(), datasets["n_samples"].cumsum().to_numpy()[:-1]
    found = {"labels": {}, "features": {}, "probabilities": {}}
    with _path("arrays.npz").open("rb") as file, np.load(file) as arrays:
        labels = arrays["labels"].astype(np.int64)
        found["labels"] = dict(zip(names, np.split(labels, bounds), strict=True))
        for model in models["model"].tolist():
            features = arrays[f"features/{model}"].astype(np.float32)
            head = arrays[f"source_head/{model}"]
            probabilities = softmax(features @ head[:-1] + head[-1], axis=1)
            for key, values in (("features", features), ("probabilities", probabilities)):
                parts = np.split(values, bounds)
                found[key].update({(model, name): part for name, part in zip(names, parts, strict=True)})
    return found
