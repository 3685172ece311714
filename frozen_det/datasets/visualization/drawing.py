"""Pictures of images with their objects: masks, boxes, names; and sheets of many. Pure functions on arrays."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

_MIN_SIDE_PX = 448  # smaller pictures are enlarged, so that lines and names leave the objects in sight


def class_colors(num_classes: int) -> np.ndarray:
    """(num_classes, 3) uint8 RGB, bright, far apart for neighbouring labels; the same for every number of classes."""
    golden = 0.618034
    return np.array(
        [[round(255 * part) for part in colorsys.hsv_to_rgb(i * golden % 1, 0.75, 1.0)] for i in range(num_classes)],
        np.uint8,
    ).reshape(-1, 3)


def draw_instances(
    image: np.ndarray,
    boxes_xyxy: np.ndarray,
    labels: Sequence[int],
    classes: Sequence[str],
    masks: np.ndarray | None = None,
    scores: Sequence[float] | None = None,
    ignored: Sequence[bool] | None = None,
) -> np.ndarray:
    """Draw objects on an image, enlarged to at least 448 px at its shorter side.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes_xyxy: (N, 4) in px of the image.
        labels: (N,) indices into ``classes``.
        masks: (N, H, W) bool, or None.
        scores: (N,) written behind the names, or None.
        ignored: (N,) regions to ignore, drawn in grey, or None.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    scale = max(1.0, _MIN_SIDE_PX / max(1, min(image.shape[:2])))
    size_wh = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    canvas = cv2.resize(np.ascontiguousarray(image), size_wh, interpolation=cv2.INTER_LINEAR)
    colors = class_colors(len(classes))
    for i, label in enumerate(labels):
        color = (128, 128, 128) if ignored is not None and ignored[i] else colors[label].tolist()
        if masks is not None:
            _tint_mask(canvas, masks[i], color)
        name = classes[label] + (f" {scores[i]:.2f}" if scores is not None else "")
        _draw_box(canvas, np.asarray(boxes_xyxy[i]) * scale, color, name)
    return canvas


def contact_sheet(images: Sequence[np.ndarray], columns: int = 4, cell_px: int = 320, gap_px: int = 6) -> np.ndarray:
    """One (H, W, 3) uint8 picture of all images in rows, each shrunk or enlarged to fit a square cell."""
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    sheet = np.full((rows * (cell_px + gap_px) + gap_px, columns * (cell_px + gap_px) + gap_px, 3), 255, np.uint8)
    for i, image in enumerate(images):
        scale = cell_px / max(image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top = gap_px + (i // columns) * (cell_px + gap_px)
        left = gap_px + (i % columns) * (cell_px + gap_px)
        sheet[top : top + height, left : left + width] = small
    return sheet


def _tint_mask(canvas: np.ndarray, mask: np.ndarray, color: Sequence[int]) -> None:
    size_wh = canvas.shape[1::-1]
    large = cv2.resize(mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST)
    canvas[large > 0] = (0.5 * canvas[large > 0] + 0.5 * np.array(color)).astype(np.uint8)
    outline, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(canvas, outline, -1, color, 1, cv2.LINE_AA)


def _draw_box(canvas: np.ndarray, box_xyxy: np.ndarray, color: Sequence[int], name: str) -> None:
    # A pixel covers [x, x+1]: the line runs on the last pixel inside.
    left, top = np.floor(box_xyxy[:2]).astype(int).tolist()
    right, bottom = (np.ceil(box_xyxy[2:]).astype(int) - 1).tolist()
    cv2.rectangle(canvas, (left, top), (right, bottom), color, 1)
    (width, height), base = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    text_top = top - height - base if top >= height + base else top  # inside the box at the upper border
    cv2.rectangle(canvas, (left, text_top), (left + width + 2, text_top + height + base), color, -1)
    cv2.putText(canvas, name, (left + 1, text_top + height), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
