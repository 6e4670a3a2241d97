"""What nodes hear along the edges that are visible in a step, with derivatives by hand.

In a table all members and heads are taken at once, hidden edges included: what counts in a small graph is how many
operations there are. Of a large graph the hidden edges are left out before anything is computed, and the heads are
taken one by one: everything on the edges is a vector that is read and written in order, and sums at the nodes are
products of a sparse and a dense matrix.
"""

__all__ = [
    "HIDDEN_LOGIT",
    "OTHER",
    "SLOPE",
    "Count",
    "DenseMessages",
    "Hear",
    "SparseMessages",
    "add_up",
    "matrix",
    "pick",
    "with_size",
]

import torch
import torch.nn.functional as nnf
from torch.autograd.function import once_differentiable

OTHER = {"model": "dataset", "dataset": "model"}
#: Of the rectifier in the attention, where it is negative.
SLOPE = 0.2
#: Brings the logits of hidden edges far below all others.
HIDDEN_LOGIT = -1e9


def matrix(starts, senders, values, n_senders):
    """Edges as a sparse matrix with a row for each receiver."""
    size = (len(starts) - 1, n_senders)
    return torch.sparse_csr_tensor(starts, senders, values, size=size, check_invariants=False)


def pick(rows, places):
    """Values at places of each row: (..., n) to (..., n_places)."""
    # torch selects from several rows at once element by element, which takes ten times as long.
    found = rows.new_empty(*rows.shape[:-1], len(places))
    for row, out in zip(rows.reshape(-1, rows.shape[-1]), found.view(-1, len(places)), strict=True):
        torch.index_select(row, 0, places, out=out)
    return found


def add_up(rows, places, n_places):
    """The opposite of `pick`: sums of what belongs to each place."""
    found = rows.new_zeros(*rows.shape[:-1], n_places)
    for row, out in zip(rows.reshape(-1, rows.shape[-1]), found.view(-1, n_places), strict=True):
        out.index_add_(0, places, row)
    return found


class Count:
    """How many visible edges each receiver has, and what follows from it.

    Attributes
    ----------
    number : tensor of shape (n_members, n_receivers)
    trust : tensor of shape (n_members, 1, 1, n_receivers)
        How far a mean over so many is believed.
    size : tensor of the same shape
        The number as it is told to the receivers.
    """

    def __init__(self, number):
        self.number = number
        number = number[:, None, None]
        self.trust, self.size = number / (number + 1.0), 0.3 * torch.log1p(number)


def with_size(means, count):
    """What receivers are told: means, one row each, as far as they are believed, and over how many they are."""
    means = means.mT * count.trust
    return torch.cat([means, count.size.expand(-1, means.shape[1], -1, -1)], dim=2)


class DenseMessages:
    """The edges of all members as a table of models by datasets, with the residual score on each.

    Parameters
    ----------
    edges : DenseEdges
    residual : tensor of shape (n_members, n_models, n_datasets)
    visible : boolean tensor of the same shape
    """

    def __init__(self, edges, residual, visible):
        self.residual, self.shown = residual[:, None], visible.to(residual.dtype)[:, None]
        self.hidden = (1.0 - self.shown) * HIDDEN_LOGIT
        # What the residual and its size add to the logits of a head is a product of its slopes with this.
        self.slants = torch.stack([residual, residual.abs()], dim=1).flatten(2)
        self.counts = {side: Count(edges.total(self.shown[:, 0], side)) for side in OTHER}

    def hear(self, side, query, slopes, key, values, scored):
        """As :meth:`SparseMessages.hear`."""
        return _HearTable.apply(query, slopes, key, values, scored, self, side)

    def weigh(self, side, query, key, slopes):
        """The attention weights on the edges, and the derivative of the rectifier in them."""
        of_models, of_datasets = (query, key) if side == "model" else (key, query)
        # Contiguous, so that all tables are.
        logits = of_models.contiguous()[..., :, None] + of_datasets.contiguous()[..., None, :]
        if slopes is not None:
            logits += (slopes @ self.slants).view_as(logits)
        bends = logits.sign().clamp_(min=SLOPE)
        weights = logits.mul_(bends).add_(self.hidden).softmax(_axis_of_senders(side))
        return weights.mul_(self.shown), bends


