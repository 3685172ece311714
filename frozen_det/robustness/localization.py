"""From a class activation map to a box, and how right boxes are: the protocol of CutMix's appendix B.

A map is cut at a share of its **maximum** (0.15, no percentile), the largest connected component is boxed, in the
original image's pixels. Boxes are ``x1, y1, x2, y2`` with exclusive ends. Refuses maps that are not finite.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from ..errors import InputError

THRESHOLD = 0.15
#: Of MaxBoxAccV2 (Choe et al., CVPR 2020, arXiv 2001.07437, section 4).
V2_IOUS = (0.3, 0.5, 0.7)


def class_activation_map(features: np.ndarray, weights: np.ndarray, cut: bool = True) -> np.ndarray:
    """Zhou et al., CVPR 2016, eq. 2: the class's weights summed over the channels of the last feature.

    Args:
        features: (C, h, w), input of the global pooling.
        weights: (C,), the class's row of the linear layer.
        cut: values below zero are cut, so that "0.15 of the maximum" has a zero to start from.

    Returns:
        (h, w) float32.
    """
    found = np.tensordot(weights.astype(np.float64), features.astype(np.float64), 1)
    return (np.maximum(found, 0) if cut else found).astype(np.float32)


def map_box(map_hw: np.ndarray, size_hw: tuple[int, int], threshold: float = THRESHOLD) -> tuple[int, int, int, int]:
    """Tight box of the largest component of ``map >= threshold * max``, in pixels of an image.

    The map is resized bilinearly to the image first, so that the box's edges are not on the map's coarse grid.
    Components are 8-connected; of two equally large ones the first from the top left is taken.

    Args:
        map_hw: (h, w), from 0 on.
        size_hw: height and width of the image that the map covers, px.
        threshold: share of the maximum, in [0, 1].

    Returns:
        x1, y1, x2, y2; the whole image for a map without any positive value.

    Raises:
        InputError: a map that is not finite, or a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1 or map_hw.ndim != 2 or not np.isfinite(map_hw).all():
        raise InputError(
            f"expected a finite map (h, w) and a threshold in [0, 1], got shape {map_hw.shape} and {threshold!r}."
        )
    height, width = size_hw
    large = cv2.resize(map_hw.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return binary_box(large, threshold)


def binary_box(map_hw: np.ndarray, threshold: float = THRESHOLD) -> tuple[int, int, int, int]:
    """As :func:`map_box`, of a map that already has the image's size."""
    height, width = map_hw.shape
    top = float(map_hw.max())
    if top <= 0:
        return 0, 0, width, height
    above = (map_hw >= threshold * top).astype(np.uint8)
    _, _, found, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    x, y, w, h, _ = found[1 + int(np.argmax(found[1:, cv2.CC_STAT_AREA]))].tolist()  # row 0 is the background
    return x, y, x + w, y + h


def box_iou(first_xyxy: Sequence[float], second_xyxy: Sequence[float]) -> float:
    """Intersection over union of two boxes, in 0..1; 0 where one has no area."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = first_xyxy, second_xyxy
    inside = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    union = max(0.0, ax2 - ax1) * max(0.0, ay2 - ay1) + max(0.0, bx2 - bx1) * max(0.0, by2 - by1) - inside
    return float(inside / union) if union > 0 else 0.0


def best_iou(box_xyxy: Sequence[float], truths_xyxy: Sequence[Sequence[float]]) -> float:
    """Largest IoU of a box with any box of the image's class."""
    return max((box_iou(box_xyxy, truth) for truth in truths_xyxy), default=0.0)


def max_box_acc_v2(ious: np.ndarray, deltas: Sequence[float] = V2_IOUS) -> float:
    """MaxBoxAccV2 in percent: for each IoU demanded the best threshold over the set, averaged over what is demanded.

    Args:
        ious: (N, T), of each image's box at each of T thresholds, class known.
        deltas: IoUs that are demanded; met from the value on.

    The paper's second version boxes all contours and takes the best match (:mod:`.max_box_acc`); where IoUs are those
    of the largest component, this is an approximation from below.
    """
    ious = np.asarray(ious, np.float64)
    if ious.ndim != 2 or not ious.size:
        raise InputError(f"expected IoUs (N, T) of at least one image and threshold, got shape {ious.shape}.")
    return float(np.mean([100 * (ious >= delta).mean(0).max() for delta in deltas]))


def moved_to_original(
    box_xyxy: Sequence[float], scale_xy: tuple[float, float], offset_xy: tuple[float, float], size_hw: tuple[int, int]
) -> tuple[float, float, float, float]:
    """A box in the crop that the network saw -> the same box in the original image, cut at its border.

    Args:
        box_xyxy: in the crop, px.
        scale_xy: resized size over original size.
        offset_xy: left and top of the crop in the resized image, px.
        size_hw: of the original image.
    """
    (height, width), (x_scale, y_scale), (left, top) = size_hw, scale_xy, offset_xy
    x1, y1, x2, y2 = box_xyxy
    return (
        min(max((x1 + left) / x_scale, 0.0), width),
        min(max((y1 + top) / y_scale, 0.0), height),
        min(max((x2 + left) / x_scale, 0.0), width),
        min(max((y2 + top) / y_scale, 0.0), height),
    )
