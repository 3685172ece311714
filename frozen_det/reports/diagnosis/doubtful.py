"""Annotations that may be wrong: what the detector is sure of and the file contradicts, with pictures of the first."""

from pathlib import Path

import numpy as np

from ...errors import InputError
from ...evaluation.diagnosis import Diagnosis, DoubtfulLabel
from ...pages.blocks import Pair, Pairs, Table, Text
from ...pages.words import counted
from ...weights.atomic_write import replacing
from ..passes import diagnosis_of
from ..run_record import RunRecord
from ..sections import Facts, section
from .errors import cut_of

NUM_PICTURES, NUM_ROWS = 8, 30
_LEAST_SCORE = 0.5
_AROUND = 1.0  # of a box's sides, shown on each side of it
_LEAST_SIDE_PX = 160  # of what is shown


def doubtful_blocks(run: RunRecord, diagnosis: Diagnosis, files: Path) -> list:
    """A table of the first, and their pictures; where images are gone, the table alone."""
    score = max(_LEAST_SCORE, cut_of(diagnosis))
    found = diagnosis.doubtful_labels(score)
    if not found:
        return [Text(f"None: no detection with a score from {score:g} on contradicts the annotations.")]
    missing = sum(one.annotated is None for one in found)
    names = {one["id"]: str(one.get("file_name", one["id"])) for one in diagnosis.found.truth.images}
    rows = [
        [Path(names[one.image_id]).name, one.why, ", ".join(f"{side:.0f}" for side in one.box_xywh)]
        for one in found[:NUM_ROWS]
    ]
    blocks: list = [
        Text(
            f"{counted(len(found), 'detection')} with a score from {score:g} on contradict the annotations: "
            f"{missing} where nothing is annotated, {len(found) - missing} where another class is. Either the detector "
            "is wrong or the file; the most confident first. Look at the pictures and mend the file where it is."
        )
    ]
    try:
        blocks.append(Pairs(_pictures(run, diagnosis, found[:NUM_PICTURES], files), "annotated", "detected"))
    except (InputError, OSError, KeyError, ValueError) as error:
        run.missing.append(f"pictures of doubtful labels ({str(error).splitlines()[0][:160]})")
    more = f" The first {NUM_ROWS} of {len(found)}." if len(found) > NUM_ROWS else ""
    caption = f"Boxes as left, top, width, height in px of the original image.{more}"
    blocks.append(Table(["image", "what is doubtful", "box"], rows, caption, num_left=3))
    return blocks


def _pictures(run: RunRecord, diagnosis: Diagnosis, found: list[DoubtfulLabel], files: Path) -> list[Pair]:
    from PIL import Image

    from ..detection_images import image_paths, reader_of

    paths, reader = image_paths(run, "val"), reader_of(run, "val")
    folder = files / "doubtful"
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for number, one in enumerate(found):
        path = paths[one.image_id]
        target = folder / f"{number:02d}_{path.stem}.jpg"
        with replacing(target) as partial:
            Image.fromarray(_drawn(diagnosis, one, reader.rgb(path))).save(partial, quality=88)
        pairs.append(Pair(target, f"{path.name}: {one.why}"))
    return pairs


def _drawn(diagnosis: Diagnosis, one: DoubtfulLabel, image: np.ndarray) -> np.ndarray:
    """The place in question: all that is annotated there beside the detection."""
    from ...datasets.visualization.detections import DrawnObjects, draw_pair

    left, top, right, bottom = _window(one, image.shape[:2])
    corner = np.array([left, top, left, top], float)
    number = int(diagnosis.found.truth.image_numbers([one.image_id])[0])
    there = [ann for ann in diagnosis.found.truth.dataset["annotations"] if ann["image_id"] == number]
    boxes = _corners([ann["bbox"] for ann in there]) - corner
    inside = (boxes[:, 2] > 0) & (boxes[:, 3] > 0) & (boxes[:, 0] < right - left) & (boxes[:, 1] < bottom - top)
    names = [str(one["name"]) for one in diagnosis.found.truth.categories]
    labels = np.array([ann["category_id"] - 1 for ann in there], int)
    crowds = np.array([bool(ann["iscrowd"]) for ann in there], bool)
    annotated = DrawnObjects(boxes[inside], labels[inside], ignored=crowds[inside])
    detected = DrawnObjects(_corners([one.box_xywh]) - corner, np.array([names.index(one.name)]), np.array([one.score]))
    return draw_pair(image[top:bottom, left:right], annotated, detected, names)


def _window(one: DoubtfulLabel, size_hw) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the image around a box."""
    x, y, width, height = one.box_xywh
    if one.annotated_box_xywh is not None:
        corners = _corners([one.box_xywh, one.annotated_box_xywh])
        x, y = corners[:, :2].min(axis=0)
        width, height = corners[:, 2:].max(axis=0) - (x, y)
    bounds = []
    for start, side, limit in ((x, width, size_hw[1]), (y, height, size_hw[0])):
        margin = max(_AROUND * side, (_LEAST_SIDE_PX - side) / 2)
        low, high = max(0, int(start - margin)), min(limit, int(np.ceil(start + side + margin)))
        bounds.append((min(low, limit - 1), max(high, min(low, limit - 1) + 1)))
    return bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1]


def _corners(boxes_xywh) -> np.ndarray:
    corners = np.asarray(boxes_xywh, float).reshape(-1, 4).copy()
    corners[:, 2:] += corners[:, :2]
    return corners


@section("Labels to look at", 52, "run")
def _of_one(facts: Facts) -> list:
    diagnosis = diagnosis_of(facts.runs[0])
    return [] if diagnosis is None else doubtful_blocks(facts.runs[0], diagnosis, facts.files)