def _axis_of_senders(side):
    return -1 if side == "model" else -2


class _HearTable(torch.autograd.Function):
    """The rows of :meth:`SparseMessages.hear`."""

    @staticmethod
    def forward(ctx, query, slopes, key, values, scored, messages, side):
        ctx.messages, ctx.side = messages, side
        weights, bends = messages.weigh(side, query, key, slopes)
        count, of_scores = messages.counts[side], ()
        heard = [values @ _by_sender(side, weights)]
        if scored is not None:
            signed, said = of_scores = weights * messages.residual, nnf.pad(scored, (0, 0, 0, 1), value=1.0)
            squared = (signed * messages.residual).sum(_axis_of_senders(side))
            heard += [said @ _by_sender(side, signed), squared[:, :, None]]
        ctx.save_for_backward(weights, bends, values, *of_scores)
        heard = torch.cat([*heard, count.size.expand(-1, query.shape[1], -1, -1)], dim=2)
        heard[:, :, :-1] *= count.trust
        return heard

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        messages, side = ctx.messages, ctx.side
        weights, bends, values, *of_scores = ctx.saved_tensors
        gradient = (gradient[:, :, :-1] * messages.counts[side].trust).contiguous()
        own, of_scored = gradient[:, :, : values.shape[2]], None
        if of_scores:
            signed, said = of_scores
            told, of_squared = gradient[:, :, values.shape[2] : -1], gradient[:, :, -1:]
            of_weights = messages.residual * (of_squared.mT if side == "model" else of_squared)
            of_weights = _add_inner(side, of_weights, told, said).mul_(messages.residual)
            of_scored = (told @ _by_sender(side, signed).mT)[:, :, :-1]
        else:
            of_weights = torch.zeros_like(weights)
        of_logits = _add_inner(side, of_weights, own, values).mul_(weights)
        total = of_logits.sum(_axis_of_senders(side), keepdim=True)
        of_logits.addcmul_(total, weights, value=-1.0).mul_(bends)
        of_slopes = of_logits.flatten(2) @ messages.slants.mT if ctx.needs_input_grad[1] else None
        of_ends = {"model": of_logits.sum(-1), "dataset": of_logits.sum(-2)}
        of_values = own @ _by_sender(side, weights).mT
        return of_ends[side], of_slopes, of_ends[OTHER[side]], of_values, of_scored, None, None


def _by_sender(side, table):
    """A table of models by datasets with a row for each sender."""
    return table.mT if side == "model" else table


def _add_inner(side, table, of_receivers, of_senders):
    """Add the inner products of what is at the two ends to a table, in place."""
    of_models, of_datasets = (of_receivers, of_senders) if side == "model" else (of_senders, of_receivers)
    table.view(-1, *table.shape[2:]).baddbmm_(of_models.flatten(0, 1).mT, of_datasets.flatten(0, 1))
    return table


class _Visible:
    """The visible edges in the order of the receivers of each side.

    Attributes
    ----------
    receivers, senders, starts : dict of integer tensors
        By side of the receivers: both ends of each edge, and where the edges of each receiver begin.
    places : dict of integer tensors of shape (n_visible,)
        By side: where each edge, in that order, stands among all edges.
    crossed : dict of integer tensors of shape (n_visible,)
        By side: where each edge, in that order, stands in the order of the other side.
    """

    def __init__(self, edges, visible):
        order = edges.order
        rank = visible.cumsum(0, dtype=torch.int32)
        in_order = visible.index_select(0, order)
        by_dataset = visible.nonzero()[:, 0]
        by_model = order.index_select(0, in_order.nonzero()[:, 0])
        crossed = rank.index_select(0, by_model) - 1
        back = torch.empty_like(crossed)
        back[crossed.long()] = torch.arange(len(crossed), dtype=torch.int32, device=crossed.device)
        ends = {side: edges.ends[side].index_select(0, by_dataset) for side in edges.ends}
        turned = {side: end.index_select(0, crossed) for side, end in ends.items()}
        self.places = {"dataset": by_dataset, "model": by_model}
        self.crossed = {"dataset": back, "model": crossed}
        self.receivers = {"dataset": ends["dataset"], "model": turned["model"]}
        self.senders = {"dataset": ends["model"], "model": turned["dataset"]}
        ranks = {"dataset": rank, "model": in_order.cumsum(0, dtype=torch.int32)}
        self.starts = {side: nnf.pad(rank, (1, 0)).index_select(0, edges.starts[side]) for side, rank in ranks.items()}

    def matrix(self, side, values, n_senders):
        return matrix(self.starts[side], self.senders[side], values, n_senders)


