"""At which score to cut: precision, recall and F1 by score threshold, and the threshold with the best F1.

F1 = 2 TP / (detections kept + objects), detections and objects of all classes pooled, so that every object counts
alike. Of thresholds with the same F1 the highest is taken, as it keeps the fewest detections; it is written with as few
decimals as keep the same ones. Pure functions on arrays; nothing is refused.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScoreCurve:
    """What keeping the detections from a score on gives.

    Attributes:
        scores: (n,) float64, the distinct scores, falling: at place i everything with at least ``scores[i]`` is kept.
        precision, recall, f1: (n,) float64 in [0, 1].
        num_objects: what recall is a share of; from 1 on.
    """

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    num_objects: int

    def at(self, threshold: float) -> tuple[float | None, float, float]:
        """Precision, recall and F1 of the detections from a score on; no precision where none is left."""
        kept = int((self.scores >= threshold).sum())
        return self._numbers(kept - 1) if kept else (None, 0.0, 0.0)

    @property
    def best(self) -> "OperatingPoint | None":
        """The threshold with the best F1; None where no detection is right."""
        if not len(self.f1) or self.f1.max() == 0:
            return None
        place = int(self.f1.argmax())  # the first of equals is the highest score
        below = self.scores[place + 1] if place + 1 < len(self.scores) else -np.inf
        return OperatingPoint(short_between(float(below), float(self.scores[place])), *self._numbers(place))

    def _numbers(self, place: int) -> tuple[float, float, float]:
        return float(self.precision[place]), float(self.recall[place]), float(self.f1[place])


@dataclass(frozen=True)
class OperatingPoint:
    """A score threshold, and precision, recall and F1 of what has at least this score."""

    threshold: float
    precision: float
    recall: float
    f1: float


def score_curve(scores: np.ndarray, right: np.ndarray, num_objects: int) -> ScoreCurve | None:
    """Precision, recall and F1 at every threshold.

    Args:
        scores: (N,) of detections that are right or wrong (those that count as neither are left out).
        right: (N,) bool.
        num_objects: that there are to be found.

    Returns:
        the curve; None where there is no object, as nothing can be said then.
    """
    if num_objects == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    ranked = np.asarray(scores, np.float64)[order]
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True]) if len(ranked) else np.zeros(0, int)
    found = np.cumsum(np.asarray(right, bool)[order])[ends].astype(np.float64)
    kept = ends + 1.0
    return ScoreCurve(ranked[ends], found / kept, found / num_objects, 2 * found / (kept + num_objects), num_objects)


def short_between(below: float, upto: float) -> float:
    """The number above `below`, up to `upto`, with the fewest decimals; of these the highest."""
    for decimals in range(2, 7):
        shorter = np.floor(upto * 10**decimals) / 10**decimals
        if below < shorter <= upto:
            return float(round(shorter, decimals))
    return upto
