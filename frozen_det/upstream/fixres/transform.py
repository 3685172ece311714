"""`frozen_det.FixResTransform`: light augmentation for tuning at the test resolution (released as transforms v2)."""

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from ...errors import InputError
from ...registry import TRANSFORMS
from ..transforms import EvalTransform


@TRANSFORMS.register_module()
class FixResTransform:
    """Resize the short side, mirror, change colours a little, cut out the middle, shifted to the left or right.

    Objects keep the size that they have in the test. The shift is uniform over every place that fits, one offset for
    both sides; vertically the crop stays in the middle (facebookresearch/FixRes, transforms_v2.py).

    Args:
        size, crop_ratio, interpolation, rounding, resize: as in :class:`EvalTransform`.
        flip: probability of mirroring.
        color_jitter: strength of brightness, contrast and saturation changes.

    Raises:
        InputError: a probability outside [0, 1], a negative strength, or what EvalTransform refuses.
    """

    def __init__(
        self,
        size: int = 224,
        crop_ratio: float = 0.875,
        interpolation: str = "bicubic",
        rounding: str = "floor",
        resize: int | None = None,
        flip: float = 0.5,
        color_jitter: float = 0.05,
    ) -> None:
        if not 0 <= flip <= 1 or color_jitter < 0:
            raise InputError(
                f"expected flip in [0, 1] and color_jitter from 0 on, got {flip!r} and {color_jitter!r} (transform)."
            )
        plain = EvalTransform(size, crop_ratio, interpolation, rounding, resize)
        self.size, self.resize, self.resizing = plain.size, plain.resize, plain.steps[0]
        self.flip = v2.RandomHorizontalFlip(flip)
        self.jitter = v2.ColorJitter(*[color_jitter] * 3) if color_jitter else None

    def __call__(self, image: Image.Image) -> Tensor:
        """(3, size, size) uint8 of a PIL image."""
        image = self.flip(self.resizing(image))
        if self.jitter is not None:
            image = self.jitter(image)
        width, height = image.size
        left = int(torch.randint(0, width - self.size + 1, ()))
        return v2.functional.pil_to_tensor(
            v2.functional.crop(image, round((height - self.size) / 2), left, self.size, self.size)
        )