class SparseMessages:
    """The visible edges of all members, with the residual score on each.

    Parameters
    ----------
    edges : SparseEdges
    residual : tensor of shape (n_members, n_edges)
    visible : boolean tensor of shape (n_members, n_edges)
    """

    def __init__(self, edges, residual, visible):
        self.edges, self.counts = edges, {}
        # Where all members see the same, one list does for all.
        shared = visible.stride(0) == 0
        views = [_Visible(edges, row) for row in (visible[:1] if shared else visible)]
        self.views = views * len(visible) if shared else views
        self.residual = [
            {side: row.index_select(0, places) for side, places in view.places.items()}
            for row, view in zip(residual, self.views, strict=True)
        ]
        for view in views:
            del view.places
        for side in edges.ends:
            counts = torch.stack([view.starts[side].diff() for view in self.views])
            self.counts[side] = Count(edges.over_all(counts.to(residual.dtype)))

    def hear(self, side, query, slopes, key, values, scored):
        """What each receiver hears, by attention.

        Parameters
        ----------
        side : {"model", "dataset"}
            The receivers'.
        query : tensor of shape (n_members, n_heads, n_receivers)
        slopes : tensor of shape (n_members, n_heads, 2) or None
            How the residual and its size act on the attention.
        key : tensor of shape (n_members, n_heads, n_senders)
        values, scored : tensors of shape (n_members, n_heads, n_units, n_senders), scored may be None
            What senders say, and what they say times the residual.

        Returns
        -------
        tensor of shape (n_members, n_heads, n, n_receivers)
            The mean of the values; with ``scored`` also that of the scored values times the residual, of the residual
            and of its square. Last how many there are. A receiver with few records trusts their means less.
        """
        values = values.mT.contiguous()
        scored = None if scored is None else scored.mT.contiguous()
        sums = self.add_up(query, key, slopes, values, scored, side)
        width = values.shape[-1]
        mass = sums[..., width : width + 1].clamp(min=1e-30)
        heard = [sums[..., :width], sums[..., width + 1 :]]
        return with_size(torch.cat(heard, dim=-1) / mass, self.counts[side])

    def add_up(self, query, key, slopes, values, scored, side):
        """What the receivers hear before it is divided by their mass, over all edges."""
        return self.edges.over_all(Hear.apply(query, key, slopes, values, scored, self, side))


