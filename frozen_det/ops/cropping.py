"""Shifted crops and flips of whole batches of small images, by one gather instead of a call per image."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def pad_crop_flip(
    images: np.ndarray, tops: np.ndarray, lefts: np.ndarray, flips: np.ndarray, padding: int
) -> np.ndarray:
    """Pad with zeros, crop back to the old size at a place of each image's own, mirror some.

    Args:
        images: (N, C, H, W) uint8.
        tops, lefts: (N,) int64 in [0, 2 * padding]: corner of the crop in the padded image, in px;
            ``padding`` is the image as it was.
        flips: (N,) bool: mirror left to right after the crop.
        padding: Zeros on each side, in px, from 0 on.

    Returns:
        (N, C, H, W) uint8, a new array.
    """
    num, channels, height, width = images.shape
    padded = np.zeros((num, channels, height + 2 * padding, width + 2 * padding), dtype=images.dtype)
    padded[:, :, padding : padding + height, padding : padding + width] = images
    # (N, C, 2p + 1, 2p + 1, H, W), no copy
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))  # type: ignore[call-overload]
    crops = windows[np.arange(num), :, tops, lefts]  # (N, C, H, W)
    crops[flips] = crops[flips, :, :, ::-1]
    return crops
