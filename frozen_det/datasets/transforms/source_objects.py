"""The annotated objects of one image in source coordinates, and their masks through a window.

Read from the dataset's ``instances`` or from what LoadAnnotations made of them. Polygons, both kinds of COCO RLE and
bitmaps are moved to the window first and rasterised there, only inside the object's box. Refused: objects without
masks where masks are requested.
"""

from dataclasses import dataclass, replace

import numpy as np
import pycocotools.mask as coco_mask
from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes
from mmdet.structures.mask import PolygonMasks

from ...errors import InputError
from ...ops.pasting import tight_box
from ...ops.windows import Window, boxes_to_window, points_to_window, source_index
from .cropped_masks import BoxedMasks


@dataclass(frozen=True)
class BitmapCrop:
    """A bitmap mask: (h, w) uint8, 0 or 1, and its left and top in the source image."""

    mask: np.ndarray
    left: int
    top: int


# A mask as it is annotated: polygons, each (n, 2) float64; a compressed RLE; or a bitmap.
Segmentation = list[np.ndarray] | dict | BitmapCrop


@dataclass(frozen=True)
class SourceObjects:
    """N objects in source coordinates.

    Attributes:
        boxes_xyxy: (N, 4) float32.
        labels: (N,) int64.
        ignore_flags: (N,) bool; true for crowds and for objects whose mask is no valid polygon.
        pseudo_flags: (N,) bool; true for pseudo labels, which are never pasted.
        segmentations: One for each object; None without masks.
        num_invalid: How many objects had no valid polygon and became ignored regions, with their box as mask.
    """

    boxes_xyxy: np.ndarray
    labels: np.ndarray
    ignore_flags: np.ndarray
    pseudo_flags: np.ndarray
    segmentations: list[Segmentation] | None
    num_invalid: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "SourceObjects":
        """The objects at ``indices``, in that order."""
        masks = self.segmentations
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[indices],
            labels=self.labels[indices],
            ignore_flags=self.ignore_flags[indices],
            pseudo_flags=self.pseudo_flags[indices],
            segmentations=None if masks is None else [masks[i] for i in indices],
        )

    def extents_xyxy(self) -> np.ndarray:
        """(N, 4) float32: where the objects' pixels lie, which is their masks' extent if there are masks."""
        if self.segmentations is None or len(self) == 0:
            return self.boxes_xyxy
        return np.array([_extent(segmentation) for segmentation in self.segmentations], dtype=np.float32)


def source_objects(results: dict, with_mask: bool) -> SourceObjects:
    """The objects of a sample before its geometry is changed.

    Args:
        results: ``gt_bboxes``, ``gt_bboxes_labels`` and further ``gt_`` keys if the annotations are loaded already,
            else the dataset's ``instances``.
        with_mask: Whether masks are wanted.

    Raises:
        InputError: An object has no mask though masks are wanted, or boxes are not horizontal.
    """
    if "gt_bboxes" in results:
        return _from_loaded(results, with_mask)
    instances = results.get("instances", [])
    boxes_xyxy = np.array([i["bbox"] for i in instances], dtype=np.float32).reshape(-1, 4)
    ignore_flags = np.array([i.get("ignore_flag", 0) for i in instances], dtype=bool)
    segmentations, num_invalid = None, 0
    if with_mask:
        segmentations = [_segmentation(i, results) for i in instances]
        for index, segmentation in enumerate(segmentations):
            if segmentation is None:
                # Left out, the object would be trained as background; as an ignored region it is not.
                segmentations[index], ignore_flags[index] = [rectangle(boxes_xyxy[index])], True
                num_invalid += 1
    return SourceObjects(
        boxes_xyxy,
        np.array([i["bbox_label"] for i in instances], dtype=np.int64),
        ignore_flags,
        np.array([i.get("pseudo", False) for i in instances], dtype=bool),
        segmentations,
        num_invalid,
    )


def rasterised(segmentation: Segmentation, window: Window) -> tuple[np.ndarray, int, int] | None:
    """An object's mask as seen through a window.

    Returns:
        The mask (h, w) uint8, 0 or 1, cut to its non-zero pixels, and its left and top in the window; None if no
        pixel is left.
    """
    if isinstance(segmentation, list):
        placed = _polygons(segmentation, window)
    elif isinstance(segmentation, BitmapCrop):
        placed = _bitmap(segmentation, window)
    else:
        placed = _bitmap(BitmapCrop(coco_mask.decode(segmentation), 0, 0), window, _extent(segmentation))
    if placed is None:
        return None
    mask, left, top = placed
    box = tight_box(mask)
    if box is None:
        return None
    return np.ascontiguousarray(mask[box[1] : box[3], box[0] : box[2]]), left + box[0], top + box[1]