class Hear(torch.autograd.Function):
    """Sums over the visible edges of exp(logit), which is taken relative to the receiver's largest.

    The columns: times the senders' values and times one; with scores also times the residual times the senders' scored
    values, times the residual, and times its square. That the largest logit is subtracted has no effect on their
    ratios, so it needs no derivative.
    """

    @staticmethod
    def forward(ctx, query, key, slopes, values, scored, messages, side):
        ctx.messages, ctx.side = messages, side
        members, heads, n_receivers = query.shape
        largest = torch.empty_like(query)
        rows, positive = {}, []
        for member, head in _each(members, heads):
            view, residual = messages.views[member], messages.residual[member][side]
            logits = query[member, head].contiguous().index_select(0, view.receivers[side])
            logits += key[member, head].contiguous().index_select(0, view.senders[side])
            if slopes is not None:
                logits.addcmul_(residual, slopes[member, head, 0])
                logits.addcmul_(residual.abs(), slopes[member, head, 1])
            rows[member, head] = logits
            positive.append(logits > 0)
            nnf.leaky_relu_(logits, SLOPE)
            largest[member, head] = torch.segment_reduce(
                logits, "max", offsets=view.starts[side].long(), axis=0, unsafe=True
            )
        largest = messages.edges.agree(largest)
        width = values.shape[-1]
        sums = query.new_zeros(members, heads, n_receivers, width + 1 if scored is None else 2 * width + 3)
        for (member, head), logits in rows.items():
            view, out = messages.views[member], sums[member, head]
            mass = logits.sub_(largest[member, head].index_select(0, view.receivers[side])).exp_()
            said = _with_one(values[member, head])
            out[:, : width + 1] = view.matrix(side, mass, len(said)) @ said
            if scored is not None:
                residual = messages.residual[member][side]
                signed = mass * residual
                said = _with_one(scored[member, head])
                out[:, width + 1 : -1] = view.matrix(side, signed, len(said)) @ said
                out[:, -1] = _at_receivers(signed.mul_(residual), view.starts[side])
        ctx.save_for_backward(values, scored, *rows.values(), *positive)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        messages, side = ctx.messages, ctx.side
        values, scored, *kept = ctx.saved_tensors
        width = values.shape[-1]
        shape = values.shape[:-2]
        found = {
            "query": gradient.new_empty(gradient.shape[:-1]),
            "key": gradient.new_zeros(values.shape[:-1]),
            "slopes": gradient.new_zeros(*shape, 2) if ctx.needs_input_grad[2] else None,
            "values": torch.empty_like(values),
            "scored": None if scored is None else torch.empty_like(scored),
        }
        n_rows = len(kept) // 2
        for (member, head), mass, positive in zip(_each(*shape), kept[:n_rows], kept[n_rows:], strict=True):
            view, residual = messages.views[member], messages.residual[member]
            own = gradient[member, head].contiguous()
            of_logits = _inner(view, side, mass, own[:, : width + 1], values[member, head])
            if scored is not None:
                of_signed = _inner(view, side, mass, own[:, width + 1 : -1], scored[member, head])
                of_squared = own[:, -1].contiguous().index_select(0, view.receivers[side])
                of_logits.addcmul_(residual[side], of_signed.addcmul_(residual[side], of_squared))
            of_logits.mul_(mass).mul_(positive.to(mass.dtype).mul_(1.0 - SLOPE).add_(SLOPE))
            found["query"][member, head] = _at_receivers(of_logits, view.starts[side])
            found["key"][member, head].index_add_(0, view.senders[side], of_logits)
            if found["slopes"] is not None:
                found["slopes"][member, head, 0] = of_logits @ residual[side]
                found["slopes"][member, head, 1] = of_logits @ residual[side].abs()
            other = OTHER[side]
            mass = mass.index_select(0, view.crossed[other])
            found["values"][member, head] = view.matrix(other, mass, len(own)) @ own[:, :width].contiguous()
            if scored is not None:
                mass.mul_(residual[other])
                told = own[:, width + 1 : -2].contiguous()
                found["scored"][member, head] = view.matrix(other, mass, len(own)) @ told
        return *found.values(), None, None


def _each(members, heads):
    return ((member, head) for member in range(members) for head in range(heads))


def _with_one(said):
    """What each sender says, and a one."""
    return nnf.pad(said, (0, 1), value=1.0)


def _inner(view, side, mass, of_receivers, said):
    """Inner products of what the receivers have and what the senders say, and a one, on the edges."""
    pattern = view.matrix(side, mass, len(said))
    return torch.sparse.sampled_addmm(pattern, of_receivers.contiguous(), _with_one(said).T, beta=0.0).values()


def _at_receivers(values, starts):
    """Sums at the receivers of values in their order."""
    return torch.segment_reduce(values, "sum", offsets=starts.long(), axis=0, unsafe=True)
