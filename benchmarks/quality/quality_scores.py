"""From predictions to figures: metrics of the held-out pairs, means, standard errors, paired tests."""

__all__ = ["METRICS", "evaluate", "paired", "summary", "unit_value"]

import warnings

import numpy as np
from scipy.stats import ttest_rel, wilcoxon

from skgat import metrics

#: Metrics of the pairs of one dataset.
_OF_DATASET = {
    "pearson": metrics.pearson,
    "spearman": metrics.spearman,
    "weighted_kendall": metrics.weighted_kendall,
    "regret": lambda *args, groups: metrics.top_k_regret(*args, groups=groups, k=1),
    "relative_accuracy": lambda *args, groups: metrics.relative_accuracy(*args, groups=groups, k=5),
}

#: Title, whether higher is better, digits; in the order of the tables.
METRICS = {
    "pearson": ("Pearson", True, 3),
    "spearman": ("Spearman", True, 3),
    "weighted_kendall": ("w. Kendall", True, 3),
    "regret": ("regret@1", False, 4),
    "relative_accuracy": ("rel. acc.@5", True, 3),
    "rmse": ("RMSE", False, 4),
    "paper_figure": ("paper figure", True, 3),
    "cold": ("cold", True, 3),
    "pearson_without_failures": ("Pearson w/o failures", True, 3),
}

#: Median absolute deviations, in units of the standard deviation, below the median: further down a run has failed.
_FAILED = 4.0
_QUANTILES = {80: 1.2815515655446004, 95: 1.959963984540054}


def evaluate(records, predictions, least, known=None, failures=False):
    """All figures of one unit.

    Parameters
    ----------
    records : frame
        The held-out pairs with their scores.
    predictions : array of shape (1 or 2, n_records)
        Predicted scores, and their standard deviations if the contestant tells them.
    least : int
        Datasets with fewer pairs are left out of the ranking metrics.
    known : frame, optional
        The pairs that were learned from, of the same datasets or others; given where the paper's figure is wanted.
    failures : bool
        Whether to correlate also without failed runs.

    Returns
    -------
    dict
        ``datasets``: by dataset, its metrics. ``overall``: the metrics of the unit as a whole.
    """
    truth, predicted = records["score"].to_numpy(), predictions[0]
    of_datasets = {}
    for dataset, rows in records.groupby("dataset").indices.items():
        if len(rows) >= least and np.ptp(truth[rows]) > 0:
            of_datasets[str(dataset)] = _of_dataset(truth[rows], predicted[rows], failures)
    overall = {"n": len(truth), "rmse": float(np.sqrt(np.mean((truth - predicted) ** 2)))}
    if len(predictions) > 1:
        error, std = np.abs(truth - predicted), predictions[1]
        for level, quantile in _QUANTILES.items():
            overall[f"coverage_{level}"] = float(np.mean(error <= quantile * std))
            overall[f"width_{level}"] = float(np.mean(2.0 * quantile * std))
    if known is not None:
        overall |= _paper_figures(records, predicted, known)
    return {"datasets": of_datasets, "overall": overall}


def _of_dataset(truth, predicted, failures):
    one = np.zeros(len(truth))
    found = {name: metric(truth, predicted, groups=one) for name, metric in _OF_DATASET.items()}
    if failures:
        median = np.median(truth)
        spread = 1.4826 * np.median(np.abs(truth - median))
        well = truth >= median - _FAILED * spread
    if failures and np.ptp(truth[well]) > 0:
        found["pearson_without_failures"] = metrics.pearson(truth[well], predicted[well], groups=one[well])
    return found


def _paper_figures(records, predicted, known):
    """Pearson of whole columns in which known entries stand as they are: of all datasets, of those without any."""
    truth = np.concatenate([records["score"], known["score"]])
    mixed = np.concatenate([predicted, known["score"]])
    dataset = np.concatenate([records["dataset"], known["dataset"]])
    cold = ~np.isin(dataset, known["dataset"].unique())
    return {
        "paper_figure": metrics.pearson(truth, mixed, groups=dataset),
        "cold": metrics.pearson(truth[cold], mixed[cold], groups=dataset[cold]),
    }


def unit_value(figures, metric):
    """One number for a unit: the mean over its datasets, or the figure of the whole; nan where there is none."""
    if metric in figures["overall"]:
        return figures["overall"][metric]
    values = [of_dataset[metric] for of_dataset in figures["datasets"].values() if metric in of_dataset]
    values = [value for value in values if np.isfinite(value)]
    return float(np.mean(values)) if values else float("nan")


def summary(values):
    """Mean and standard error of the finite values; the error of a single one is nan."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def paired(ours, theirs):
    """Mean and standard error of the difference, and the p-values of the paired t and the Wilcoxon signed-rank test."""
    difference = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    finite = np.isfinite(difference)
    difference = difference[finite]
    mean, error = summary(difference)
    if len(difference) < 2:
        return mean, error, float("nan"), float("nan")
    if not difference.any():
        return mean, error, 1.0, 1.0
    with warnings.catch_warnings():
        # Of equal differences the t statistic is infinite, which is right; older versions of scipy say that zeros make
        # the Wilcoxon test approximate.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        t_test = ttest_rel(np.asarray(ours)[finite], np.asarray(theirs)[finite]).pvalue
        rank_test = wilcoxon(difference).pvalue
    return mean, error, float(t_test), float(rank_test)
