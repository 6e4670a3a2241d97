"""The figures to beat: what has been published or measured before, and what the default recommender aims at."""

__all__ = ["TARGETS"]

#: Matrix, scenario, metric: the best figure known before, whose it is, and the target.
TARGETS = {
    ("domainnet", "edges", "paper_figure"): (0.768, "SCG4Trf, authors' code", 0.81),
    ("domainnet", "edges", "cold"): (0.619, "additive bias", 0.66),
    ("domainnet", "edges", "pearson"): (0.614, "additive bias", 0.665),
    ("domainnet", "edges", "spearman"): (0.597, "additive bias", 0.64),
    ("domainnet", "edges", "rmse"): (0.066, "SCG4Trf, authors' code", 0.056),
    ("image", "lodo", "pearson"): (0.848, "TransferGraph, published best", 0.875),
    ("image", "lodo", "spearman"): (0.579, "TransferGraph, published best", 0.63),
    ("image", "lodo", "weighted_kendall"): (0.643, "TransferGraph, published best", 0.69),
    ("text", "lodo", "pearson"): (0.802, "TransferGraph, published best", 0.85),
    ("text", "lodo", "spearman"): (0.654, "TransferGraph, published best", 0.75),
    ("text", "lodo", "weighted_kendall"): (0.447, "TransferGraph, published best", 0.58),
    ("image", "crossed", "pearson"): (0.855, "random forest on metadata and measures", 0.87),
    ("text", "crossed", "pearson"): (0.778, "random forest on metadata and measures", 0.80),
    ("image", "crossed-groups", "pearson"): (0.766, "ridge on metadata and measures", 0.79),
    ("text", "crossed-groups", "pearson"): (0.781, "random forest on metadata and measures", 0.80),
    ("vision-supervised", "lodo", "weighted_kendall"): (0.71, "SFDA, its paper", 0.85),
    ("vision-self-supervised", "lodo", "weighted_kendall"): (0.692, "model mean (z)", 0.74),
    ("vision", "lodo", "weighted_kendall"): (0.700, "model mean (z)", 0.76),
}
