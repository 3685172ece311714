"""What one evaluation saw, in memory and in one file: detections, what they are judged by, and which were judged.

``.npz`` without pickled objects: boxes, scores and numbers of images and categories as columns, the rest as JSON. A
validation of 5,000 images with 100 detections each is some 10 MB. Masks are not in it.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..weights.atomic_write import replacing
from .detections import Detections, id_column
from .ground_truth import GroundTruth, read_truth

FORMAT = "frozen_det evaluated pass 1"
# In a work directory: what the validations of the best and of the last checkpoint saw.
FOLDER = "detections"
BEST, LAST = "best.npz", "last.npz"


@dataclass(frozen=True)
class EvaluatedPass:
    """One pass of a detector over the images of a data set.

    Attributes:
        truth: what it is judged by.
        detections: of all images, ids as in the truth's file.
        image_ids: of the images that were shown.
        category_ids: of each label; None for a class that the truth does not list.
        federated: whether LVIS's rules hold.
        ann_file: the truth's file, or None with `content`.
        content: the truth as a COCO dict where it came from the data set's samples.
        facts: what else is known, plain values: stage, iteration, checkpoint.
    """

    truth: GroundTruth
    detections: Detections
    image_ids: list
    category_ids: list
    federated: bool = False
    ann_file: str | None = None
    content: dict | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def judged_ids(self) -> list:
        """Ids of the categories that are judged, once each."""
        return list(dict.fromkeys(one for one in self.category_ids if one is not None))

    def name_of(self, category_id) -> str:
        """What the truth calls a category."""
        return self.truth.categories[int(self.truth.category_numbers([category_id])[0]) - 1]["name"]

    def write(self, path: str | Path, **facts: Any) -> None:
        """Write it, whole or not at all, with further facts."""
        found = self.truth.numbered(self.detections.for_iou_type("bbox"))
        about = dict(
            format=FORMAT,
            ann_file=self.ann_file and str(Path(self.ann_file).absolute()),
            ann_sha256=self.ann_file and _sha256(self.ann_file),
            content=self.content,
            image_ids=list(self.image_ids),
            category_ids=list(self.category_ids),
            federated=self.federated,
            facts={**self.facts, **facts},
        )
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            np.savez_compressed(
                partial,
                images=found.image_ids.astype(np.int32),
                boxes_xyxy=_shortest(_corners(found.boxes_xywh)),
                scores=_shortest(found.scores),
                categories=found.category_ids.astype(np.int32),
                about=np.frombuffer(json.dumps(about, default=_plain).encode(), np.uint8),
            )


def read_pass(path: str | Path) -> EvaluatedPass:
    """Read what :meth:`EvaluatedPass.write` wrote.

    Raises:
        InputError: no such file, another one, or its annotation file is gone or has changed.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in ("images", "boxes_xyxy", "scores", "categories", "about")}
        about = json.loads(columns["about"].tobytes())
        if about["format"] != FORMAT:
            raise ValueError(f"{about['format']!r:.60}")
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"expected {FORMAT!r}, got another thing at {path} ({error or type(error).__name__}); train or test again"
        ) from error
    _check_file(about, path)
    truth = read_truth(about["ann_file"] or about["content"], about["federated"])
    boxes = np.asarray(columns["boxes_xyxy"], np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    detections = Detections(
        id_column(truth.image_ids)[columns["images"] - 1],
        boxes,
        np.asarray(columns["scores"], np.float64),
        id_column(truth.category_ids)[columns["categories"] - 1],
    )
    return EvaluatedPass(
        truth,
        detections,
        about["image_ids"],
        about["category_ids"],
        about["federated"],
        about["ann_file"],
        about["content"],
        about["facts"],
    )


def _check_file(about: dict, path) -> None:
    """The columns hold numbers of the annotation file's images and categories: it must be the same file."""
    name = about["ann_file"]
    if name is None:
        return
    if not Path(name).is_file():
        raise InputError(f"expected the annotation file of the detections in {path}, got none at {name}")
    if _sha256(name) != about["ann_sha256"]:
        raise InputError(
            f"expected the annotations that the detections in {path} were judged by, but {name} was changed since; "
            "test again"
        )


def _sha256(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _corners(boxes_xywh: np.ndarray) -> np.ndarray:
    corners = boxes_xywh.copy()
    corners[:, 2:] += corners[:, :2]
    return corners


def _shortest(values: np.ndarray) -> np.ndarray:
    """As float32 where that changes nothing: detectors compute in it."""
    short = values.astype(np.float32)
    return short if (short == values).all() else values


def _plain(value):
    """numpy scalars and arrays as plain numbers and lists, run lengths as text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode("ascii")
    raise TypeError(f"cannot write {type(value).__name__} as json")
