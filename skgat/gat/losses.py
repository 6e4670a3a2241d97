"""What training minimises: errors on supervised edges and how far they are out of order, with the derivative by hand.

On long lists of edges every pass over all of them counts, and in small tables every operation does.
"""

__all__ = ["losses_of"]

import torch
from torch.autograd.function import once_differentiable

from .edges import by_member

#: Errors beyond this count in proportion to their size with the huber loss.
_DELTA = 0.5


def losses_of(edges, out, targets, supervised, loss, rank_weight):
    """The loss of each member.

    Parameters
    ----------
    edges : DenseEdges or SparseEdges
    out, targets : tensors on the edges, by member
        Predictions, and what they should be.
    supervised : boolean tensor on the edges, by member
        Which edges count.
    loss : {"huber", "squared_error"}
    rank_weight : float
        The weight of the errors relative to the others of their dataset.

    Returns
    -------
    tensor of shape (n_members,)
    """
    return _Losses.apply(out, targets, supervised, edges, loss, rank_weight)


class _Losses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, out, targets, supervised, edges, loss, rank_weight):
        # Converted once: a product with truth values would make such a table of its own each time.
        supervised = supervised.to(out.dtype)
        weights = supervised * edges.weights
        mass = edges.sum(weights).clamp_(min=1e-9)
        error = (out - targets).mul_(supervised)
        pull = error.clamp(-_DELTA, _DELTA) if loss == "huber" else error
        # The square within the bounds of the huber loss, and a straight line beyond.
        losses = edges.sum((error - 0.5 * pull).mul_(pull).mul_(weights)) / mass
        if rank_weight:
            of_datasets = edges.total(error * weights, "dataset")
            of_datasets = of_datasets.div_(edges.total(weights, "dataset").clamp_(min=1e-9))
            centred = (error - edges.at_ends(of_datasets, "dataset")).mul_(supervised)
            losses = losses + 0.5 * rank_weight * edges.sum(centred.square().mul_(weights)) / mass
            # The mean of a dataset moves with its errors, but the sum of what is relative to it stays zero.
            pull = centred.mul_(rank_weight).add_(pull)
        ctx.edges = edges
        ctx.save_for_backward(pull, weights, mass)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        pull, weights, mass = ctx.saved_tensors
        # Each process has a part of the gradient of sums over all edges.
        gradient = ctx.edges.over_all(gradient) / mass
        return (pull * weights).mul_(by_member(gradient, pull)), None, None, None, None, None
