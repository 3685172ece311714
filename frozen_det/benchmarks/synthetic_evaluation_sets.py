"""Synthetic COCO- and LVIS-sized ground truth, as a json, and detections, as columns.

Boxes are drawn over the sizes that COCO has, objects are polygons of 24 corners, detections are moved objects,
objects of another class and false alarms in the shares a trained detector gives. Everything follows from the seed.
The sets are for timing evaluators, not for comparing detectors.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..evaluation.detections import Detections, PackedMasks

SIZE_HW = (480, 640)
NUM_CORNERS = 24


@dataclass(frozen=True)
class SetSize:
    """How large a synthetic set is."""

    num_images: int
    num_classes: int
    objects_per_image: int
    detections_per_image: int
    federated: bool

    def part(self, share: float) -> "SetSize":
        """The same set with a share of its images."""
        from dataclasses import replace

        return replace(self, num_images=max(1, round(self.num_images * share)))


SETS = {
    "coco": SetSize(num_images=5000, num_classes=80, objects_per_image=7, detections_per_image=100, federated=False),
    "lvis": SetSize(num_images=5000, num_classes=1203, objects_per_image=12, detections_per_image=300, federated=True),
}


def write_set(size: SetSize, folder: Path, with_masks: bool, seed: int = 0) -> tuple[Path, Path]:
    """Write ``truth.json`` and ``detections.npz``. Returns their paths."""
    rng = np.random.default_rng(seed)
    truth, boxes, classes = _truth(size, rng, with_masks)
    detections = _detections(size, boxes, classes, rng, with_masks)
    truth_path, detections_path = Path(folder, "truth.json"), Path(folder, "detections.npz")
    truth_path.write_text(json.dumps(truth), encoding="utf-8")
    columns = {name: getattr(detections, name) for name in ("image_ids", "boxes_xywh", "scores", "category_ids")}
    if with_masks:
        packed = PackedMasks.pack(detections.masks)
        columns.update(mask_bytes=packed.data, mask_ends=packed.ends)
    np.savez(detections_path, **columns)
    return truth_path, detections_path


def read_detections(path: Path) -> Detections:
    """Detections as a detector leaves them: arrays and run-length masks."""
    with np.load(path) as columns:
        masks = None
        if "mask_ends" in columns:
            masks = PackedMasks(SIZE_HW, columns["mask_bytes"], columns["mask_ends"]).unpacked()
        return Detections(
            columns["image_ids"], columns["boxes_xywh"], columns["scores"], columns["category_ids"], masks
        )


def _truth(size: SetSize, rng, with_masks: bool) -> tuple[dict, np.ndarray, np.ndarray]:
    """A COCO dict, and its boxes (I, O, 4) xywh px and class ids (I, O)."""
    shape = (size.num_images, size.objects_per_image)
    boxes = _random_boxes(rng, shape)
    # A long tail: class k is about as frequent as 1 / (k + 1).
    weights = 1 / np.arange(1, size.num_classes + 1)
    classes = rng.choice(size.num_classes, shape, p=weights / weights.sum()) + 1
    images, annotations = [], []
    for image in range(size.num_images):
        images.append({"id": image + 1, "height": SIZE_HW[0], "width": SIZE_HW[1], "file_name": f"{image + 1}.jpg"})
        if size.federated:
            images[-1]["neg_category_ids"] = rng.choice(size.num_classes, 5, replace=False).__add__(1).tolist()
            images[-1]["not_exhaustive_category_ids"] = classes[image, :1].tolist()
        polygons = _polygons(boxes[image], rng).reshape(size.objects_per_image, -1) if with_masks else None
        for number in range(size.objects_per_image):
            box = boxes[image, number].round(2).tolist()
            ann = {
                "id": len(annotations) + 1,
                "image_id": image + 1,
                "category_id": int(classes[image, number]),
                "bbox": box,
                "area": box[2] * box[3] * 0.75,
                "iscrowd": 0,
            }
            if with_masks:
                ann["segmentation"] = [polygons[number].round(2).tolist()]
            annotations.append(ann)
    group = np.array(list("fcr"))[np.minimum(np.arange(size.num_classes) * 3 // size.num_classes, 2)]
    categories = [
        {"id": number + 1, "name": f"class {number + 1}", "frequency": str(group[number])}
        for number in range(size.num_classes)
    ]
    return {"images": images, "categories": categories, "annotations": annotations}, boxes, classes


def _detections(size: SetSize, boxes, classes, rng, with_masks: bool) -> Detections:
    """A quarter moved objects, an eighth with another class, the rest false alarms with lower scores."""
    shape = (size.num_images, size.detections_per_image)
    found = rng.integers(0, size.objects_per_image, shape)
    rows = np.arange(size.num_images)[:, None]
    moved = boxes[rows, found] * (1 + rng.normal(0, 0.06, (*shape, 4)))
    is_object = rng.random(shape) < 0.25
    out_boxes = np.where(is_object[..., None], moved, _random_boxes(rng, shape))
    another = rng.random(shape) < 0.125
    out_classes = np.where(is_object & ~another, classes[rows, found], rng.integers(0, size.num_classes, shape) + 1)
    scores = np.where(is_object, rng.beta(4, 2, shape), rng.beta(1, 8, shape))
    masks = None
    if with_masks:
        from pycocotools import mask as rle_tools

        masks = []
        for image in range(size.num_images):
            corners = _polygons(out_boxes[image], rng).reshape(size.detections_per_image, -1).tolist()
            masks += rle_tools.frPyObjects(corners, *SIZE_HW)
    # A detector's boxes and scores are float32.
    out_boxes = np.maximum(out_boxes, 1).astype(np.float32).astype(np.float64)
    return Detections(
        np.repeat(np.arange(1, size.num_images + 1), size.detections_per_image),
        out_boxes.reshape(-1, 4),
        scores.astype(np.float32).astype(np.float64).ravel(),
        out_classes.ravel().astype(np.int64),
        masks,
    )


def _random_boxes(rng, shape) -> np.ndarray:
    """(*shape, 4) xywh px inside the image; sides from 8 to 380 px, evenly in their logarithm."""
    sides = np.exp(rng.uniform(np.log(8), np.log(380), (*shape, 2)))
    corner = rng.random((*shape, 2)) * (np.array(SIZE_HW[::-1]) - sides)
    return np.concatenate([corner, sides], axis=-1)


def _polygons(boxes_xywh: np.ndarray, rng) -> np.ndarray:
    """(n, 4) boxes -> (n, NUM_CORNERS, 2) corners of a ragged ellipse inside each, px."""
    angles = np.linspace(0, 2 * np.pi, NUM_CORNERS, endpoint=False)
    radius = rng.uniform(0.35, 0.5, (len(boxes_xywh), NUM_CORNERS, 1))
    unit = 0.5 + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    corners = boxes_xywh[:, None, :2] + unit * boxes_xywh[:, None, 2:]
    return np.clip(corners, 0, np.array(SIZE_HW[::-1]))
