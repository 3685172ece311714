"""What the records of the study say: means with intervals over images, differences to another arm, ranks over sets.

An AP of an arm on a set is the mean over its folds, and over its seeds where there are several. Its interval is that
of resampled test images (percentiles of 200 resamples, each fold resampled by itself); runs on the same fold are
resampled alike, so that differences of arms are paired. A difference over sets resamples the sets as well. Resampled
APs lie a little above that of all images (copies of an image are found alike), so an interval is shifted by the
difference of their mean to the AP. All intervals are of 95 %.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arms import ARMS, StudyRun
from .plan import RATE_TABLES, RATES_OF, TABLES, chosen_rates
from .running import unpacked

LEVEL = 0.95
_SET_RESAMPLES = 4000


@dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Attributes:
        value: AP or a difference of APs, of 1.
        low, high: of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Cell:
    """An arm on a set.

    Attributes:
        values: (F,) AP of each fold, the mean over its seeds.
        resampled: (F, B) of its test images, the mean over its seeds.
        records: all runs.
    """

    values: np.ndarray
    resampled: np.ndarray
    records: tuple[dict, ...]

    @property
    def estimate(self) -> Estimate:
        """AP with its interval."""
        return estimate(float(self.values.mean()), self.resampled.mean(0))

    def minus(self, other: "Cell") -> Estimate:
        """Difference to another arm on the same folds."""
        return estimate(float((self.values - other.values).mean()), (self.resampled - other.resampled).mean(0))


def cell_of(records: Sequence[dict]) -> Cell:
    """Finished runs of an arm on a set as a cell; seeds of a fold are averaged."""
    by_fold: dict[int, list[dict]] = {}
    for record in records:
        by_fold.setdefault(record["fold"], []).append(record)
    folds = [by_fold[fold] for fold in sorted(by_fold)]
    values = np.array([np.mean([record["numbers"]["mAP"] for record in one]) for one in folds])
    resampled = np.stack([np.mean([unpacked(record["resampled"]) for record in one], axis=0) for one in folds])
    return Cell(values, resampled, tuple(records))


class Where(NamedTuple):
    """What the runs of a cell share."""

    set: str
    backbone: str
    arm: str
    decoder: str = StudyRun.decoder
    share: float = StudyRun.share


class Study:
    """Finished runs by the tables they belong to.

    Args:
        records: of finished runs.

    Attributes:
        rates: by table of rates that is whole, each arm's learning rate. Before, the tables that need it are empty.
    """

    def __init__(self, records: Sequence[dict]):
        self.records = {record["key"]: record for record in records}
        self.rates = {
            name: chosen_rates(records, name)
            for name in RATE_TABLES
            if all(run.key in self.records for run in TABLES[name]({}))
        }
        self._cells: dict[str, dict[Where, Cell]] = {}

    def runs(self, name: str) -> list[StudyRun]:
        """All runs of a table."""
        return TABLES[name](self.rates.get(RATES_OF.get(name, "rates"), dict.fromkeys(ARMS, math.nan)))

    def finished(self, name: str) -> list[dict]:
        """Records of a table, in the order of its runs."""
        return [self.records[run.key] for run in self.runs(name) if run.key in self.records]

    def cells(self, *names: str) -> dict[Where, Cell]:
        """The cells of tables of which no run is missing."""
        for name in names:
            if name not in self._cells:
                groups: dict[Where, list[StudyRun]] = {}
                for run in self.runs(name):
                    where = Where(run.set, run.backbone, run.arm, run.decoder, run.share)
                    groups.setdefault(where, []).append(run)
                self._cells[name] = {
                    where: cell_of([self.records[run.key] for run in group])
                    for where, group in groups.items()
                    if all(run.key in self.records for run in group)
                }
        return {where: found for name in names for where, found in self._cells[name].items()}


def over_sets(cells: Sequence[Cell], others: Sequence[Cell], seed: int = 0) -> Estimate:
    """Mean difference over sets, for sets of this kind: sets and images are resampled.

    Args:
        cells, others: of the same sets, in the same order.
    """
    values = np.array([(one.values - other.values).mean() for one, other in zip(cells, others, strict=True)])
    resampled = np.stack([(one.resampled - other.resampled).mean(0) for one, other in zip(cells, others, strict=True)])
    draw = np.random.default_rng(seed)
    sets = draw.integers(len(values), size=(_SET_RESAMPLES, len(values)))
    images = draw.integers(resampled.shape[1], size=(_SET_RESAMPLES, len(values)))
    return estimate(float(values.mean()), resampled[sets, images].mean(1))


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of arms over sets (Demsar, JMLR 7, 2006).

    Attributes:
        means: rank 1 is best, the mean over sets; ties share a rank.
        critical: difference of mean ranks from which Nemenyi's test tells two arms apart at 5 %.
        p: of Friedman's test that all arms are alike.
        num_sets: over how many.
    """

    means: dict[str, float]
    critical: float
    p: float
    num_sets: int

    def groups(self) -> list[list[str]]:
        """Longest runs of arms, best first, none of which is told from another of the run."""
        names = sorted(self.means, key=lambda name: self.means[name])
        found: list[list[str]] = []
        for start, first in enumerate(names):
            alike = [name for name in names[start:] if self.means[name] - self.means[first] < self.critical]
            if len(alike) > 1 and not (found and set(alike) <= set(found[-1])):
                found.append(alike)
        return found


def ranks(table: dict[str, Sequence[float]]) -> Ranks:
    """Ranks of arms by their numbers on the same sets.

    Args:
        table: arm -> AP on each set; at least three arms and two sets.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    names = list(table)
    values = np.array([table[name] for name in names])
    placed = np.apply_along_axis(rankdata, 0, -values)
    arms, sets = values.shape
    q = studentized_range.ppf(LEVEL, arms, np.inf) / np.sqrt(2)
    critical = float(q * np.sqrt(arms * (arms + 1) / (6 * sets)))
    means = dict(zip(names, placed.mean(1).tolist(), strict=True))
    return Ranks(means, critical, float(friedmanchisquare(*values).pvalue), sets)


def seed_spread(records: Iterable[dict]) -> float:
    """Standard deviation of AP between seeds within a fold, pooled over folds; NaN without two seeds in a fold."""
    by_fold: dict[int, list[float]] = {}
    for record in records:
        by_fold.setdefault(record["fold"], []).append(record["numbers"]["mAP"])
    groups = [values for values in by_fold.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in groups)
    if not freedom:
        return float("nan")
    return float(np.sqrt(sum(np.var(values) * len(values) for values in groups) / freedom))


def estimate(value: float, resampled: np.ndarray) -> Estimate:
    """A value with the interval of (B,) resampled ones, moved by the difference of their mean to the value."""
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - (resampled.mean() - value)
    return Estimate(value, float(low), float(high))
