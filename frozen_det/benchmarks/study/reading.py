"""What the records of the study say: means with intervals, differences to another arm, ranks over sets.

An AP of an arm on a set is the mean over its folds, and over its seeds where there are several. Its interval holds two
things. Test images: percentiles of 200 resamples, each fold resampled by itself; runs on the same fold are resampled
alike, so that differences of arms are paired. Resampled APs lie a little above that of all images (copies of an image
are found alike), so an interval is shifted by the difference of their mean to the AP. Training: the same arm trained
again would be another detector; the variance of that (:attr:`Study.variances`) widens the interval.

A mean difference over five sets or more has Student's interval over the sets: for sets like these. Over fewer it holds
images and training alone: for these sets. All intervals are of 95 %.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .arms import ARMS, StudyRun
from .plan import RATE_TABLES, RATES_OF, TABLES, chosen_rates
from .running import unpacked
from .sets import SETS

LEVEL = 0.95
#: Sets from which on something is said of sets like these.
LEAST_SETS = 5


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
        variance: of the mean over folds, from training.
    """

    values: np.ndarray
    resampled: np.ndarray
    records: tuple[dict, ...]
    variance: float = 0.0

    @property
    def estimate(self) -> Estimate:
        """AP with its interval."""
        return estimate(float(self.values.mean()), self.resampled.mean(0), self.variance)

    def minus(self, other: "Cell") -> Estimate:
        """Difference to another arm on the same folds."""
        resampled = (self.resampled - other.resampled).mean(0)
        return estimate(float((self.values - other.values).mean()), resampled, self.variance + other.variance)


def cell_of(records: Sequence[dict], variance: float = 0.0) -> Cell:
    """Finished runs of an arm on a set as a cell; seeds of a fold are averaged.

    Args:
        records: at least one.
        variance: of one run's AP, from training.
    """
    by_fold: dict[int, list[dict]] = {}
    for record in records:
        by_fold.setdefault(record["fold"], []).append(record)
    folds = [by_fold[fold] for fold in sorted(by_fold)]
    values = np.array([np.mean([record["numbers"]["mAP"] for record in one]) for one in folds])
    resampled = np.stack([np.mean([unpacked(record["resampled"]) for record in one], axis=0) for one in folds])
    return Cell(values, resampled, tuple(records), variance * sum(1 / len(one) for one in folds) / len(folds) ** 2)


def training_variance(values: np.ndarray, resampled: np.ndarray) -> tuple[float, int]:
    """Variance of one run's AP from all that training changes (seed, order, images of the fold), and its degrees of
    freedom.

    Arms and folds have their means; what is left of a table of both is training and test images. The images' share is
    what is left of the resampled APs, and is taken off.

    Args:
        values: (A, F) AP of arms on the folds of a set, at least two of each.
        resampled: (A, F, B) of the same test images for all arms.
    """
    arms, folds = values.shape
    left, of_images = _residuals(values), _residuals(resampled - resampled.mean(-1, keepdims=True))
    found = np.square(left).sum() - np.square(of_images).sum((0, 1)).mean()
    freedom = (arms - 1) * (folds - 1)
    return max(0.0, float(found)) / freedom, freedom


def _residuals(table: np.ndarray) -> np.ndarray:
    of_arms, of_folds = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    return table - of_arms - of_folds + of_arms.mean(0, keepdims=True)


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

    def repeated(self, one: str) -> list[dict]:
        """Records of a set in the first fold, which the table of seeds repeats for some arms."""
        records = [*self.finished("main"), *self.finished("seeds")]
        return [record for record in records if record["set"] == one and record["fold"] == 0]

    @cached_property
    def variances(self) -> dict[str, float]:
        """By set, of one run's AP from training: :func:`training_variance` of the arms of the main table that are
        whole and :func:`seed_variance`, weighted by their degrees of freedom; a set that has neither has the mean of
        the others, and 0 where no set has."""
        by_set: dict[str, list[Cell]] = {}
        for where, group in self._groups("main"):
            by_set.setdefault(where.set, []).append(cell_of(group))
        found: dict[str, float] = {}
        for one in SETS:
            own = by_set.get(one, [])
            parts = [seed_variance(self.repeated(one))]
            if len(own) > 1:
                values, resampled = (np.stack([getattr(cell, of) for cell in own]) for of in ("values", "resampled"))
                parts.append(training_variance(values, resampled))
            freedom = sum(number for _, number in parts)
            if freedom:
                found[one] = sum(value * number for value, number in parts) / freedom
        mean = float(np.mean(list(found.values()))) if found else 0.0
        return {one: found.get(one, mean) for one in SETS}

    def cells(self, *names: str) -> dict[Where, Cell]:
        """The cells of tables of which no run is missing."""
        for name in names:
            if name not in self._cells:
                self._cells[name] = {
                    where: cell_of(group, self.variances[where.set]) for where, group in self._groups(name)
                }
        return {where: found for name in names for where, found in self._cells[name].items()}

    def _groups(self, name: str) -> Iterator[tuple[Where, list[dict]]]:
        groups: dict[Where, list[StudyRun]] = {}
        for run in self.runs(name):
            groups.setdefault(Where(run.set, run.backbone, run.arm, run.decoder, run.share), []).append(run)
        for where, group in groups.items():
            if all(run.key in self.records for run in group):
                yield where, [self.records[run.key] for run in group]


def over_sets(cells: Sequence[Cell], others: Sequence[Cell]) -> Estimate:
    """Mean difference over sets: from :data:`LEAST_SETS` on for sets of this kind, of fewer for these sets alone.

    Args:
        cells, others: of the same sets, in the same order.
    """
    pairs = list(zip(cells, others, strict=True))
    values = np.array([(one.values - other.values).mean() for one, other in pairs])
    if len(pairs) >= LEAST_SETS:
        return student(values)
    resampled = np.mean([(one.resampled - other.resampled).mean(0) for one, other in pairs], axis=0)
    variance = sum(one.variance + other.variance for one, other in pairs) / len(pairs) ** 2
    return estimate(float(values.mean()), resampled, variance)


def student(values: np.ndarray) -> Estimate:
    """Mean of (N,) values, at least two, with Student's interval."""
    from scipy.stats import t

    far = t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return Estimate(float(values.mean()), float(values.mean() - far), float(values.mean() + far))


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


def seed_variance(records: Iterable[dict]) -> tuple[float, int]:
    """Variance of AP between seeds of an arm on a fold, pooled, and its degrees of freedom.

    Args:
        records: of one set, backbone, decoder and share; 0 and 0 where no arm has two seeds on a fold.
    """
    groups: dict[tuple, list[float]] = {}
    for record in records:
        groups.setdefault((record["arm"], record["fold"]), []).append(record["numbers"]["mAP"])
    freedom = sum(len(values) - 1 for values in groups.values())
    squares = sum(float(np.var(values)) * len(values) for values in groups.values())
    return (squares / freedom, freedom) if freedom else (0.0, 0)


def estimate(value: float, resampled: np.ndarray, variance: float = 0.0) -> Estimate:
    """A value with the interval of (B,) resampled ones, moved by the difference of their mean to the value.

    Args:
        value: of all images.
        resampled: of resampled images.
        variance: of what they do not hold; the interval is widened by it.
    """
    from scipy.stats import norm

    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - resampled.mean()
    own = float(resampled.var())
    if own > 0:
        low, high = (end * math.sqrt(1 + variance / own) for end in (low, high))
    else:
        low, high = (sign * norm.ppf((1 + LEVEL) / 2) * math.sqrt(variance) for sign in (-1, 1))
    return Estimate(value, float(value + low), float(value + high))
