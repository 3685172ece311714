"""What was found in one image: boxes, scores, classes, masks; as a picture, as COCO's annotations, for supervision."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError, closest
from .pictures import Picture

DRAWN_FROM = 0.3  # the score from which on detections are drawn where no validation suggests another


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first.

    Attributes:
        boxes_xyxy: (N, 4) float, pixels of the original image.
        scores: (N,) float in 0..1.
        labels: (N,) int, index into `classes`.
        classes: class names.
        masks: (N, H, W) bool, or None for box detectors.
        panoptic: (H, W) int, class + 1000 * number of the instance, or the number of classes where nothing is; None for
            detectors that give none. A detector that gives this alone has no boxes.
        category_ids: the id of each class in the annotation file of the training data; None counts from 1.
        size_hw: height and width of the original image, or None where it is not known.
        picture: the image, for :meth:`plot`.
        threshold: the score from which on the detector's validation says that detections are worth keeping, or None.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    masks: np.ndarray | None = None
    panoptic: np.ndarray | None = None
    category_ids: tuple[int | str, ...] | None = None
    size_hw: tuple[int, int] | None = None
    picture: Picture | None = field(default=None, repr=False)
    threshold: float | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """The class name of each."""
        return [self.classes[label] for label in self.labels.tolist()]

    @property
    def ids_of_classes(self) -> tuple[int | str, ...]:
        """`category_ids`, or 1, 2, ... where they are not known."""
        return self.category_ids or tuple(range(1, len(self.classes) + 1))

    def above(self, score: float) -> "Detections":
        """Those with at least this score; the panoptic map stays whole."""
        return self._kept(self.scores >= score)

    def of_classes(self, names: Iterable[str]) -> "Detections":
        """Those of these classes; labels and the panoptic map stay as they are.

        Raises:
            InputError: a name that is none of the classes.
        """
        names = [names] if isinstance(names, str) else list(names)
        check_class_names(names, self.classes)
        return self._kept(np.isin(self.labels, [self.classes.index(name) for name in names]))

    def plot(self, score: float | None = None) -> Image.Image:
        """The image at its own size with masks, boxes, names and scores of what has at least this score, in RGB.

        Args:
            score: None takes `threshold`, or 0.3 where there is none.

        Raises:
            InputError: the image is not known, or its file can no longer be read.
        """
        from ..datasets.visualization.detections import DrawnObjects, draw_on_image

        if self.picture is None:
            raise InputError("expected detections that a detector gave, to draw on their image, got some without it.")
        if score is None:
            score = DRAWN_FROM if self.threshold is None else self.threshold
        shown = self.above(score)
        objects = DrawnObjects(shown.boxes_xyxy, shown.labels, shown.scores, shown.masks)
        return Image.fromarray(draw_on_image(self.picture.rgb(), objects, self.classes))

    def to_coco(self, image_id: int | str = 1, first_id: int = 1) -> list[dict]:
        """As annotations of COCO, with scores: json can write them, pycocotools read them.

        Args:
            image_id: of the image; first_id: of the first annotation.

        Returns:
            for each its ``id``, ``image_id``, ``category_id``, ``bbox`` (left, top, width, height), ``area`` (px, of
            the mask where there is one), ``score`` and, where there are masks, ``segmentation`` (run lengths).
        """
        boxes = np.asarray(self.boxes_xyxy).reshape(-1, 4)
        sizes = boxes[:, 2:] - boxes[:, :2]
        areas = sizes.prod(axis=1) if self.masks is None else self.masks.sum(axis=(1, 2))
        ids = self.ids_of_classes
        columns = zip(
            np.concatenate([boxes[:, :2], sizes], axis=1).tolist(),
            areas.tolist(),
            self.scores.tolist(),
            self.labels.tolist(),
            strict=True,
        )
        found = [
            dict(id=id_, image_id=image_id, category_id=ids[label], bbox=bbox, area=area, score=score)
            for id_, (bbox, area, score, label) in enumerate(columns, start=first_id)
        ]
        for one, mask in zip(found, () if self.masks is None else self.masks):
            one["segmentation"] = _run_lengths(mask)
        return found

    def to_supervision(self) -> Any:
        """As ``supervision.Detections``: ``class_id`` is the label, ``data["class_name"]`` the name.

        Raises:
            InputError: the package supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise InputError(
                f"expected the package supervision, got {error}; `pip install 'frozen-det[supervision]'`."
            ) from error
        return supervision.Detections(
            xyxy=np.asarray(self.boxes_xyxy, np.float32).reshape(-1, 4),
            mask=self.masks,
            confidence=self.scores,
            class_id=self.labels,
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def _kept(self, keep: np.ndarray) -> "Detections":
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[keep],
            scores=self.scores[keep],
            labels=self.labels[keep],
            masks=None if self.masks is None else self.masks[keep],
        )


def check_class_names(names: Iterable[str], classes: tuple[str, ...]) -> None:
    """Refuse names that are none of the classes."""
    for name in names:
        if name not in classes:
            raise InputError(
                f"expected class names among {list(classes)}, got {name!r}. {closest(name, classes)}".strip()
            )


def _run_lengths(mask: np.ndarray) -> dict:
    """A mask (H, W) as COCO's compressed run lengths, with text for json."""
    from pycocotools.mask import encode

    found = encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(found["size"]), counts=found["counts"].decode("ascii"))
