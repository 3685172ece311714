"""Boxes from score maps and their IoUs, for MaxBoxAcc and MaxBoxAccV2 as in clovaai/wsolevaluation.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020 (arXiv 2001.07437), with the
details of the released evaluation.py: maps in 256 levels, contours, boxes with inclusive ends. Non-finite maps are an
error.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from ..errors import InputError

SIZE = 224
NUM_THRESHOLDS = 1000
NUM_LEVELS = 256


def score_map(map_hw: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Resize a class activation map to (size, size) float64 by cubic interpolation and scale it to [0, 1].

    The minimum, also a negative one, becomes 0. A constant map becomes zeros.

    Raises:
        InputError: a map that is not finite or not (h, w).
    """
    if map_hw.ndim != 2 or not np.isfinite(map_hw).all():
        raise InputError(f"expected a finite map (h, w), got shape {map_hw.shape}.")
    large = cv2.resize(map_hw.astype(np.float64), (size, size), interpolation=cv2.INTER_CUBIC)
    low, high = large.min(), large.max()
    return (large - low) / (high - low) if high > low else np.zeros_like(large)


def contour_boxes(scores: np.ndarray, level: int) -> np.ndarray:
    """Bounding boxes of the contours of the pixels above a level, that of the largest area first.

    Args:
        scores: (H, W) uint8.
        level: pixels above it are inside, 0..255.

    Returns:
        (K, 4) x1, y1, x2, y2 in px, ends inclusive as in the evaluation: one more than the last pixel, at most the
        last of the map. Contours of holes are included. Without contours a single box of zeros.
    """
    height, width = scores.shape
    contours = cv2.findContours((scores > level).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]
    if not contours:
        return np.zeros((1, 4), np.int64)
    areas = [cv2.contourArea(contour) for contour in contours]
    first = int(np.argmax(areas))
    ordered = [contours[first], *(contour for place, contour in enumerate(contours) if place != first)]
    boxes = np.array([cv2.boundingRect(contour) for contour in ordered], np.int64)
    boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], (width - 1, height - 1))
    return boxes


def inclusive_ious(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """(N, M) IoUs of (N, 4) and (M, 4) boxes xyxy in px, last pixel included."""
    first, second = np.asarray(first_xyxy)[:, None], np.asarray(second_xyxy)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2]) + 1
    inside = np.maximum(sides, 0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2] + 1).prod(-1) for boxes in (first, second)]
    return inside / (areas[0] + areas[1] - inside)


def resized_box(box_xyxy: Sequence[float], size_hw: tuple[int, int], size: int = SIZE) -> tuple[int, int, int, int]:
    """An annotated box after resizing the image to a square, truncated to whole pixels."""
    height, width = size_hw
    x1, y1, x2, y2 = box_xyxy
    return int(x1 * size / width), int(y1 * size / height), int(x2 * size / width), int(y2 * size / height)


def ious_along_thresholds(
    scores: np.ndarray, truths_xyxy: np.ndarray, num_thresholds: int = NUM_THRESHOLDS
) -> tuple[np.ndarray, np.ndarray]:
    """IoUs of one map at thresholds 0, 1 / n, 2 / n, ... of its maximum.

    Args:
        scores: (H, W) in 0..1, of :func:`score_map`.
        truths_xyxy: (M, 4) boxes of the class, of :func:`resized_box`.
        num_thresholds: n.

    Returns:
        Two (n,) arrays: IoU of the box around the largest contour with the best truth (MaxBoxAcc), and the best IoU of
        any box with any truth (MaxBoxAccV2).
    """
    levels = (scores * (NUM_LEVELS - 1)).astype(np.uint8)
    step, top = 1 / num_thresholds, int(levels.max())
    wanted = [int(place * step * top) for place in range(num_thresholds)]
    known = {}
    for level in set(wanted):
        ious = inclusive_ious(contour_boxes(levels, level), truths_xyxy).max(1)
        known[level] = ious[0], ious.max()
    largest, best = (np.array([known[level][which] for level in wanted]) for which in (0, 1))
    return largest, best