def rectangle(box_xyxy: np.ndarray) -> np.ndarray:
    """The (4, 2) float64 corners of one box, a polygon."""
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def _from_loaded(results: dict, with_mask: bool) -> SourceObjects:
    boxes = results["gt_bboxes"]
    if isinstance(boxes, BaseBoxes) and not isinstance(boxes, HorizontalBoxes):
        raise InputError(
            f"expected horizontal boxes, got {type(boxes).__name__} in gt_bboxes of "
            f"{results.get('img_path')}; set box_type='hbox' in LoadAnnotations."
        )
    boxes_xyxy = boxes.numpy() if isinstance(boxes, BaseBoxes) else np.asarray(boxes, np.float32)
    flags = np.zeros(len(boxes_xyxy), bool)
    segmentations = None
    if with_mask:
        if "gt_masks" not in results:
            raise _no_mask(results)
        masks = results["gt_masks"]
        if isinstance(masks, PolygonMasks):
            segmentations = [[np.reshape(p, (-1, 2)) for p in polygons] for polygons in masks.masks]
        else:
            boxed = BoxedMasks.of(masks)
            segmentations = [BitmapCrop(c, int(b[0]), int(b[1])) for c, b in zip(boxed.crops, boxed.boxes_xyxy)]
    return SourceObjects(
        boxes_xyxy.reshape(-1, 4),
        np.asarray(results["gt_bboxes_labels"], np.int64),
        np.asarray(results.get("gt_ignore_flags", flags), bool),
        flags,
        segmentations,
    )


def _segmentation(instance: dict, results: dict) -> Segmentation | None:
    """The mask of one of the dataset's instances; None if it is not valid."""
    if "mask" not in instance:
        raise _no_mask(results)
    mask = instance["mask"]
    if isinstance(mask, list):
        return [np.reshape(np.asarray(p, np.float64), (-1, 2)) for p in mask if len(p) % 2 == 0 and len(p) >= 6] or None
    if not (isinstance(mask, dict) and "counts" in mask and "size" in mask):
        return None
    return coco_mask.frPyObjects(mask, *mask["size"]) if isinstance(mask["counts"], list) else mask


def _no_mask(results: dict) -> InputError:
    return InputError(
        f"expected a mask for each object, got an object without one in {results.get('img_path')}; "
        "set with_mask=False in frozen_det.LargeScaleJitter (and paste_by_box=True in "
        "frozen_det.CopyPaste) for data with boxes only."
    )


def _extent(segmentation: Segmentation) -> tuple[float, float, float, float]:
    if isinstance(segmentation, list):
        points = segmentation[0] if len(segmentation) == 1 else np.concatenate(segmentation)
        return (*points.min(axis=0), *points.max(axis=0))
    if isinstance(segmentation, BitmapCrop):
        left, top = segmentation.left, segmentation.top
        return left, top, left + segmentation.mask.shape[1], top + segmentation.mask.shape[0]
    left, top, width, height = coco_mask.toBbox(segmentation)
    return left, top, left + width, top + height


def _whole_pixels(extent_xyxy: np.ndarray, window: Window) -> tuple[int, int, int, int] | None:
    """The window's pixels that an extent in window coordinates touches: x1, y1, x2, y2; None if none."""
    height, width = window.size_hw
    x1, y1 = np.maximum(np.floor(extent_xyxy[:2]), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(extent_xyxy[2:]), (width, height)).astype(int)
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def _polygons(polygons: list[np.ndarray], window: Window) -> tuple[np.ndarray, int, int] | None:
    moved = [points_to_window(points, window) for points in polygons]
    points = moved[0] if len(moved) == 1 else np.concatenate(moved)
    box = _whole_pixels(np.concatenate([points.min(axis=0), points.max(axis=0)]), window)
    if box is None:
        return None
    left, top, right, bottom = box
    # COCO's own rasteriser: cv2.fillPoly is faster but counts every pixel that an outline touches.
    flat = [(points - (left, top)).ravel() for points in moved]
    rle = coco_mask.merge(coco_mask.frPyObjects(flat, bottom - top, right - left))
    return np.ascontiguousarray(coco_mask.decode(rle)), left, top


def _bitmap(crop: BitmapCrop, window: Window, extent_xyxy=None) -> tuple[np.ndarray, int, int] | None:
    extent_xyxy = _extent(crop) if extent_xyxy is None else extent_xyxy
    box = _whole_pixels(boxes_to_window(np.array([extent_xyxy]), window)[0], window)
    if box is None:
        return None
    left, top, right, bottom = box
    columns = source_index(window, left, right - left, axis=0) - crop.left
    rows = source_index(window, top, bottom - top, axis=1) - crop.top
    # The nearest source pixel of a rim pixel can lie just outside the crop.
    columns_in = np.flatnonzero((columns >= 0) & (columns < crop.mask.shape[1]))
    rows_in = np.flatnonzero((rows >= 0) & (rows < crop.mask.shape[0]))
    if not len(columns_in) or not len(rows_in):
        return None
    mask = crop.mask[rows[rows_in]].take(columns[columns_in], axis=1)
    return np.ascontiguousarray(mask, np.uint8), left + int(columns_in[0]), top + int(rows_in[0])
