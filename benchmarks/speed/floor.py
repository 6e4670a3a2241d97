"""The least that an epoch and a prediction have to move and to compute, and what they do move.

    OMP_NUM_THREADS=1 python benchmarks/speed/floor.py [--records 1000000] [--device auto]

One network of two layers on a large graph, as in ``large_graph.py``. Every operation of an epoch is asked which bytes
it reads and writes: *streamed* ones in the order in which they lie, *gathered* ones where an edge points to (rows of
nodes, which may be found in a cache). What the kernels for GPUs move is counted by their code, so that it can be told
without a GPU. Then an epoch is timed, and the floor divided by the speed at which the device copies memory. On a GPU
the kernels are at work; elsewhere they are not.
"""

import argparse
import sys
import time
from collections import Counter

import numpy as np
import parts
import torch
from large_graph import SETTINGS
from machine import describe
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skgat import MetadataEncoder, TransferabilityGAT
from skgat.datasets import make_transfer_records
from skgat.gat.module import _EFFECT_SWEEPS as SWEEPS

#: What only looks at memory in another way, or asks for some.
_FREE = {
    "_reshape_alias", "_sparse_compressed_tensor_unsafe", "_sparse_csr_tensor_unsafe", "_unsafe_view", "alias",
    "as_strided", "col_indices", "crow_indices", "detach", "empty", "empty_like", "empty_strided", "expand",
    "is_same_size", "new_empty", "new_empty_strided", "permute", "select", "slice", "sparse_compressed_tensor", "split",
    "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unsqueeze", "values", "view",
}  # fmt: skip
#: What only writes.
_FILLS = {
    "arange", "fill_", "full", "new_full", "new_ones", "new_zeros", "ones", "ones_like", "rand", "zero_", "zeros",
    "zeros_like",
}  # fmt: skip
#: Bytes of a number or a place, and of a number in the rows that the kernels read where a graph has so many edges.
_ENTRY = 4
_ROUNDED, _LARGE = 2, 1_000_000


def size_of(tensor):
    """Bytes of a tensor; what is repeated counts once."""
    if tensor.layout is not torch.strided:
        return sum(size_of(part) for part in (tensor.crow_indices(), tensor.col_indices(), tensor.values()))
    size = tensor.element_size()
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        size *= length if stride or not length else 1
    return size


def traffic_of(name, args, result):
    """Bytes that an operation streams and gathers."""
    given = list({id(leaf): leaf for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)}.values())
    made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
    sparse = [tensor for tensor in given if tensor.layout is not torch.strided]
    if name in _FREE:
        return 0, 0
    if name in _FILLS:
        return sum(map(size_of, made)), 0
    if name == "index_select":
        return size_of(args[2]) + size_of(result), size_of(result)
    if name == "index_add_":
        return size_of(args[2]) + size_of(args[3]), 2 * size_of(args[3])
    if name in ("mm", "mv", "addmm", "addmv") and sparse:
        edges, columns = sparse[0], result.numel() // max(sparse[0].shape[0], 1)
        return size_of(edges) + size_of(result), _ENTRY * columns * edges.values().numel()
    if "sampled_addmm" in name:
        edges, receivers = args[0], args[1]
        # The pattern is copied before it is filled.
        return 3 * size_of(edges) + size_of(receivers), _ENTRY * receivers.shape[1] * edges.values().numel()
    return sum(map(size_of, given)) + sum(map(size_of, made)), 0


class Traffic(TorchDispatchMode):
    """Counts what is streamed and gathered, by the file of skgat that asks for it."""

    def __init__(self):
        super().__init__()
        self.streamed, self.gathered, self.operations = Counter(), Counter(), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        streamed, gathered = traffic_of(function.overloadpacket.__name__, (*args, *(kwargs or {}).values()), result)
        self.operations += bool(streamed)
        place = _file_of_caller()
        self.streamed[place] += streamed
        self.gathered[place] += gathered
        return result


def _file_of_caller():
    frame = sys._getframe(2)
    while frame is not None and "/skgat/gat/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return "" if frame is None else frame.f_code.co_filename.rpartition("/")[2]


def of_messages(config, visible, number=_ENTRY):
    """Bytes an edge that messages have to move: streamed and gathered, on edges of which a share is visible.

    In a layer and a direction the edges are read three times: for what receivers hear, and for the derivatives by what
    receivers ask and by what senders say. Each time an edge is the place of its other end and its residual, of which
    hidden edges have the residual alone, and what the other end says: in each head what is scored, what is not and the
    key; on the way back what the receiver asks, two numbers of its softmax, and the gradients of what it heard.
    """
    width, rounds = config["hidden_dim"] // config["n_heads"], 2 * config["n_layers"]
    rows, others = 3 * 2 * width * number, (1 + 1 + 5) * _ENTRY
    return rounds * 3 * _ENTRY * (1 + visible), rounds * visible * config["n_heads"] * (rows + others)


def of_the_rest(config, visible):
    """The same of effects, decoder and loss.

    Each half of a sweep over the effects reads one end, the weight, and the effect of that end. The decoder reads an
    end, the score and what the end adds, once for the loss and once for the derivative on each side.
    """
    sweeps, asked = 2 * SWEEPS, 3 * (1.0 - visible)
    return _ENTRY * (2 * sweeps + 2 * asked), _ENTRY * (sweeps + asked * (1 + config["rank"]))


