"""What the kernels for GPUs say where there is none: Triton's interpreter runs them on the CPU, slowly.

    TRITON_INTERPRET=1 python tests/interpreted_kernels.py FILE

Triton decides how a kernel is run when it is imported, so this needs a process of its own. The file takes, by case,
pairs of arrays: what `SparseMessages` says and what the kernels say; and what a few fits with and without them say.
"""

import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import torch

from skgat import TransferabilityGAT
from skgat.gat import edges, fitting, fused, messages
from skgat.gat.messages import OTHER, SparseMessages

HEADS, MEMBERS = 2, 2
#: Name of a case: units of a head, whether scores are on the edges, by how much logits are larger than usual, and
#: whether the graph counts as large, so that rows are rounded.
CASES = {
    "scored": (4, True, 1.0, False),
    "units that are no power of two": (3, True, 1.0, False),
    "no scores": (4, False, 1.0, False),
    "logits of hundreds": (4, True, 100.0, False),
    "rounded": (4, True, 1.0, True),
}


def lists(n_models, n_datasets, share):
    """Edges as lists; one dataset has all models, so that its program reads more than one block."""
    generator = np.random.default_rng(0)
    there = generator.random((n_models, n_datasets)) < share
    there[0] = there[:, 0] = True
    model, dataset = np.nonzero(there)
    return model, dataset, generator.normal(size=len(model))


def case(layout, side, width, scored, size, large):
    """What both say of the same, and the derivatives by all that was given."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    visible = torch.rand((MEMBERS, *layout.shape), generator=generator) < 0.7
    # Nobody hears of the second model and the second dataset, and one member hears of nothing at all on a third.
    visible &= (layout.ends["model"] != 1) & (layout.ends["dataset"] != 1)
    visible[0] &= layout.ends["dataset"] != 2
    residual = draw(MEMBERS, *layout.shape)
    receivers, senders = layout.sizes[side], layout.sizes[OTHER[side]]
    given = [size * draw(MEMBERS, HEADS, receivers), draw(MEMBERS, HEADS, 2) if scored else None]
    given += [size * draw(MEMBERS, HEADS, senders), draw(MEMBERS, HEADS, width, senders)]
    given += [draw(MEMBERS, HEADS, width, senders) if scored else None]
    if large:
        given[3:] = (values.bfloat16().float() for values in given[3:])
    leaves = [values.requires_grad_() for values in given if values is not None]
    with_size = messages.with_size
    if large:
        messages.with_size = lambda means, count: with_size(RoundedGradient.apply(means), count)
    expected = SparseMessages(layout, residual, visible).hear(side, *given)
    messages.with_size, fused._LARGE = with_size, 0 if large else 10**9
    found = fused.FusedMessages(layout, residual, visible).attend(side, *given)
    pull = draw(*expected.shape)
    return [
        (of_expected.numpy(), of_found.numpy())
        for of_expected, of_found in zip(
            (expected.detach(), *torch.autograd.grad(expected, leaves, pull)),
            (found.detach(), *torch.autograd.grad(found, leaves, pull)),
            strict=True,
        )
    ]


class RoundedGradient(torch.autograd.Function):
    """Does nothing, and rounds its derivative to 16 bits."""

    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.bfloat16().float()


class Refused:
    """Stands in for a kernel that the compiler refuses."""

    def __getitem__(self, grid):
        raise RuntimeError("the compiler died\nand told at length why")


class Silent:
    """Stands in for a kernel that writes nothing."""

    def __getitem__(self, grid):
        return lambda *arguments, **options: None


def fit(frame, kind, stands_in=None, large=False):
    """What a few epochs on lists of edges learn, and what they warn of."""
    fitting.choose_layout, edges.messages_on = edges.SparseEdges, lambda device_type: kind
    fused._LARGE = 0 if large else 10**9
    fused._sound.clear()
    kernels = {name: getattr(fused, name) for name in stands_in or ()}
    for name in kernels:
        setattr(fused, name, stands_in[name])
    estimator = TransferabilityGAT(
        max_iter=2, hidden_dim=4, n_heads=1, n_estimators=1, kernel_weight=0.0, forest_weight=0.0, random_state=0
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        said = estimator.fit(frame).predict(frame)
    for name, kernel in kernels.items():
        setattr(fused, name, kernel)
    return said, [str(warning.message) for warning in caught if "kernels" in str(warning.message)]


def main(path):
    """Run everything and keep it."""
    model, dataset, scores = lists(18, 4, 0.2)
    columns = {"model": [f"m{i}" for i in model], "dataset": [f"d{i}" for i in dataset], "score": scores}
    frame = pd.DataFrame(columns | {"model__size": np.sqrt(model), "dataset__size": np.cos(dataset)})
    cases = {}
    layout = edges.SparseEdges(TransferabilityGAT(max_iter=1, random_state=0).fit(frame).graph_, torch.device("cpu"))
    for name, arguments in CASES.items():
        for side in OTHER if name == "scored" else ("dataset",):
            cases[name, side] = case(layout, side, *arguments)
    few = frame[(model < 5) & (dataset < 4)]
    fits = {
        "rounded": fit(few, fused.FusedMessages, large=True),
        "plain": fit(few, SparseMessages),
        "kernels": fit(few, fused.FusedMessages),
        "refused": fit(few, fused.FusedMessages, {"_listen": Refused()}),
        "silent": fit(few, fused.FusedMessages, {"_answer_senders": Silent()}),
    }
    joblib.dump((cases, fits), path)


if __name__ == "__main__":
    main(sys.argv[1])
