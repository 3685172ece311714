"""What a detector gets wrong, at IoU 0.5: matches, confusions, kinds of errors, calibration, doubtful labels.

hotcoco counts. Three of its answers are corrected here: a detection that COCO's rules ignore (in a crowd region; LVIS:
of a class that the image is not judged for) takes no part in confusions; a detection that matches an object of its own
class is right even where an object of another class overlaps it more; and of several detections at one place one alone
is named as a doubtful label, none inside a crowd region.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .detections import Detections
from .engines import HotcocoEngine, Protocol
from .evaluate import LVIS_LIMIT, limits_of
from .evaluated_pass import EvaluatedPass
from .operating_point import ScoreCurve, score_curve

IOU = 0.5
# Kinds of errors of TIDE (arXiv 2008.08115), with IoU 0.1 as the least overlap with an object.
ERRORS = {
    "Cls": "wrong class, right place",
    "Loc": "right class, inaccurate box",
    "Both": "wrong class and inaccurate box",
    "Dupe": "the same object a second time",
    "Bkg": "nothing there",
    "Miss": "object not found",
}


@dataclass(frozen=True)
class DoubtfulLabel:
    """A confident detection that the annotations contradict: perhaps they are wrong.

    Attributes:
        row: of the detection.
        image_id, score, box_xywh, name: of the detection; name is its class.
        annotated: class of the object at its place; None where none is annotated.
        annotated_box_xywh: of that object, or None.
    """

    row: int
    image_id: int | str
    score: float
    box_xywh: np.ndarray
    name: str
    annotated: str | None = None
    annotated_box_xywh: np.ndarray | None = None

    @property
    def why(self) -> str:
        """In words."""
        if self.annotated is None:
            return f"{self.name} ({self.score:.2f}) where nothing is annotated"
        return f"{self.name} ({self.score:.2f}) where {self.annotated} is annotated"


class Diagnosis:
    """Of one pass.

    Args:
        found: what was evaluated.

    Attributes:
        category_ids, names: of the K categories that are judged, in the order of the truth's file.
        detections: N, with the truth's numbers of images and categories in place of ids.
        status: (N,) of each detection: 1 right, 0 wrong, -1 neither.
        num_objects: (K,) that are to be found.
    """

    def __init__(self, found: EvaluatedPass):
        truth = found.truth
        self.found, self._engine = found, HotcocoEngine(truth)
        self.detections = truth.numbered(found.detections.for_iou_type("bbox"))
        if found.federated:
            self.detections = self.detections.best_per_image(LVIS_LIMIT)
        numbers = np.unique(truth.category_numbers(found.judged_ids))
        self._numbers: list[int] = numbers.tolist()
        self.category_ids = [truth.categories[number - 1]["id"] for number in self._numbers]
        self.names = [str(truth.categories[number - 1]["name"]) for number in self._numbers]
        self._images = np.unique(truth.image_numbers(found.image_ids)).tolist()
        self._evaluator = self._evaluated(self.detections)
        diagnosed = self._evaluator.image_diagnostics(iou_thr=IOU, score_thr=0.0)
        self.status = np.full(len(self.detections), -1, np.int8)
        rows = np.array([number - 1 for number in diagnosed["dt_status"]], np.int64)
        self.status[rows] = [one == "tp" for one in diagnosed["dt_status"].values()]
        self._object_of: dict[int, int] = diagnosed["dt_match"]
        self._candidates: list[dict] = diagnosed["label_errors"]
        judged = set(diagnosed["gt_status"])
        self._objects = [one for one in truth.dataset["annotations"] if one["id"] in judged]
        counts = np.bincount([one["category_id"] for one in self._objects], minlength=len(truth.categories) + 1)
        self.num_objects = counts[numbers]

    def matched_object(self, row: int) -> int | None:
        """Number of the object that a detection found; None for one that is not right."""
        return self._object_of.get(row + 1) if self.status[row] == 1 else None

    @cached_property
    def curve(self) -> ScoreCurve | None:
        """Over all classes pooled; None without an object."""
        counted = self.status >= 0
        return score_curve(self.detections.scores[counted], self.status[counted] == 1, int(self.num_objects.sum()))

    @cached_property
    def curves(self) -> list[ScoreCurve | None]:
        """One for each class; None where it has no object."""
        curves = []
        for number, count in zip(self._numbers, self.num_objects.tolist()):
            of_class = (self.status >= 0) & (self.detections.category_ids == number)
            curves.append(score_curve(self.detections.scores[of_class], self.status[of_class] == 1, count))
        return curves

    def confusion(self, score: float) -> np.ndarray:
        """Counts of what has at least this score.

        Returns:
            (K + 1, K + 1) int64: rows are annotated classes, columns detected ones; the last row is detections where
            no object is, the last column objects that were not found.
        """
        kept = (self.status >= 0) & (self.detections.scores >= score)
        right = np.flatnonzero(kept & (self.status == 1))
        places = {number: place for place, number in enumerate(self._numbers)}
        matrix = np.zeros((len(places) + 1,) * 2, np.int64)
        for number, count in zip(*np.unique(self.detections.category_ids[right], return_counts=True)):
            matrix[places[int(number)], places[int(number)]] = count
        taken = {self._object_of[row + 1] for row in right.tolist()}
        left = HotcocoEngine(
            replace(
                self.found.truth,
                dataset={
                    **self.found.truth.dataset,
                    "annotations": [dict(one, iscrowd=0) for one in self._objects if one["id"] not in taken],
                },
            )
        )
        wrong = self.detections.take(kept & (self.status == 0))
        return matrix + left.evaluated(left.load(wrong), self._protocol, sizes=False).confusion_matrix(
            iou_thr=IOU, max_det=max(1, len(wrong))
        )["matrix"].astype(np.int64)

    def errors(self, score: float) -> dict[str, dict[str, float]]:
        """Kinds of errors, of :data:`ERRORS`.

        Returns:
            ``counts`` of those with at least this score (and of the objects that then remain unfound), and ``ap``:
            by how much AP50, in [0, 1], would rise if the kind alone were mended, over all scores.
        """
        kept = self._evaluated(self.detections.take(self.detections.scores >= score))
        return {
            "counts": dict(kept.tide_errors(pos_thr=IOU)["counts"]),
            "ap": dict(self._evaluator.tide_errors(pos_thr=IOU)["delta_ap"]),
        }

    def calibration(self, num_bins: int = 10) -> dict[str, Any]:
        """Whether scores are shares of right detections: hotcoco's ``ece``, ``mce``, ``bins``, ``num_detections``."""
        return self._evaluator.calibration(n_bins=num_bins, iou_threshold=IOU)

    def doubtful_labels(self, score: float) -> list[DoubtfulLabel]:
        """Detections with at least this score that the annotations contradict, the most confident first."""
        crowds: dict[int, list] = {}
        for one in self.found.truth.dataset["annotations"]:
            if one["iscrowd"]:
                crowds.setdefault(one["image_id"], []).append(one["bbox"])
        objects = {one["id"]: one for one in self._objects}
        taken: dict[int, list] = {}
        found = []
        for one in sorted(self._candidates, key=lambda one: (-one["dt_score"], one["dt_id"])):
            if one["dt_score"] < score:
                break
            row, image = one["dt_id"] - 1, one["image_id"]
            box = self.detections.boxes_xywh[row]
            in_crowd = any(_overlap(box, crowd) >= IOU for crowd in crowds.get(image, ()))
            if in_crowd or any(_overlap(box, other) >= IOU for other in taken.get(image, ())):
                continue
            taken.setdefault(image, []).append(box)
            there = objects.get(one["gt_id"])
            found.append(
                DoubtfulLabel(
                    row,
                    self.found.truth.images[image - 1]["id"],
                    float(one["dt_score"]),
                    box,
                    str(one["dt_category"]),
                    there and str(one["gt_category"]),
                    there and np.asarray(there["bbox"], float),
                )
            )
        return found

    @property
    def _protocol(self) -> Protocol:
        limits = limits_of("bbox", self.found.federated)
        return Protocol("bbox", self.found.federated, limits[-1:], tuple(self._images), tuple(self._numbers), (IOU,))

    def _evaluated(self, detections: Detections):
        limit = self._protocol.max_detections[-1] if self.found.federated else None
        return self._engine.evaluated(self._engine.load(detections, limit), self._protocol, sizes=False)


def _overlap(box, other) -> float:
    """Share of a box [left, top, width, height] that lies in another."""
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    area = box[2] * box[3]
    return max(width, 0.0) * max(height, 0.0) / area if area > 0 else 0.0
