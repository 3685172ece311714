"""Copy-Paste on arrays: paste pixels, remove covered pixels from masks, decide which objects are kept.

All in uint8 and only inside the objects' boxes. Source: arXiv 2012.07177, section 3, and the authors'
parser (tensorflow/tpu, detection/dataloader/maskrcnn_parser_with_copy_paste.py). Its blur, which had no effect in
the paper, is left out.
"""

import cv2
import numpy as np

# An object whose box moved by more than so many pixels needs more than so many visible ones.
_BOX_PX, _AREA_PX = 10, 300
# Above this size numpy's reduction is faster; below, its overhead exceeds cv2's search.
_LARGE_PX = 2**15


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) around the non-zero pixels of an (H, W) uint8 mask; None if there is none."""
    if mask.size == 0:
        return None
    first = 0
    if mask.size >= _LARGE_PX:
        # One reduction over rows finds the columns, three times faster than cv2, which then reads only these.
        columns = np.flatnonzero(np.bitwise_or.reduce(mask, axis=0))
        if not len(columns):
            return None
        first = int(columns[0])
        mask = mask[:, first : int(columns[-1]) + 1]
    left, top, width, height = cv2.boundingRect(mask)
    return (first + left, top, first + left + width, top + height) if width else None


def cover(covered: np.ndarray, mask: np.ndarray, left: int, top: int) -> None:
    """Mark the pixels of a pasted object, in place.

    Args:
        covered: (H, W) uint8, 0 or 1, of the whole image.
        mask: (h, w) uint8, 0 or 1, of the object.
        left, top: Position of ``mask`` in the image, in px; it is inside.
    """
    view = covered[top : top + mask.shape[0], left : left + mask.shape[1]]
    np.bitwise_or(view, mask, out=view)


def uncovered(mask: np.ndarray, covered: np.ndarray, left: int, top: int) -> np.ndarray | None:
    """The part of a mask that pasted objects do not cover.

    Args:
        mask: (h, w) uint8, 0 or 1, of one object, at ``left``, ``top`` of the image; may be (0, 0).
        covered: (H, W) uint8, 0 or 1: pixels of pasted objects.

    Returns:
        (h, w) uint8, 0 or 1; None if nothing of the object was covered.
    """
    if mask.size == 0:
        return None
    over = covered[top : top + mask.shape[0], left : left + mask.shape[1]]
    rest = np.greater(mask, over).view(np.uint8)
    return None if cv2.countNonZero(rest) == cv2.countNonZero(mask) else rest


def surviving(old_boxes_xyxy: np.ndarray, new_boxes_xyxy: np.ndarray, areas_px: np.ndarray) -> np.ndarray:
    """Which objects are still annotated after others were pasted over them.

    An object is removed if a side of its box moved by more than 10 px and at most 300 px of its area are left, or if
    nothing is left. The authors' parser tests the first condition over all objects at once (a ``reduce_any`` without
    an axis), so that one occluded object removes every small object of the image; here each is tested separately.

    Args:
        old_boxes_xyxy, new_boxes_xyxy: (N, 4) tight boxes before and after.
        areas_px: (N,) visible areas after.

    Returns:
        (N,) bool.
    """
    old_boxes_xyxy, new_boxes_xyxy = np.reshape(old_boxes_xyxy, (-1, 4)), np.reshape(new_boxes_xyxy, (-1, 4))
    moved = (np.abs(new_boxes_xyxy - old_boxes_xyxy) > _BOX_PX).any(axis=1)
    areas_px = np.asarray(areas_px)
    return (areas_px > 0) & ((areas_px > _AREA_PX) | ~moved)


def paste(canvas: np.ndarray, pixels: np.ndarray, mask: np.ndarray, left: int, top: int) -> None:
    """Copy the pixels of an object onto an image, in place.

    Args:
        canvas: (H, W, 3) uint8, contiguous.
        pixels: (h, w, 3) uint8.
        mask: (h, w) uint8, non-zero where to copy.
        left, top: Position in the canvas, in px; the object is inside.
    """
    height, width = mask.shape
    cv2.copyTo(pixels, mask, canvas[top : top + height, left : left + width])


def grown(image: np.ndarray, size_hw: tuple[int, int], fill) -> np.ndarray:
    """The image with new rows and columns at bottom and right.

    Args:
        image: (h, w, 3) or (h, w).
        size_hw: New size, at least the old one.
        fill: Value of the new pixels: one number, or one for each channel.

    Returns:
        A contiguous array of the same dtype; the image itself if the size stays.
    """
    height, width = image.shape[:2]
    if (height, width) == tuple(size_hw):
        return image
    value = np.broadcast_to(fill, 3 if image.ndim == 3 else 1).tolist()
    return cv2.copyMakeBorder(image, 0, size_hw[0] - height, 0, size_hw[1] - width, cv2.BORDER_CONSTANT, value=value)


def interleaved(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) image as one contiguous block; copied only if it is not one already."""
    if image.flags.c_contiguous:
        return image
    planes = image.transpose(2, 0, 1)
    # cv2.merge is some ten times faster than numpy's copy across strides.
    return cv2.merge(list(planes)) if planes.flags.c_contiguous else np.ascontiguousarray(image)


def planar(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) view on three contiguous planes: the layout that PackDetInputs takes without a copy."""
    planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(interleaved(image), list(planes))
    return planes.transpose(1, 2, 0)
