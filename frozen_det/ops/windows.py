"""Geometry of scale jitter: from random parameters to a crop of the source image, and source to crop coordinates.

Neither pixels nor random numbers are handled here. The draw is large-scale jitter as the authors of Copy-Paste
(arXiv 2012.07177, section 3; `resize_and_crop_image` of TF Vision) use it: one scale, fit, random crop.
One difference: a crop starts at a whole source pixel instead of a whole output pixel, so that the window can be
cropped before it is resampled, and boxes, polygons and pixels share one exact mapping.
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class JitterDraw:
    """The random part of one jitter.

    Attributes:
        scale: Size of the box that the image is fitted into, relative to the output size; above 0.
        top, left: Position of the crop, as a share of the possible range, in [0, 1).
        flip: Whether to mirror left and right.
    """

    scale: float
    top: float
    left: float
    flip: bool


@dataclass(frozen=True)
class Window:
    """A rectangle of the source image and the output grid it is resampled to.

    Output pixel (x, y) shows source point ``(origin_x + (x + 0.5) / scale_x, origin_y + (y + 0.5) / scale_y)``,
    counted from the right instead of the left where ``flip`` is set.

    Attributes:
        source_hw: Height and width of the whole source image.
        scale_xy: Output pixels per source pixel.
        origin_xy: First source column and row; multiples of ``reduction``.
        size_hw: Height and width of the output, at least 1.
        flip: Whether the output is mirrored.
        reduction: 1, 2, 4 or 8: the source may be read at this fraction of its size.
    """

    source_hw: tuple[int, int]
    scale_xy: tuple[float, float]
    origin_xy: tuple[int, int]
    size_hw: tuple[int, int]
    flip: bool = False
    reduction: int = 1

    def matrix(self) -> np.ndarray:
        """(3, 3) float32: homogeneous source coordinates to window coordinates."""
        (scale_x, scale_y), (origin_x, origin_y) = self.scale_xy, self.origin_xy
        matrix = np.array(
            [[scale_x, 0, -origin_x * scale_x], [0, scale_y, -origin_y * scale_y], [0, 0, 1]], dtype=np.float32
        )
        if self.flip:
            matrix = np.array([[-1, 0, self.size_hw[1]], [0, 1, 0], [0, 0, 1]], dtype=np.float32) @ matrix
        return matrix


def resized_hw(source_hw: tuple[int, int], output_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    """Height and width after the fit into ``scale`` times the output size, aspect kept; at least 1 each.

    Rounding is mmdet's (RandomResize: the box is cut down to whole pixels, the image is rounded half up).
    """
    box_hw = [int(side * scale) for side in output_hw]
    factor = min(box_hw[0] / source_hw[0], box_hw[1] / source_hw[1])
    return max(1, int(source_hw[0] * factor + 0.5)), max(1, int(source_hw[1] * factor + 0.5))


def jpeg_reduction(scale_xy: tuple[float, float]) -> int:
    """The largest of 1, 2, 4, 8 at which a JPEG may be decoded so that resampling still only shrinks it."""
    return next((k for k in (8, 4, 2) if k * max(scale_xy) <= 1), 1)


def jitter_window(
    draw: JitterDraw, source_hw: tuple[int, int], output_hw: tuple[int, int], reduce: bool = True
) -> Window:
    """The window of a draw on an image of a given size.

    Args:
        draw: The random part.
        source_hw: Size of the source image, at least 1 each.
        output_hw: Size that the fit is relative to and that the window is cropped to.
        reduce: Whether the source may be read at a half, quarter or eighth where the scale allows it.

    Returns:
        A window of the resized image's size, at most ``output_hw``; never padded.
    """
    new_hw = resized_hw(source_hw, output_hw, draw.scale)
    scale_xy = new_hw[1] / source_hw[1], new_hw[0] / source_hw[0]
    reduction = jpeg_reduction(scale_xy) if reduce else 1
    size_hw = min(output_hw[0], new_hw[0]), min(output_hw[1], new_hw[1])
    origin_xy = (
        _origin(draw.left, new_hw[1] - size_hw[1], scale_xy[0], reduction),
        _origin(draw.top, new_hw[0] - size_hw[0], scale_xy[1], reduction),
    )
    return Window((source_hw[0], source_hw[1]), scale_xy, origin_xy, size_hw, bool(draw.flip), reduction)


def _origin(share: float, range_px: int, scale: float, step: int) -> int:
    """First source pixel of a crop: uniform over the multiples of ``step`` that leave a full output."""
    last = int(range_px / scale) // step
    return step * min(int(share * (last + 1)), last)


def object_window(window: Window, extent_xyxy, bounds_xyxy=None) -> tuple[Window, int, int] | None:
    """The part of a window around one object, as a window of its own.

    Its origin is a whole source pixel and its position a whole output pixel, so the object is up to half an output
    pixel away from its position in the full window; pixels and mask cropped with it agree exactly.

    Args:
        window: The full window.
        extent_xyxy: The object's extent in source coordinates.
        bounds_xyxy: The part of the source whose pixels are available; None for all of it.

    Returns:
        The window, and its left and top in the full window; None if the object is outside.
    """
    bounds_xyxy = (0, 0, window.source_hw[1], window.source_hw[0]) if bounds_xyxy is None else bounds_xyxy
    across, down = (_span(extent_xyxy[axis::2], bounds_xyxy[axis::2], window, axis) for axis in (0, 1))
    if across is None or down is None:
        return None
    (origin_x, left, width), (origin_y, top, height) = across, down
    if window.flip:
        left = window.size_hw[1] - left - width
    return replace(window, origin_xy=(origin_x, origin_y), size_hw=(height, width)), left, top


def _span(extent, bounds, window: Window, axis: int) -> tuple[int, int, int] | None:
    """First source pixel, first output pixel and number of output pixels on one axis (0 is x)."""
    scale, origin, step = window.scale_xy[axis], window.origin_xy[axis], window.reduction
    size = window.size_hw[1 - axis]
    low, high = extent
    end = min(bounds[1], window.source_hw[1 - axis])
    if high <= origin or (low - origin) * scale >= size or low >= end:
        return None
    # One source pixel more: bilinear sampling at the edge reads the neighbour.
    first = max(origin, bounds[0], int(np.floor(low - 1)) // step * step)
    place = round((first - origin) * scale)
    wanted = int(np.ceil((high + 1 - first) * scale))
    # The last term is what cv2.resize yields for the rest of the pixels.
    length = min(wanted, size - place, round((end - first) * scale))
    return (first, place, length) if length > 0 else None


def points_to_window(points_xy: np.ndarray, window: Window) -> np.ndarray:
    """Move points from source to window coordinates.

    Args:
        points_xy: (N, 2), source coordinates (pixel edges are whole numbers).
        window: The window.

    Returns:
        (N, 2) float64; points outside the window are not clipped.
    """
    moved = (np.asarray(points_xy, dtype=np.float64) - window.origin_xy) * window.scale_xy
    if window.flip:
        moved[:, 0] = window.size_hw[1] - moved[:, 0]
    return moved


def boxes_to_window(boxes_xyxy: np.ndarray, window: Window) -> np.ndarray:
    """Move boxes from source to window coordinates and clip them to the window.

    Args:
        boxes_xyxy: (N, 4), source coordinates.
        window: The window.

    Returns:
        (N, 4) float32 in [0, width] and [0, height]. A box outside the window has no width or no height.
    """
    boxes_xyxy = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    moved = (boxes_xyxy - np.tile(window.origin_xy, 2)) * np.tile(window.scale_xy, 2)
    height, width = window.size_hw
    if window.flip:
        moved[:, [0, 2]] = width - moved[:, [2, 0]]
    return np.clip(moved, 0, [width, height, width, height]).astype(np.float32)


def source_index(window: Window, first: int, count: int, axis: int) -> np.ndarray:
    """Source columns (axis 0) or rows (axis 1) nearest to ``count`` output pixels from ``first`` on.

    Returns:
        (count,) int64, clipped to the source image.
    """
    output = np.arange(first, first + count)
    if axis == 0 and window.flip:
        output = window.size_hw[1] - 1 - output
    source = np.floor((output + 0.5) / window.scale_xy[axis]).astype(np.int64) + window.origin_xy[axis]
    return np.clip(source, 0, window.source_hw[1 - axis] - 1)
