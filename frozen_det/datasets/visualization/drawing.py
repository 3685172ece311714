"""Colours of classes, and sheets of many pictures. Pure functions on arrays."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np


def class_colors(num_classes: int) -> np.ndarray:
    """(num_classes, 3) uint8 RGB, bright, far apart for neighbouring labels; the same for every number of classes."""
    golden = 0.618034
    return np.array(
        [[round(255 * part) for part in colorsys.hsv_to_rgb(i * golden % 1, 0.75, 1.0)] for i in range(num_classes)],
        np.uint8,
    ).reshape(-1, 3)


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
