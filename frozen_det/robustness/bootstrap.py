"""What a study measures: numbers with bootstrap intervals, curves; two candidates compared on the same resamples.

Two candidates that were measured on the same images with the same seed have replicates of the same resamples, so their
difference has an interval of its own, much narrower than the two intervals suggest. Refuses to compare others.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from ..errors import InputError

LEVEL = 0.95
NUM_REPLICATES = 300


@dataclass
class Estimate:
    """A number, its 95 % percentile interval and the replicates behind it."""

    value: float
    low: float
    high: float
    replicates: list[float] = field(default_factory=list)


@dataclass
class Series:
    """A curve with an interval at each point; `names` are words for the places on the x axis, where they are words."""

    x: list[float]
    y: list[float]
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass
class Measured:
    """What one study found about one candidate; `notes` say how it was measured."""

    numbers: dict[str, Estimate] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    notes: dict = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict) -> "Measured":
        """Back from JSON."""
        return cls(
            {name: Estimate(**one) for name, one in stored["numbers"].items()},
            {name: Series(**one) for name, one in stored["series"].items()},
            stored["notes"],
        )


class Bootstrap:
    """Resamples of N items, the same ones for the same N and seed.

    Args:
        num_items: N, at least 1.
        seed: of the draws.
        num: replicates.
    """

    def __init__(self, num_items: int, seed: int = 0, num: int = NUM_REPLICATES):
        if num_items < 1:
            raise InputError(f"expected at least one image to measure on, got {num_items}.")
        self.indices = np.random.default_rng([seed, num_items]).integers(0, num_items, (num, num_items))  # (R, N)
        offsets = np.arange(num)[:, None] * num_items
        counts = np.bincount((self.indices + offsets).ravel(), minlength=num * num_items)
        self._weights = counts.reshape(num, num_items) / num_items  # (R, N)

    def mean(self, values: np.ndarray) -> Estimate:
        """Mean of (N,) values."""
        values = np.asarray(values, np.float64)
        return estimate(float(values.mean()), self._weights @ values)

    def means(self, x, values: np.ndarray, names=()) -> Series:
        """Means of (N, T) values as a curve over T places `x`."""
        values = np.asarray(values, np.float64)
        low, high = np.quantile(self._weights @ values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return Series([float(v) for v in x], _rounded(values.mean(0)), _rounded(low), _rounded(high), list(names))

    def best(self, values: np.ndarray) -> Estimate:
        """The largest of T means of (N, T) values; a resample may have its best elsewhere."""
        values = np.asarray(values, np.float32)
        replicates = (self._weights.astype(np.float32) @ values).max(1)
        return estimate(float(values.mean(0, dtype=np.float64).max()), replicates)

    def of(self, measure: Callable[[np.ndarray], float]) -> Estimate:
        """Any measure of a set of item indices; resampling biases some of them (an ECE of resamples is larger)."""
        whole = measure(np.arange(self.indices.shape[1]))
        return estimate(float(whole), np.array([measure(drawn) for drawn in self.indices]))


def estimate(value: float, replicates: np.ndarray) -> Estimate:
    """An estimate from its replicates."""
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), _rounded(replicates))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """``second - first`` on the same resamples.

    Raises:
        InputError: replicates of different numbers.
    """
    if len(first.replicates) != len(second.replicates) or not first.replicates:
        raise InputError(
            f"expected numbers with the same resamples to compare, got {len(first.replicates)} and "
            f"{len(second.replicates)} replicates; measure both with the same --num-images and --seed."
        )
    return estimate(second.value - first.value, np.subtract(second.replicates, first.replicates))


def average(estimates: list[Estimate]) -> Estimate:
    """The mean of several numbers with the same resamples."""
    return estimate(
        float(np.mean([one.value for one in estimates])), np.mean([one.replicates for one in estimates], axis=0)
    )


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in values]
