"""What rows of 16 bits a number, as the kernels for large graphs on a GPU read them, do to the quality.

    OMP_NUM_THREADS=1 python benchmarks/speed/rounding.py [--data FOLDER] [--splits 5]

On a CPU: what nodes say, and the derivatives by what they hear, are rounded as there, with edges as lists. Networks
alone, which is where rounding could show, on a fifth of the pairs and on a fifth of the datasets, which are hidden.
Figures are means over the splits of means over datasets; what rounding changes has its standard error beside it.
"""

import argparse
import warnings

import numpy as np
import torch
from machine import describe
from sklearn.model_selection import ShuffleSplit

from skgat import MetadataEncoder, TransferabilityGAT, datasets
from skgat.gat import edges, fitting
from skgat.gat import messages as plain
from skgat.metrics import pearson, weighted_kendall
from skgat.model_selection import LeaveDatasetsOut

SETTINGS = {"kernel_weight": 0.0, "forest_weight": 0.0, "device": "cpu", "random_state": 0}


class _Rounded(torch.autograd.Function):
    """Values, or derivatives, as 16 bits hold them."""

    @staticmethod
    def forward(ctx, values, ahead):
        ctx.ahead = ahead
        return values.bfloat16().to(values.dtype) if ahead else values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient if ctx.ahead else gradient.bfloat16().to(gradient.dtype), None


class RoundedMessages(plain.SparseMessages):
    """Messages made of rounded rows."""

    def add_up(self, query, key, slopes, values, scored, side):
        """What the receivers hear before it is divided by their mass."""
        said = [None if rows is None else _Rounded.apply(rows, True) for rows in (values, scored)]
        return _Rounded.apply(super().add_up(query, key, slopes, *said, side), False)


def figures(records, train, test):
    """Weighted Kendall, Pearson and the error of a fit on hidden pairs."""
    known, hidden = records.iloc[train], records.iloc[test]
    encoder = MetadataEncoder().fit(known)
    fitted = TransferabilityGAT(**SETTINGS).fit(encoder.transform(known))
    said, truth = fitted.predict(encoder.transform(hidden)), hidden["score"].to_numpy()
    ranks = [metric(truth, said, groups=hidden["dataset"].to_numpy()) for metric in (weighted_kendall, pearson)]
    return [*ranks, np.sqrt(np.mean((said - truth) ** 2))]


def compare(records, splits):
    """The figures without rounding, and by how much they change with it, of each split."""
    found = []
    for train, test in splits:
        both = []
        for kind in (plain.SparseMessages, RoundedMessages):
            edges.messages_on = lambda device_type, kind=kind: kind
            both.append(figures(records, train, test))
        found.append(both)
    found = np.array(found)
    return found[:, 0], found[:, 1] - found[:, 0]


def main():
    """Compare on three matrices."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the downloaded matrices; by default that of skgat.datasets")
    parser.add_argument("--splits", type=int, default=5)
    args = parser.parse_args()
    fitting.choose_layout = edges.SparseEdges
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    matrices = {
        "DomainNet": datasets.fetch_domainnet_transfer(args.data).records,
        "TransferGraph image": datasets.fetch_transfergraph("image", args.data).records,
        "Digits zoo": datasets.load_digits_zoo().records,
    }
    print(f"{describe()}; {args.splits} splits, seed 0\n")
    print(f"{'':38}{'weighted Kendall':>24}{'Pearson':>24}{'RMSE':>24}")
    for name, records in matrices.items():
        ways = {
            "pairs": ShuffleSplit(args.splits, test_size=0.2, random_state=0).split(records),
            "datasets": LeaveDatasetsOut(args.splits, random_state=0).split(records),
        }
        for hidden, splits in ways.items():
            alone, change = compare(records, splits)
            errors = change.std(axis=0, ddof=1) / len(change) ** 0.5
            told = zip(alone.mean(axis=0), change.mean(axis=0), errors, strict=True)
            print(f"{f'{name}, hidden {hidden}':38}" + "".join(f"{a:8.4f} {b:+8.4f} ±{c:5.4f}" for a, b, c in told))


if __name__ == "__main__":
    main()
