"""What nodes hear on a GPU: one pass over the edges there and two on the way back, by kernels written for Triton.

A pass reads of each edge its other end and its residual score, and of that end what it says; nothing is written on the
edges, not even the attention: the way back works it out again from the states of both ends. Each node is the work of
one program a head, which meets its edges in order, so that no sum depends on who comes first. Triton comes with the
builds of torch for CUDA on Linux.
"""

__all__ = ["FusedMessages"]

import warnings
from functools import cached_property

import torch
import torch.nn.functional as nnf
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from .messages import OTHER, SLOPE, Count, SparseMessages, pick, with_size
from .runtime import make_generator

#: From so many edges on, the rows of nodes lie in memory with 16 bits a number: to read them is most of an epoch then.
_LARGE = 1_000_000
#: How far what the kernels say in a trial may be from what `SparseMessages` says: as a share of the largest, by the
#: type of the rows, and where nothing but rounding is to be said.
_SAME = {torch.float32: 1e-3, torch.bfloat16: 2e-2}
_NOTHING = 1e-5
#: A program reads so many edges at once, at least and at most.
_BLOCKS = (16, 128)

_HIDDEN = tl.constexpr(float("inf"))
_BEND = tl.constexpr(SLOPE)
_LEAST = tl.constexpr(-1e30)
#: So many numbers are told of each receiver: 32 bytes, which a GPU reads at once.
_FACTS = tl.constexpr(8)


@triton.jit
def _row_of(n_nodes, HEADS: tl.constexpr):
    """Which node, member and head a program is for; heads of a node are neighbours, for they read the same edges."""
    program = tl.program_id(0).to(tl.int64)
    node = program // HEADS % n_nodes
    member = program // (HEADS * n_nodes)
    return node, member, member * HEADS + program % HEADS


@triton.jit
def _meet(others, told, places, end):
    """The other ends of some edges, the residuals on them, and which of them are visible."""
    residual = tl.load(told + places, mask=places < end, other=_HIDDEN)
    visible = residual < _HIDDEN
    other = tl.load(others + places, mask=visible, other=0).to(tl.int64)
    return other, tl.where(visible, residual, 0.0), visible


@triton.jit
def _entries(places, there):
    """Entries of rows of nodes, which may be rounded where they lie."""
    return tl.load(places, mask=there, other=0.0).to(tl.float32)


@triton.jit
def _slant(logits, residual, slopes, row, SCORED: tl.constexpr):
    """Logits with what the residual adds, and how they are bent where they are negative."""
    if SCORED:
        logits += tl.load(slopes + 2 * row) * residual + tl.load(slopes + 2 * row + 1) * tl.abs(residual)
    return logits, tl.where(logits > 0.0, 1.0, _BEND)


@triton.jit
def _weigh(logits, bend, size, visible):
    """The attention on some edges, from the logarithm of the sum of the exponentials at their receivers."""
    return tl.exp(tl.where(visible, logits * bend - size, _LEAST))


