"""The AP to expect of a backbone and a way to use it, from a short frozen probe, with an interval.

The model. ``z = logit(AP)``, AP kept within 0.01 and 0.99. Of set s, backbone b and way w of the study

    z(s, b, frozen) = a + c * z(probe of s, b) + what is left
    z(s, b, w) = z(s, b, frozen) + d(w) + what is left

a and c by least squares with every set of one weight, c at least 0, and d(w) the mean over sets of the mean over their
backbones of ``z(s, b, w) - z(s, b, frozen)``, of all folds. Beside a probe stand the AP of its own fold alone: of the
other folds' test images it has seen many. What is left is taken from sets that the numbers did not see: each set is
foretold from the others, and the mean over sets of its mean squared error is the variance of a forecast for w. An
interval is the forecast and Student's t (two-sided 80 %, sets minus one degrees of freedom) times the root of it. A way
that was measured on fewer than three sets is not foretold.

Two choices on one set share what is special to the set, so their difference has a variance of its own: that of the
difference of the errors of two ways at one backbone, plus that of two backbones in one way, each where they differ.
They are told apart where the interval of the difference does not hold zero.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from ..errors import InputError
from .facts import FACTS

FROZEN = "frozen"
#: Of an interval.
LEVEL = 0.8
#: Sets from which on anything is foretold.
LEAST_SETS = 3
# Within this factor of the least and the most that the study saw, data count as seen.
_NEAR = 2.0
_LOWEST, _HIGHEST = 0.01, 0.99
_FILE = Path(__file__).parent / "study_table.json"


@dataclass(frozen=True)
class Cell:
    """A backbone on a set of the study.

    Attributes:
        set, backbone: names.
        probe: AP of the probe.
        AP: by way, of test images that the probe has not seen; `frozen` is one of them.
        gains: by way, over frozen in logits, of the mean AP over all folds; a way that is not there has that of `AP`.
    """

    set: str
    backbone: str
    probe: float
    AP: Mapping[str, float]
    gains: Mapping[str, float] = field(default_factory=dict)

    def gain(self, way: str) -> float:
        """Over frozen, in logits."""
        return self.gains[way] if way in self.gains else logit(self.AP[way]) - logit(self.AP[FROZEN])


@dataclass(frozen=True)
class Line:
    """a, c and d of the model."""

    start: float
    slope: float
    gains: Mapping[str, float]

    def logit(self, probe: float, way: str) -> float:
        """z that is expected."""
        return self.start + self.slope * logit(probe) + self.gains[way]


@dataclass(frozen=True)
class Expected:
    """An AP with its interval, 0 to 1."""

    AP: float
    low: float
    high: float


class Expectations:
    """Forecasts from the cells of some sets.

    Args:
        cells: of at least :data:`LEAST_SETS` sets.
        facts: by set, of :func:`.facts.facts_of`.
        rates: learning rate by way.

    Raises:
        InputError: cells of fewer sets, or without a way that all can be compared with, `frozen`.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        facts: Mapping[str, Mapping[str, float]] | None = None,
        rates: Mapping[str, float] | None = None,
    ):
        self.cells, self.facts, self.rates = list(cells), dict(facts or {}), dict(rates or {})
        self.sets = list(dict.fromkeys(cell.set for cell in cells))
        if len(self.sets) < LEAST_SETS:
            raise InputError(
                f"expected measured AP of at least {LEAST_SETS} sets to foretell others from, got {len(self.sets)}."
            )
        self.line = fitted(cells)
        self._left = left_over(cells)

    @property
    def ways(self) -> list[str]:
        """Ways that can be foretold: measured on :data:`LEAST_SETS` sets or more."""
        return [way for way, by_set in self._left.items() if len(by_set) >= LEAST_SETS]

    def expect(self, probe: float, way: str) -> Expected:
        """AP of a way at full length, from the AP of the probe; ask :meth:`is_near` of that first."""
        centre, errors = self.line.logit(probe, way), self._left[way]
        far = _student(len(errors)) * math.sqrt(_mean_square(errors))
        return Expected(*(probability(centre + sign * far) for sign in (0, -1, 1)))

    def difference(self, first: tuple[str, float, str], other: tuple[str, float, str]) -> tuple[float, float]:
        """Of the logits of two choices, and half its interval.

        Args:
            first, other: backbone, AP of its probe, way.
        """
        (body, probe, way), (other_body, other_probe, other_way) = first, other
        found = self.line.logit(probe, way) - self.line.logit(other_probe, other_way)
        variance, sets = 0.0, len(self.sets)
        if way != other_way:
            parts = self._of_ways(way, other_way)
            variance, sets = variance + _mean_square(parts), min(sets, len(parts))
        if body != other_body:
            parts = self._of_backbones()
            variance, sets = variance + _mean_square(parts), min(sets, len(parts))
        return found, _student(sets) * math.sqrt(variance) if variance < math.inf else math.inf

    def told_apart(self, first: tuple[str, float, str], other: tuple[str, float, str]) -> bool:
        """Whether the interval of the difference does not hold zero."""
        found, half = self.difference(first, other)
        return abs(found) > half

    @property
    def probes(self) -> tuple[float, float]:
        """The least and the most AP of a probe that the study saw."""
        found = [cell.probe for cell in self.cells]
        return min(found), max(found)

    def is_near(self, probe: float) -> bool:
        """Whether the AP of a probe is within twice those that the study saw: beyond, no interval holds."""
        low, high = self.probes
        return low / _NEAR <= probe <= high * _NEAR

    def outside(self, facts: Mapping[str, float]) -> list[str]:
        """In words, what of some data is far from all that the study saw."""
        seen = {name: [of_set[name] for of_set in self.facts.values()] for name in FACTS} if self.facts else {}
        found = []
        for name, values in seen.items():
            low, high = min(values), max(values)
            if not low / _NEAR <= facts[name] <= high * _NEAR:
                found.append(f"{FACTS[name]}: {facts[name]:g}, in the study {low:g} to {high:g}")
        return found

    def _of_ways(self, way: str, other: str) -> dict[str, list[float]]:
        """By set, differences of the errors of two ways at one backbone."""
        found: dict[str, list[float]] = {}
        for one, errors in self._left[way].items():
            also = self._left[other].get(one, {})
            values = [errors[body] - also[body] for body in errors if body in also]
            if values:
                found[one] = values
        return found

    def _of_backbones(self) -> dict[str, list[float]]:
        """By set, differences of the errors of two backbones, frozen."""
        found = {}
        for one, errors in self._left[FROZEN].items():
            values = [first - other for first, other in combinations(errors.values(), 2)]
            if values:
                found[one] = values
        return found


