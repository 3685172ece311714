"""Two detectors object by object: which objects one finds and the other does not, and which false detections differ."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ...evaluation.diagnosis import IOU, Diagnosis
from ..detection_images import iou_xywh


@dataclass
class ImageChange:
    """What differs on one image, from A to B.

    Attributes:
        image_id: of the annotation file.
        gained, lost: numbers of objects that B alone, and that A alone finds.
        new_false, gone_false: rows of the false detections of B, and of A, that have no counterpart of their class at
            IoU 0.5 in the other.
    """

    image_id: int | str
    gained: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    new_false: list[int] = field(default_factory=list)
    gone_false: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How much differs."""
        return len(self.gained) + len(self.lost) + len(self.new_false) + len(self.gone_false)


def changes(a: Diagnosis, b: Diagnosis, score_a: float, score_b: float) -> list[ImageChange]:
    """All images on which anything differs, those that differ most first.

    Args:
        a, b: of the same truth and images.
        score_a, score_b: detections count from these scores on.
    """
    truth = a.found.truth
    found: dict[int, ImageChange] = {}

    def of(number: int) -> ImageChange:
        return found.setdefault(number, ImageChange(truth.images[number - 1]["id"]))

    image_of = {one["id"]: one["image_id"] for one in truth.dataset["annotations"]}
    by_a, by_b = _found_objects(a, score_a), _found_objects(b, score_b)
    for one in sorted(by_b - by_a):
        of(image_of[one]).gained.append(one)
    for one in sorted(by_a - by_b):
        of(image_of[one]).lost.append(one)
    false_a, false_b = _false_rows(a, score_a), _false_rows(b, score_b)
    for number in sorted(false_a.keys() | false_b.keys()):
        gone, new = _unpaired(a, b, false_a.get(number, []), false_b.get(number, []))
        if gone or new:
            of(number).gone_false, of(number).new_false = gone, new
    order = {number: place for place, number in enumerate(found)}
    return sorted(found.values(), key=lambda one: (-one.size, order[_number(truth, one)]))


def _number(truth, change: ImageChange) -> int:
    return int(truth.image_numbers([change.image_id])[0])


def _found_objects(diagnosis: Diagnosis, score: float) -> set[int]:
    rows = np.flatnonzero((diagnosis.status == 1) & (diagnosis.detections.scores >= score))
    return {found for row in rows.tolist() if (found := diagnosis.matched_object(row)) is not None}


def _false_rows(diagnosis: Diagnosis, score: float) -> dict[int, list[int]]:
    """Image number -> rows of its false detections, best score first."""
    rows = np.flatnonzero((diagnosis.status == 0) & (diagnosis.detections.scores >= score))
    rows = rows[np.argsort(-diagnosis.detections.scores[rows], kind="stable")]
    grouped: dict[int, list[int]] = {}
    for row, image in zip(rows.tolist(), diagnosis.detections.image_ids[rows].tolist()):
        grouped.setdefault(image, []).append(row)
    return grouped


def _unpaired(a: Diagnosis, b: Diagnosis, of_a: list[int], of_b: Iterable[int]) -> tuple[list[int], list[int]]:
    """Those without a counterpart: each of A takes the free one of B of its class that it overlaps most."""
    free, gone = list(of_b), []
    for row in of_a:
        fitting = [
            (iou_xywh(a.detections.boxes_xywh[row], b.detections.boxes_xywh[other]), -place)
            for place, other in enumerate(free)
            if b.detections.category_ids[other] == a.detections.category_ids[row]
        ]
        best = max(fitting, default=(0.0, 0))
        if best[0] >= IOU:
            free.pop(-best[1])
        else:
            gone.append(row)
    return gone, free