@triton.jit
def _listen(
    starts, senders, told, query, key, slopes, values, scored, means, sizes,
    n_edges, n_receivers, n_senders,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr, SCORED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Means over the visible edges of a receiver, and the logarithm of the sum of the exponentials of its logits."""
    node, member, row = _row_of(n_receivers, HEADS)
    columns = tl.arange(0, PADDED)
    asked = tl.load(query + row * n_receivers + node)
    # Each lane has sums of its own, relative to the largest of its logits, so that lanes meet once, at the end.
    largest, mass = tl.full((BLOCK,), _LEAST, tl.float32), tl.zeros((BLOCK,), tl.float32)
    said = tl.zeros((BLOCK, PADDED), tl.float32)
    if SCORED:
        signed = tl.zeros((BLOCK, PADDED), tl.float32)
        total, squared = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    end = tl.load(starts + node + 1)
    for at in range(tl.load(starts + node), end, BLOCK):
        sender, residual, visible = _meet(senders, told + member * n_edges, at + tl.arange(0, BLOCK), end)
        logits = asked + tl.load(key + row * n_senders + sender, mask=visible, other=0.0)
        logits, bend = _slant(logits, residual, slopes, row, SCORED)
        larger = tl.maximum(largest, tl.where(visible, logits * bend, _LEAST))
        shrunk, weights = tl.exp(largest - larger), _weigh(logits, bend, larger, visible)
        largest, mass = larger, mass * shrunk + weights
        there = visible[:, None] & (columns < WIDTH)[None, :]
        cells = (row * n_senders + sender)[:, None] * WIDTH + columns[None, :]
        said = said * shrunk[:, None] + weights[:, None] * _entries(values + cells, there)
        if SCORED:
            weights *= residual
            signed = signed * shrunk[:, None] + weights[:, None] * _entries(scored + cells, there)
            total, squared = total * shrunk + weights, squared * shrunk + weights * residual
    top = tl.max(largest, 0)
    shrunk = tl.exp(largest - top)
    mass = tl.sum(mass * shrunk, 0)
    share = shrunk / tl.maximum(mass, 1e-30)
    place = row * n_receivers + node
    tl.store(sizes + place, tl.where(mass > 0.0, top + tl.log(tl.maximum(mass, 1e-30)), 0.0))
    out = means + place * (2 * WIDTH + 2 if SCORED else WIDTH)
    tl.store(out + columns, tl.sum(said * share[:, None], 0), mask=columns < WIDTH)
    if SCORED:
        tl.store(out + WIDTH + columns, tl.sum(signed * share[:, None], 0), mask=columns < WIDTH)
        tl.store(out + 2 * WIDTH, tl.sum(total * share, 0))
        tl.store(out + 2 * WIDTH + 1, tl.sum(squared * share, 0))


@triton.jit
def _answer_receivers(
    starts, senders, told, facts, key, slopes, values, scored, of_values, of_scored, of_query, of_slopes,
    n_edges, n_receivers, n_senders,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr, SCORED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The derivatives by what a receiver asks, and its part of those by the slopes."""
    node, member, row = _row_of(n_receivers, HEADS)
    columns = tl.arange(0, PADDED)
    place = row * n_receivers + node
    own = facts + place * _FACTS
    asked, size, level = tl.load(own), tl.load(own + 1), tl.load(own + 2)
    wide = columns < WIDTH
    pull = _entries(of_values + place * WIDTH + columns, wide)
    if SCORED:
        of_total, of_square = tl.load(own + 3), tl.load(own + 4)
        signed = _entries(of_scored + place * WIDTH + columns, wide)
        slope, slope_of_size = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    found = tl.zeros((BLOCK,), tl.float32)
    end = tl.load(starts + node + 1)
    for at in range(tl.load(starts + node), end, BLOCK):
        sender, residual, visible = _meet(senders, told + member * n_edges, at + tl.arange(0, BLOCK), end)
        logits = asked + tl.load(key + row * n_senders + sender, mask=visible, other=0.0)
        logits, bend = _slant(logits, residual, slopes, row, SCORED)
        there = visible[:, None] & wide[None, :]
        cells = (row * n_senders + sender)[:, None] * WIDTH + columns[None, :]
        gain = tl.sum(pull[None, :] * _entries(values + cells, there), 1) - level
        if SCORED:
            told_of = tl.sum(signed[None, :] * _entries(scored + cells, there), 1)
            gain += residual * (told_of + of_total + residual * of_square)
        gain *= _weigh(logits, bend, size, visible) * bend
        found += gain
        if SCORED:
            slope += gain * residual
            slope_of_size += gain * tl.abs(residual)
    tl.store(of_query + place, tl.sum(found, 0))
    if SCORED:
        tl.store(of_slopes + 2 * place, tl.sum(slope, 0))
        tl.store(of_slopes + 2 * place + 1, tl.sum(slope_of_size, 0))


@triton.jit
def _answer_senders(
    starts, receivers, told, facts, key, slopes, values, scored, of_values, of_scored, of_key, of_said, of_said_scored,
    n_edges, n_receivers, n_senders,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr, SCORED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The derivatives by all that a sender says; the edges are in the order of the senders."""
    node, member, row = _row_of(n_senders, HEADS)
    columns = tl.arange(0, PADDED)
    place = row * n_senders + node
    wide = columns < WIDTH
    offered = tl.load(key + place)
    said = _entries(values + place * WIDTH + columns, wide)
    found, of_offer = tl.zeros((BLOCK, PADDED), tl.float32), tl.zeros((BLOCK,), tl.float32)
    if SCORED:
        said_scored = _entries(scored + place * WIDTH + columns, wide)
        found_scored = tl.zeros((BLOCK, PADDED), tl.float32)
    end = tl.load(starts + node + 1)
    for at in range(tl.load(starts + node), end, BLOCK):
        receiver, residual, visible = _meet(receivers, told + member * n_edges, at + tl.arange(0, BLOCK), end)
        receiver += row * n_receivers
        other = facts + receiver * _FACTS
        logits = offered + tl.load(other, mask=visible, other=0.0)
        logits, bend = _slant(logits, residual, slopes, row, SCORED)
        weights = _weigh(logits, bend, tl.load(other + 1, mask=visible, other=0.0), visible)
        there = visible[:, None] & wide[None, :]
        cells = receiver[:, None] * WIDTH + columns[None, :]
        pull = _entries(of_values + cells, there)
        gain = tl.sum(pull * said[None, :], 1) - tl.load(other + 2, mask=visible, other=0.0)
        found += weights[:, None] * pull
        if SCORED:
            signed = _entries(of_scored + cells, there)
            told_of = tl.sum(signed * said_scored[None, :], 1) + tl.load(other + 3, mask=visible, other=0.0)
            gain += residual * (told_of + residual * tl.load(other + 4, mask=visible, other=0.0))
            found_scored += (weights * residual)[:, None] * signed
        of_offer += gain * weights * bend
    tl.store(of_key + place, tl.sum(of_offer, 0))
    tl.store(of_said + place * WIDTH + columns, tl.sum(found, 0), mask=wide)
    if SCORED:
        tl.store(of_said_scored + place * WIDTH + columns, tl.sum(found_scored, 0), mask=wide)


class FusedMessages:
    """What :class:`~skgat.gat.messages.SparseMessages` says, without anything on the edges.

    Before it is relied on, means and derivatives of a trial are compared with those of `SparseMessages`; where they
    differ, or where a kernel cannot be made, `SparseMessages` answers, with a warning.

    Parameters
    ----------
    edges : SparseEdges
        All of them, on one device.
    residual : tensor of shape (n_members, n_edges)
    visible : boolean tensor of shape (n_members, n_edges)
    """

    def __init__(self, edges, residual, visible):
        self.edges, self.given = edges, (residual, visible)
        # A hidden edge has an infinite residual: one number to read for both.
        told = residual.masked_fill(~visible, float("inf"))
        self.told = {"dataset": told, "model": pick(told, edges.order)}
        self.counts = {side: Count(_number(told, edges.starts[side])) for side, told in self.told.items()}

    @cached_property
    def plain(self):
        """The messages that kernels are compared with."""
        return SparseMessages(self.edges, *self.given)

    def hear(self, side, query, slopes, key, values, scored):
        """As :meth:`SparseMessages.hear`."""
        given = query, slopes, key, values, scored
        return self.attend(side, *given) if _is_sound(self, side, *given) else self.plain.hear(side, *given)

    def attend(self, side, query, slopes, key, values, scored):
        """What the kernels say."""
        scored = None if scored is None else scored.mT
        means = _Attend.apply(query.contiguous(), slopes, key.contiguous(), values.mT, scored, self, side)
        return with_size(means, self.counts[side])

    @property
    def row_type(self):
        """The type of the rows of nodes that kernels read."""
        return torch.bfloat16 if self.edges.shape[0] >= _LARGE else torch.float32

    def kept(self, rows):
        """Rows of nodes as kernels read them."""
        return None if rows is None else rows.to(self.row_type).contiguous()

    def block(self, side):
        """How many edges a program of a side reads at once: about as many as a node has."""
        typical = self.told[side].shape[-1] // max(self.edges.sizes[side], 1)
        return min(max(triton.next_power_of_2(max(typical, 1)), _BLOCKS[0]), _BLOCKS[1])

    def launch(self, kernel, own, side, *tensors):
        """Run a kernel for each node of a side, member and head.

        Parameters
        ----------
        kernel : callable
        own : {"model", "dataset"}
            Whose edges a program meets.
        side : {"model", "dataset"}
            The receivers'.
        *tensors
            What the kernel takes after the edges, the values of senders at the fourth place.
        """
        members, heads = tensors[0].shape[:2]
        width, sizes, block = tensors[3].shape[-1], self.edges.sizes, self.block(own)
        with torch.cuda.device_of(tensors[0]):
            kernel[(members * heads * sizes[own],)](
                self.edges.starts[own], self.edges.senders[own], self.told[own], *tensors,
                self.told[own].shape[-1], sizes[side], sizes[OTHER[side]],
                HEADS=heads, WIDTH=width, PADDED=triton.next_power_of_2(width), SCORED=tensors[4] is not None,
                BLOCK=block, num_warps=max(block // 32, 1),
            )  # fmt: skip


def _unwritten(like, *shape):
    """Room for what a kernel writes. What it leaves out is no number: memory may hold the right answer of a trial."""
    return like.new_full(shape, float("nan"))


def _number(told, starts):
    """How many visible edges each receiver has, by member."""
    rank = nnf.pad((told < float("inf")).cumsum(-1, dtype=torch.int32), (1, 0))
    return rank[:, starts.long()].diff().to(told.dtype)


class _Attend(torch.autograd.Function):
    """The means of :meth:`SparseMessages.hear`, with a row for each receiver."""

    @staticmethod
    def forward(ctx, query, slopes, key, values, scored, messages, side):
        width, values, scored = values.shape[-1], messages.kept(values), messages.kept(scored)
        means = _unwritten(query, *query.shape, width if scored is None else 2 * width + 2)
        sizes = _unwritten(query, *query.shape)
        messages.launch(_listen, side, side, query, key, slopes, values, scored, means, sizes)
        ctx.messages, ctx.side = messages, side
        ctx.save_for_backward(query, key, slopes, values, scored, means, sizes)
        return means

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        messages, side = ctx.messages, ctx.side
        query, key, slopes, values, scored, means, sizes = ctx.saved_tensors
        width = values.shape[-1]
        # Rounded before anything is made of it: what receivers ask depends on small differences.
        gradient = messages.kept(gradient).to(key.dtype)
        facts, of_scored, of_slopes, found_scored = [query, sizes, (gradient * means).sum(-1)], None, None, None
        if scored is not None:
            facts += gradient[..., -2:].unbind(-1)
            of_scored = messages.kept(gradient[..., width:-2])
            found_scored = _unwritten(key, *scored.shape)
            of_slopes = _unwritten(key, *query.shape, 2)
        facts = nnf.pad(torch.stack(facts, dim=-1), (0, _FACTS.value - len(facts)))
        known = facts, key, slopes, values, scored, messages.kept(gradient[..., :width]), of_scored
        found_query, found_key, found_values = (_unwritten(key, *like.shape) for like in (query, key, values))
        messages.launch(_answer_receivers, side, side, *known, found_query, of_slopes)
        messages.launch(_answer_senders, OTHER[side], side, *known, found_key, found_values, found_scored)
        of_slopes = None if of_slopes is None else of_slopes.sum(2)
        return found_query, of_slopes, found_key, found_values, found_scored, None, None


#: What came out of trials, by all that a kernel is made for.
_sound = {}


def _is_sound(messages, side, query, slopes, key, values, scored):
    """Whether the kernels say what `SparseMessages` says, by a trial with random numbers along these edges."""
    blocks = messages.block(side), messages.block(OTHER[side])
    kind = query.device, *values.shape[1:3], scored is None, blocks, messages.row_type
    if kind not in _sound:
        reason = _what_is_wrong(messages, side, query, slopes, key, values, scored)
        if reason is not None:
            warnings.warn(
                f"Training goes on without fused kernels, which gives the same and takes longer ({reason}).",
                RuntimeWarning,
                stacklevel=2,
            )
        _sound[kind] = reason is None
    return _sound[kind]


@torch.enable_grad()
def _what_is_wrong(messages, side, *given):
    """Why the kernels cannot be relied on, None if they can; what they are asked has the shapes of what is given."""
    generator = make_generator(0, given[0].device)

    def draw(like):
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)

    drawn = [None if like is None else draw(like).requires_grad_() for like in given]
    leaves = [values for values in drawn if values is not None]
    try:
        expected = SparseMessages(messages.edges, *messages.given).hear(side, *drawn)
        pull = draw(expected)
        expected = expected.detach(), *torch.autograd.grad(expected, leaves, pull)
        heard = messages.attend(side, *drawn)
        heard = heard.detach(), *torch.autograd.grad(heard, leaves, pull)
    except Exception as error:  # noqa: BLE001 - whatever a compiler or a driver says, there is another way
        return str(error).partition("\n")[0] or type(error).__name__
    same = _SAME[messages.row_type]
    for said, truth in zip(heard, expected, strict=True):
        if not (said - truth).abs().max() <= same * truth.abs().max() + _NOTHING:
            return "what they say differs"
    return None
