"""All results that are there, unit by unit, ready to be compared."""

__all__ = ["Board", "Standing", "difference"]

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from quality_contestants import ABLATION_SPLITS, CONTESTANTS, OURS, ablations, why_not
from quality_scores import METRICS, evaluate, paired, summary, unit_value
from quality_splits import SCENARIOS, load_matrix, splits_of
from quality_store import Job


@dataclass(frozen=True)
class Standing:
    """One contestant in one scenario: figures by unit, seconds by split, and whether every split is there."""

    units: dict
    fit_seconds: float
    predict_seconds: float
    n_done: int
    n_splits: int

    @property
    def complete(self):
        """Whether no split is missing."""
        return self.n_done == self.n_splits

    def values(self, metric, units=None):
        """The metric of each unit."""
        return [unit_value(self.units[unit], metric) for unit in (self.units if units is None else units)]


class Board:
    """Reads the store once; a stale result is as good as none."""

    def __init__(self, store):
        self.store = store
        self.machines = set()
        self._found = {}

    def places(self):
        """Every matrix in every scenario where there is a result, in order."""
        places = [(matrix, name) for name, scenario in SCENARIOS.items() for matrix in scenario.matrices]
        return [place for place in places if self.standings(*place)]

    def standings(self, matrix, scenario):
        """By name, every contestant that has a result."""
        if (matrix, scenario) not in self._found:
            if self._any(matrix, scenario):
                found = {name: self._read(matrix, scenario, name) for name in CONTESTANTS}
            else:
                found = {}
            self._found[matrix, scenario] = {name: one for name, one in found.items() if one.n_done}
        return self._found[matrix, scenario]

    def _any(self, matrix, scenario):
        return next((self.store.folder / matrix / scenario).glob("*/*.json"), None) is not None

    def _read(self, matrix, scenario, contestant, most=None):
        splits = splits_of(matrix, scenario, self.store.data_home)[:most]
        jobs = [Job(matrix, scenario, number, contestant) for number in range(len(splits))]
        results = {job: result for job in jobs if (result := self.store.read(job)) is not None}
        for result in results.values():
            self.machines.add(tuple(sorted(result["machine"].items())))
        if SCENARIOS[scenario].pooled:
            units = self._pooled(matrix, scenario, splits, list(results))
        else:
            units = {splits[job.split].unit: result["figures"] for job, result in results.items()}
        seconds = [
            float(np.mean([result[key] for result in results.values()])) if results else float("nan")
            for key in ("fit_seconds", "predict_seconds")
        ]
        return Standing(units, *seconds, len(results), len(splits))

    def _pooled(self, matrix, scenario, splits, jobs):
        """The figures of units that are made of several splits, as far as all of these are there."""
        of_draw = defaultdict(list)
        for job in jobs:
            of_draw[splits[job.split].unit, splits[job.split].draw].append(job)
        expected = Counter((split.unit, split.draw) for split in splits)
        records, least = load_matrix(matrix, self.store.data_home).records, SCENARIOS[scenario].least_rows(matrix)
        draws = defaultdict(list)
        for (unit, draw), members in of_draw.items():
            if len(members) == expected[unit, draw]:
                rows = np.concatenate([splits[job.split].test for job in members])
                predictions = np.concatenate([self.store.predictions(job) for job in members], axis=1)
                draws[unit].append(evaluate(records.iloc[rows], predictions, least, failures=True))
        return {unit: _mean_of(figures) for unit, figures in draws.items()}

    def best_other(self, matrix, scenario, metric):
        """The name of the contestant beside ours with the best mean, among the complete ones; None without any."""
        higher = METRICS[metric][1]
        means = {
            name: summary(one.values(metric))[0]
            for name, one in self.standings(matrix, scenario).items()
            if name != OURS and one.complete
        }
        means = {name: mean if higher else -mean for name, mean in means.items() if np.isfinite(mean)}
        return max(means, key=means.get, default=None)

    def difference(self, matrix, scenario, metric, other):
        """Ours less another contestant, unit by unit, turned so that positive is better for ours.

        Returns
        -------
        mean, standard error, p-value of the t test, p-value of the Wilcoxon test
        """
        standings = self.standings(matrix, scenario)
        return difference(standings[OURS], standings[other], metric)

    def ablations(self):
        """By title, the changes that have results: by place, the default on the same splits and the changed one."""
        found = defaultdict(dict)
        for matrix, scenario, most in ABLATION_SPLITS:
            if not (self.store.folder / matrix / scenario).is_dir():
                continue
            default = self._read(matrix, scenario, OURS, most)
            for name, contestant in ablations().items():
                changed = self._read(matrix, scenario, name, most)
                if changed.n_done and default.n_done:
                    found[contestant.title][matrix, scenario] = changed, default
        return found

    def absent(self):
        """By title, why a contestant takes no part anywhere, or only in some matrices."""
        reasons = {}
        for contestant in CONTESTANTS.values():
            if contestant.missing():
                reasons[contestant.title] = f"{', '.join(contestant.missing())} not installed"
                continue
            without = defaultdict(list)
            for matrix in dict.fromkeys(matrix for matrix, _ in self.places()):
                without[why_not(contestant, load_matrix(matrix, self.store.data_home).records)].append(matrix)
            without.pop(None, None)
            if without:
                told = [f"{why} in {', '.join(matrices)}" for why, matrices in without.items()]
                reasons[contestant.title] = "; ".join(told)
        return reasons


def _mean_of(figures):
    """The mean of several figures, or of nested tables of figures that are alike."""
    if isinstance(figures[0], dict):
        return {name: _mean_of([one[name] for one in figures]) for name in figures[0]}
    return float(np.mean(figures))


def difference(one, other, metric):
    """One standing less another, over the units that both have; see :meth:`Board.difference`."""
    units = [unit for unit in one.units if unit in other.units]
    sign = 1.0 if METRICS[metric][1] else -1.0
    ours, theirs = (sign * np.array(standing.values(metric, units)) for standing in (one, other))
    return paired(ours, theirs)
