"""One backbone's scores, their spread, and the order that follows from them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from .costs import StepCost
from .object_features import ObjectFeatures
from .probes import Probe
from .scores import box_logme, h_score, logme, nearest_mean_accuracy

#: Scores by their names in tables; all are larger where the features fit better.
SCORES: dict[str, Callable[[ObjectFeatures], float]] = {
    "LogME": lambda found: logme(found.features, found.labels),
    "class means": lambda found: nearest_mean_accuracy(found.features, found.labels),
    "H-score": lambda found: h_score(found.features, found.labels),
    "box LogME": lambda found: box_logme(found.features, found.boxes_xyxy, found.sizes_hw),
}
_OF_CLASSES = ("LogME", "class means", "H-score")
# Objects for each value of a feature below which the H-score's covariance is noise.
_OBJECTS_PER_VALUE = 5
_HALVES = 20
# Halves of fewer images are hardly draws, those of one are all the same; the deviation of fewer halves is noise.
_LEAST_IMAGES, _LEAST_HALVES = 4, 4
_TOLD_APART = 2.0


@dataclass
class Row:
    """One backbone.

    Attributes:
        name: as of ``--backbone``.
        architecture: library and name of the network.
        values: D, of an object's feature.
        scores: by name; without those that cannot be read.
        halves: the same on each half of the images, NaN where a half cannot be scored or there are too few images.
        costs: by way; empty where there was no time.
        ways: of :data:`.costs.WAYS` that the network takes.
        probe: None where none was trained.
    """

    name: str
    architecture: str
    values: int
    scores: dict[str, float]
    halves: dict[str, np.ndarray]
    costs: dict[str, StepCost] = field(default_factory=dict)
    ways: tuple[str, ...] = ()
    probe: Probe | None = None

    def spread(self, score: str) -> float:
        """Standard deviation of a score; NaN where it cannot be told."""
        return _deviation(self.halves[score])


def scored_row(
    name: str, architecture: str, found: ObjectFeatures, halves: Sequence[np.ndarray], until: float = math.inf
) -> Row:
    """Scores of a backbone's object features, on all images and on each half.

    Args:
        name, architecture: of the row.
        found: of all images.
        halves: of their indices.
        until: of :func:`time.monotonic`; halves for which there is no time are NaN.
    """
    scores = scores_of(found)
    by_half = {name: np.full(len(halves), math.nan) for name in scores}
    for number, half in enumerate(halves if len(np.unique(found.images)) >= _LEAST_IMAGES else ()):
        if time.monotonic() > until:
            break
        part = found.of_images(half)
        for name_of in scores:
            by_half[name_of][number] = _scored(name_of, part)
    return Row(name, architecture, found.features.shape[1], scores, by_half)


def scores_of(found: ObjectFeatures) -> dict[str, float]:
    """Every score that can be read: of two classes where it needs them, of enough objects."""
    values = {name: _scored(name, found) for name in SCORES}
    if len(found) < _OBJECTS_PER_VALUE * found.features.shape[1]:
        del values["H-score"]
    return {name: value for name, value in values.items() if math.isfinite(value)}


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The rows by the mean of their ranks in the scores that all of them have; a tie keeps their order."""
    told_by = [name for name in SCORES if all(name in row.scores for row in rows)]
    ranks = [sum(sum(other.scores[name] > row.scores[name] for other in rows) for name in told_by) for row in rows]
    return [rows[place] for place in sorted(range(len(rows)), key=lambda place: ranks[place])]


def random_halves(images: Sequence[int], draw: np.random.Generator) -> list[np.ndarray]:
    """Halves of some images, the larger ones where their number is odd, each drawn anew."""
    return [draw.permutation(images)[: math.ceil(len(images) / 2)] for _ in range(_HALVES)]


def not_told_apart(first: Row, other: Row) -> list[str]:
    """The scores by which two backbones cannot be told apart."""
    return [
        name
        for name in first.scores
        if name in other.scores
        and not abs(first.scores[name] - other.scores[name])
        > _TOLD_APART * _deviation(first.halves[name] - other.halves[name])  # not above NaN
    ]


def unread_spreads(rows: Sequence[Row], found: ObjectFeatures) -> list[str]:
    """In words, why scores have no spread; empty where one of each backbone has."""
    if all(any(math.isfinite(row.spread(name)) for name in row.scores) or not row.scores for row in rows):
        return []
    images = len(np.unique(found.images))
    few = f"{images} image{'s' * (images != 1)} with objects, for halves of them at least {_LEAST_IMAGES}"
    why = few if images < _LEAST_IMAGES else "no time for halves of the images, or too few that can be scored"
    return [f"how far scores stray, and by them one backbone from another: {why}"]


def unread_scores(rows: Sequence[Row], found: ObjectFeatures) -> list[str]:
    """In words, which scores cannot be read of all backbones, and why.

    Args:
        rows: at least one.
        found: of any of the backbones.
    """
    most = max(row.values for row in rows)
    reasons: dict[str, list[str]] = {}
    for name in SCORES:
        if not all(name in row.scores for row in rows):
            reasons.setdefault(_why_unread(name, found, most), []).append(name)
    return [f"{', '.join(names)}: {why}" for why, names in reasons.items()]


def _why_unread(name: str, found: ObjectFeatures, most: int) -> str:
    """Why a score cannot be read of some objects in a backbone of so many values."""
    classes = len(np.unique(found.labels))
    if len(found) < 2:
        return "one object alone; it takes two"
    if name in _OF_CLASSES and classes < 2:
        return "all objects are of one class"
    if name == "class means" and classes == len(found):
        return f"each of {len(found)} objects is the only one of its class"
    if name == "H-score" and len(found) < _OBJECTS_PER_VALUE * most:
        few = f"{len(found)} objects are too few for {most} values"
        return f"{few} (at least {_OBJECTS_PER_VALUE} objects a value)"
    return "features that do not differ between objects, or are not finite"


def _deviation(values: np.ndarray) -> float:
    """Standard deviation of those that are finite; NaN of a few."""
    kept = values[np.isfinite(values)]
    return float(np.std(kept)) if len(kept) >= _LEAST_HALVES else math.nan


def _scored(name: str, found: ObjectFeatures) -> float:
    try:
        return SCORES[name](found)
    except InputError:  # one class, one object: a half of few images may be so
        return math.nan
