"""CIFAR's transforms, applied to whole batches of uint8 images, with each image's draws from (seed, epoch, index).

A batch transform has ``words_per_image`` and ``apply_batch``. A dataset that holds its images in memory hands it
whole batches; otherwise batches of one, with the same result.
"""

import numpy as np

from ..errors import InputError
from ..ops.counter_draws import below, unit_interval
from ..ops.cropping import pad_crop_flip
from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class CifarTrain:
    """Pad, crop at random, flip: CIFAR's standard augmentation (He et al., arXiv 1512.03385, section 4.2).

    Args:
        padding: Zeros on each side, in px.
        flip: Probability of mirroring, in [0, 1].

    Raises:
        InputError: A negative padding or a probability outside [0, 1].
    """

    words_per_image = 3

    def __init__(self, padding: int = 4, flip: float = 0.5) -> None:
        if not isinstance(padding, int) or padding < 0:
            raise InputError(f"expected padding as a whole number from 0 on, got {padding!r} (transform.padding).")
        if not 0 <= flip <= 1:
            raise InputError(f"expected flip as a probability in [0, 1], got {flip!r} (transform.flip).")
        self.padding, self.flip = padding, flip

    def apply_batch(self, images: np.ndarray, words: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) uint8 and (N, 3) uint64 random words -> (N, 3, H, W) uint8."""
        return pad_crop_flip(
            images,
            below(words[:, 0], 2 * self.padding + 1),
            below(words[:, 1], 2 * self.padding + 1),
            unit_interval(words[:, 2]) < self.flip,
            self.padding,
        )


@TRANSFORMS.register_module()
class CifarEval:
    """The image as it is."""

    words_per_image = 0

    def apply_batch(self, images: np.ndarray, words: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) uint8 -> the same."""
        return images
