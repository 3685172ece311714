"""Binary mask to COCO segmentation and back, tight boxes of masks. Holes are kept, which COCO has no field for.

Each hole is joined to its outline by a bridge of width nothing, so that one outline describes both; where the
polygons do not give the mask back well, a run-length encoding is written instead.
"""

import cv2
import numpy as np
from pycocotools import mask as coco_mask

# Outlines are traced on a grid this much finer: on the pixel grid itself they run through pixel centres, and
# a stroke of 4 px would lose a quarter of its width.
_FINER = 4
_TOLERANCE_PX = 0.3
_MIN_IOU = 0.9


def mask_segmentation(mask: np.ndarray) -> list[list[float]] | dict:
    """COCO ``segmentation`` of a mask: a list of polygons, or RLE where polygons do not fit it.

    Args:
        mask: (H, W) bool, at least one pixel set.

    Returns:
        ``[[x0, y0, x1, y1, ...], ...]`` in pixels (a pixel covers [x, x+1]), one polygon for each connected part;
        or ``dict(size=[H, W], counts=str)`` where the polygons overlap the mask by an IoU below 0.9.
    """
    polygons = _outlines(mask)
    size_hw = mask.shape
    if polygons and mask_iou(segmentation_mask(polygons, size_hw), mask) >= _MIN_IOU:
        return polygons
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(side) for side in rle["size"]], counts=rle["counts"].decode("ascii"))


def segmentation_mask(segmentation: list | dict, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of a COCO segmentation: polygons, or RLE with counts as text or as a list."""
    height, width = size_hw
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    return coco_mask.decode(rle).astype(bool)


def segmentation_box(segmentation: list | dict) -> np.ndarray | None:
    """(4,) box x, y, width, height in pixels around a COCO segmentation; None around one without area."""
    if isinstance(segmentation, list):
        if not any(map(polygon_area, segmentation)):
            return None
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segmentation])  # (n, 2)
        return np.concatenate([points.min(0), np.ptp(points, axis=0)]).astype(float)
    if isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *segmentation["size"])
    box = coco_mask.toBbox(segmentation)
    return box if box[2:].all() else None


def polygon_area(polygon: list[float]) -> float:
    """Area in px^2 within ``[x0, y0, x1, y1, ...]``, by the shoelace formula."""
    x, y = np.reshape(polygon, (-1, 2)).astype(float).T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


def mask_box_xywh(mask: np.ndarray) -> list[float]:
    """Tight box ``[x, y, width, height]`` in pixels around a mask, (H, W) bool with at least one pixel set."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [float(columns[0]), float(rows[0]), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)]


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool masks of one shape; 1.0 if both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def _outlines(mask: np.ndarray) -> list[list[float]]:
    """One polygon for each connected part, holes joined in."""
    left, top, width, height = (int(side) for side in mask_box_xywh(mask))
    part = mask[top : top + height, left : left + width].astype(np.uint8)
    fine = np.pad(part.repeat(_FINER, axis=0).repeat(_FINER, axis=1), 1)
    contours, hierarchy = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # OpenCV traces a hole along the object's pixels around it, so both kinds of outline run on object pixels.
    points = [cv2.approxPolyDP(contour, _TOLERANCE_PX * _FINER, True)[:, 0] for contour in contours]
    polygons = []
    for i in range(len(points)):
        if hierarchy[0, i, 3] >= 0 or len(points[i]) < 3:  # a hole, or too thin for a polygon
            continue
        outline, hole = points[i], hierarchy[0, i, 2]
        while hole >= 0:
            if len(points[hole]) >= 3:
                outline = _join(outline, points[hole])
            hole = hierarchy[0, hole, 0]
        polygons.append(((outline - 0.5) / _FINER + (left, top)).round(2).ravel().tolist())
    return polygons


def _join(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Walk the outline, cross to the hole where both are nearest, walk the hole, cross back. (N, 2) each."""
    distance = np.linalg.norm(outline[:, None].astype(float) - hole[None], axis=-1)
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    return np.concatenate([outline[: i + 1], hole[j:], hole[: j + 1], outline[i:]])