def shipped() -> Expectations | None:
    """Forecasts from the study's own table in this package; None while the study has too few sets."""
    return loaded(json.loads(_FILE.read_text(encoding="utf-8"))) if _FILE.is_file() else None


def loaded(table: Mapping) -> Expectations | None:
    """Forecasts from a table: ``cells``, ``facts``, ``rates``; None where it has too few sets."""
    cells = [Cell(**one) for one in table["cells"]]
    if len({cell.set for cell in cells}) < LEAST_SETS:
        return None
    return Expectations(cells, table["facts"], table["rates"])


def fitted(cells: Sequence[Cell]) -> Line:
    """The model's a, c and d; cells of one set alone have c = 0."""
    per_set = {one: sum(cell.set == one for cell in cells) for one in {cell.set for cell in cells}}
    weights = np.array([1 / per_set[cell.set] for cell in cells])
    probes = np.array([logit(cell.probe) for cell in cells])
    frozen = np.array([logit(cell.AP[FROZEN]) for cell in cells])
    centre, level = (float(np.average(values, weights=weights)) for values in (probes, frozen))
    spread = float(np.average((probes - centre) ** 2, weights=weights))
    shared = float(np.average((probes - centre) * (frozen - level), weights=weights))
    slope = max(0.0, shared / spread) if len(per_set) > 1 and spread > 0 else 0.0
    gains: dict[str, dict[str, list[float]]] = {}
    for cell in cells:
        for way in cell.AP:
            gains.setdefault(way, {}).setdefault(cell.set, []).append(cell.gain(way))
    means = {way: float(np.mean([np.mean(values) for values in by_set.values()])) for way, by_set in gains.items()}
    return Line(level - slope * centre, slope, means)


def left_over(cells: Sequence[Cell]) -> dict[str, dict[str, dict[str, float]]]:
    """By way, set and backbone: measured logit minus the one that the other sets foretell."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for one in dict.fromkeys(cell.set for cell in cells):
        line = fitted([cell for cell in cells if cell.set != one])
        for cell in cells:
            for way in cell.AP if cell.set == one else ():
                if way in line.gains:
                    error = logit(cell.AP[way]) - line.logit(cell.probe, way)
                    found.setdefault(way, {}).setdefault(one, {})[cell.backbone] = error
    return found


def logit(AP: float) -> float:
    """Of an AP kept within 0.01 and 0.99."""
    kept = min(max(AP, _LOWEST), _HIGHEST)
    return math.log(kept / (1 - kept))


def probability(z: float) -> float:
    """The inverse of :func:`logit`."""
    return 1 / (1 + math.exp(-z))


def _mean_square(by_set: Mapping) -> float:
    """Mean over sets of the mean square of their values; without limit below two sets, whose mean says nothing."""
    rows = [list(values.values()) if isinstance(values, Mapping) else values for values in by_set.values()]
    return float(np.mean([np.mean(np.square(row)) for row in rows])) if len(rows) > 1 else math.inf


def _student(sets: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + LEVEL / 2, max(1, sets - 1)))
