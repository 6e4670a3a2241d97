"""The tasks of the digits zoo: what is made from scikit-learn's digits, drawn from one seed. Needs no torch.

The images are split once into pools, so that no image of a target task was seen in pre-training and no test image in
training.
"""

__all__ = ["SEED", "SOURCES", "build_source", "build_task", "pools", "target_tasks"]

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

SEED = 0
SIZE = 8
DIGITS = tuple(range(10))
ORIENTATIONS = ("upright", "left", "upside-down", "right")
#: Images of each pool; those that are left are for testing on the target tasks.
POOLS = {"pretrain": 500, "pretrain_test": 150, "target_train": 350}


@cache
def pools():
    """The digits, split once: ``{pool: (images, labels)}``, images in [0, 1] of shape (n, 8, 8)."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, SIZE, SIZE) / 16
    order = np.random.default_rng([SEED, 0]).permutation(len(images))
    parts = np.split(order, np.cumsum(list(POOLS.values())))
    return {name: (images[part], labels[part]) for name, part in zip([*POOLS, "target_test"], parts, strict=True)}


def _resample(images, matrices, shifts):
    """Move each image by its own affine map about the centre, between pixels by linear interpolation."""
    centre = (SIZE - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")).reshape(2, -1) - centre
    places = matrices @ grid + shifts[:, :, None] + centre
    rows = np.broadcast_to(np.arange(len(images))[:, None], places[:, 0].shape)
    return ndimage.map_coordinates(images, [rows, places[:, 0], places[:, 1]], order=1).reshape(images.shape)


def _rotate(images, rng, degrees):
    angles = np.deg2rad(rng.uniform(-degrees, degrees, len(images)))
    matrices = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], axis=1)
    return _resample(images, matrices.reshape(-1, 2, 2), np.zeros((len(images), 2)))


def _shift(images, rng, pixels):
    shifts = rng.integers(-pixels, pixels, (len(images), 2), endpoint=True).astype(float)
    return _resample(images, np.broadcast_to(np.eye(2), (len(images), 2, 2)), shifts)


def _shrink(images, rng):
    matrices = np.broadcast_to(1.6 * np.eye(2), (len(images), 2, 2))
    return _resample(images, matrices, rng.uniform(-2, 2, (len(images), 2)))


def _add_noise(images, rng):
    return np.clip(images + 0.4 * rng.standard_normal(images.shape), 0, 1)


def _speckle(images, rng):
    dice = rng.random(images.shape)
    return np.where(dice < 0.15, 0.0, np.where(dice > 0.85, 1.0, images))


def _occlude(images, rng):
    corners = rng.integers(0, SIZE - 4, (2, len(images), 1, 1), endpoint=True)
    y, x = np.arange(SIZE)[:, None] - corners[0], np.arange(SIZE) - corners[1]
    return np.where((y >= 0) & (y < 4) & (x >= 0) & (x < 4), 0.5, images)


def _scramble(images, rng):
    # One order of the pixels for all tasks: what is learned on one scrambled task is of use on another.
    order = np.random.default_rng([SEED, 1]).permutation(SIZE * SIZE)
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


#: What is done to the images of a task: a function of images and a random generator.
TRANSFORMATIONS = {
    "upright": lambda images, rng: images,
    "tilted": partial(_rotate, degrees=60),
    "rotated": partial(_rotate, degrees=180),
    "turned": lambda images, rng: np.rot90(images, axes=(1, 2)),
    "mirrored": lambda images, rng: images[:, :, ::-1],
    "swapped": lambda images, rng: np.roll(images, SIZE // 2, axis=(1, 2)),
    "shifted": partial(_shift, pixels=2),
    "shrunk": _shrink,
    "inverted": lambda images, rng: 1 - images,
    "faded": lambda images, rng: 0.5 + 0.2 * images,
    "blurred": lambda images, rng: ndimage.gaussian_filter(images, (0, 1.2, 1.2)),
    "noised": _add_noise,
    "speckled": _speckle,
    "occluded": _occlude,
    "scrambled": _scramble,
}


def _mix(images, rng):
    """Do to each image one of the things that other pre-training tasks do."""
    kinds = ("upright", "rotated", "inverted", "noised", "shifted")
    choice = rng.integers(len(kinds), size=len(images))
    return np.stack([TRANSFORMATIONS[kind](images, rng) for kind in kinds])[choice, np.arange(len(images))]


@dataclass(frozen=True)
class Task:
    """A target task; ``seed`` draws its images and what happens to them."""

    name: str
    transformation: str
    classes: tuple
    samples_per_class: int
    label_noise: float
    seed: int


@dataclass(frozen=True)
class Samples:
    """Images and labels of a target task: those to train on, and those to test on."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def target_tasks():
    """Four tasks for each transformation, from many classes to few; sizes and label noise are dealt out by chance."""
    rng = np.random.default_rng([SEED, 2])
    tasks = []
    for transformation in TRANSFORMATIONS:
        sizes, noises = rng.permutation([4, 7, 12, 18]), rng.permutation([0.0, 0.0, 0.15, 0.3])
        for n_classes, size, noise in zip((10, 8, 6, 4), sizes.tolist(), noises.tolist(), strict=True):
            classes = tuple(sorted(rng.permutation(10)[:n_classes].tolist()))
            name = f"{transformation}-{n_classes}x{size}" + (f"-noisy{round(100 * noise)}" if noise else "")
            tasks.append(Task(name, transformation, classes, size, noise, len(tasks)))
    return tasks