def of_kernels(config, visible, n_records):
    """Bytes an edge that the kernels of ``fused.py`` and what they need move.

    What they need: the residual with hidden edges marked, in the order of both sides, and how many are visible.
    """
    streamed, gathered = of_messages(config, visible, _ROUNDED if n_records >= _LARGE else _ENTRY)
    marked, ordered, counted = 1 + 2 * _ENTRY, 2 * _ENTRY, 2 * (_ENTRY + 1 + 1 + _ENTRY)
    return streamed + marked + ordered + counted, gathered + _ENTRY


def multiplications(config, visible):
    """Multiplications with an addition an edge, in messages."""
    width = config["hidden_dim"] // config["n_heads"]
    return 2 * config["n_layers"] * config["n_heads"] * visible * (8 * width + 12)


def of_prediction(fitted):
    """Bytes that a prediction of a known pair gathers: the rows of both ends in networks and regression."""
    tables = [fitted.network_.terms, fitted.kernel_.terms]
    return sum(table.nbytes // table.shape[-2] for terms in tables for table in terms.values())


def start(n_records, device):
    """The trainer of a large graph."""
    return parts.start(n_records, 1, device, SETTINGS)


def share_visible(trainer, n_draws=20):
    """The share of the edges that members are told of, on average."""
    hidden = [trainer.draw_hidden().float().mean() for _ in range(n_draws)]
    return 1.0 - float(torch.stack(hidden).mean())


def seconds_of(function, device, repeats):
    """The least time of a call on the clock, when the device has done it."""
    found = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - begun)
    return min(found[1:])


def bandwidth(device, size=2**28):
    """Bytes a second that the device reads and writes when it copies memory."""
    source = torch.zeros(size // _ENTRY, device=device)
    target = torch.ones_like(source)
    return 2 * size / seconds_of(lambda: target.copy_(source), device, 5)


def tell_of_epochs(n_records, device):
    """Bytes of the floor and of what is done, and the time of an epoch."""
    counted = start(n_records, torch.device("cpu"))
    config, visible = counted.config, share_visible(counted)
    counted.epoch()
    with Traffic() as traffic:
        counted.epoch()
    del counted
    kinds = traffic.streamed, traffic.gathered
    whole = [kind.total() / n_records for kind in kinds]
    messages = [kind["messages.py"] / n_records for kind in kinds]
    rows = {
        "floor": (of_messages(config, visible), of_the_rest(config, visible)),
        "operations of torch": (whole,),
        "of these in messages": (messages,),
        "with the kernels for GPUs": (
            of_kernels(config, visible, n_records),
            [a - b for a, b in zip(whole, messages, strict=True)],
        ),
    }
    rows = {name: [sum(kind) for kind in zip(*addends, strict=True)] for name, addends in rows.items()}
    least = sum(rows["floor"])
    print(f"{'bytes a record':28}{'streamed':>10}{'gathered':>10}{'all':>10}{'/ floor':>10}")
    for name, kinds in rows.items():
        print(f"{name:28}" + "".join(f"{of:10.0f}" for of in (*kinds, sum(kinds))) + f"{sum(kinds) / least:10.2f}")
    print(f"\n{visible:.2f} of the records visible; {traffic.operations} operations of torch an epoch; in messages")
    print(f"{multiplications(config, visible):.0f} multiplications with an addition a record")
    trainer = start(n_records, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds, speed = seconds_of(trainer.epoch, device, 4), bandwidth(device)
    least *= n_records / speed
    print(f"\n{device} copies at {speed / 1e9:.1f} GB/s: at that speed the floor takes {least:.4f} s")
    print(f"an epoch takes {seconds:.4f} s, {seconds / least:.2f} times the floor")
    if device.type == "cuda":
        print(f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f} MiB at the peak")


def tell_of_predictions(n_pairs):
    """Bytes that a prediction of a known pair reads, and the time of many."""
    records = make_transfer_records(200, 60, 0.5, n_pair_features=0, random_state=0).records
    records = MetadataEncoder().fit_transform(records)
    fitted = TransferabilityGAT(max_iter=1, device="cpu", random_state=0).fit(records)
    size, speed = of_prediction(fitted), bandwidth(torch.device("cpu"))
    rows = np.random.default_rng(0).integers(0, len(records), n_pairs)
    asked = records.iloc[rows].reset_index(drop=True)
    seconds = seconds_of(lambda: fitted.predict(asked), torch.device("cpu"), 2) / n_pairs
    print(f"\na known pair: {size} bytes gathered, {1e6 * size / speed:.2f} us at the speed of copies of the CPU;")
    print(f"one of {n_pairs:,} through predict takes {1e6 * seconds:.2f} us, {seconds * speed / size:.1f} times that")


def main():
    """Tell both."""
    from skgat.gat.runtime import resolve_device

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = resolve_device(args.device)
    print(f"{describe()}; {args.records:,} records, seed 0, least of 4 epochs\n")
    tell_of_epochs(args.records, device)
    tell_of_predictions(args.pairs)


if __name__ == "__main__":
    main()