def build_task(task):
    """The training and test samples of a target task; only labels to train on are ever wrong."""
    rng = np.random.default_rng([SEED, 3, task.seed])
    images, labels = pools()["target_train"]
    each = [rng.permutation(np.flatnonzero(labels == c))[: task.samples_per_class] for c in task.classes]
    chosen = rng.permutation(np.concatenate(each))
    test_images, test_labels = pools()["target_test"]
    kept = np.isin(test_labels, task.classes)
    transform = TRANSFORMATIONS[task.transformation]
    train_labels = _with_wrong_labels(labels[chosen], task, rng)
    return Samples(transform(images[chosen], rng), train_labels, transform(test_images[kept], rng), test_labels[kept])


def _with_wrong_labels(labels, task, rng):
    """Give a share of the samples the label of another class of the task."""
    wrong = rng.permutation(len(labels))[: round(task.label_noise * len(labels))]
    places = np.searchsorted(task.classes, labels)
    places[wrong] += rng.integers(1, len(task.classes), len(wrong))
    return np.asarray(task.classes)[places % len(task.classes)]


@dataclass(frozen=True)
class Source:
    """A task to pre-train on: what is done to the images, which classes, at most how many images."""

    task: str
    classes: tuple = DIGITS
    n_images: int = POOLS["pretrain"]


SOURCES = {
    "upright": Source("upright"),
    "half": Source("upright", classes=DIGITS[:5]),
    "few": Source("upright", n_images=60),
    "rotated": Source("rotated"),
    "inverted": Source("inverted"),
    "noised": Source("noised"),
    "scrambled": Source("scrambled"),
    "shifted": Source("shifted"),
    "orientation": Source("orientation", classes=ORIENTATIONS),
    "mixed": Source("mixed"),
}


def source_images(source, pool):
    """Where the images of a pre-training task stand in their pool."""
    labels = pools()[pool][1]
    if source.task == "orientation":
        return np.arange(len(labels))
    return np.flatnonzero(np.isin(labels, source.classes))[: source.n_images]


def build_source(source, pool, n_copies, rng):
    """Images and class numbers of a pre-training task; each image occurs `n_copies` times, in other random states."""
    chosen = source_images(source, pool)
    images, labels = (values[chosen] for values in pools()[pool])
    if source.task == "orientation":
        turned = np.concatenate([np.rot90(images, turn, axes=(1, 2)) for turn in range(len(ORIENTATIONS))])
        return turned, np.repeat(np.arange(len(ORIENTATIONS)), len(images))
    transform = _mix if source.task == "mixed" else TRANSFORMATIONS[source.task]
    return transform(np.tile(images, (n_copies, 1, 1)), rng), np.tile(labels, n_copies)
