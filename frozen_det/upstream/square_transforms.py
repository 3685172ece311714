"""Images made square before anything is cut, so that no side of a wide image is lost: what localisation is tested with.

CutMix (arXiv 1905.04899, appendix B): 256 x 256, then a random or the middle 224 x 224. clovaai/wsolevaluation
(data_loaders.py): the same in training, 224 x 224 without a crop in the test. PIL image (RGB) in, uint8 (3, H, W) out.
"""

import torch
from PIL import Image
from torchvision.transforms import v2

from ..errors import InputError
from ..registry import TRANSFORMS
from .transforms import _interpolation, _size


@TRANSFORMS.register_module()
class SquareTrain:
    """Resize both sides, cut at random, mirror.

    Args:
        size: Side of the crop, px.
        resize: Both sides before the crop, px.
        flip: Probability of mirroring.
        interpolation: "bilinear", "bicubic" or "nearest".
    """

    def __init__(self, size: int = 224, resize: int = 256, flip: float = 0.5, interpolation: str = "bilinear") -> None:
        self.size, self.resize = _sides(size, resize)
        self.steps = [
            v2.Resize([resize, resize], interpolation=_interpolation(interpolation)),
            v2.RandomCrop(size),
            v2.RandomHorizontalFlip(flip),
        ]

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """(3, size, size) uint8 of a PIL image."""
        for step in self.steps:
            image = step(image)
        return v2.functional.pil_to_tensor(image)


@TRANSFORMS.register_module()
class SquareEval:
    """Resize both sides, cut out the middle.

    Args:
        size, resize, interpolation: As of :class:`SquareTrain`; ``resize=size`` cuts nothing.
    """

    def __init__(self, size: int = 224, resize: int = 256, interpolation: str = "bilinear") -> None:
        self.size, self.resize = _sides(size, resize)
        self.steps = [v2.Resize([resize, resize], interpolation=_interpolation(interpolation)), v2.CenterCrop(size)]

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """(3, size, size) uint8 of a PIL image."""
        for step in self.steps:
            image = step(image)
        return v2.functional.pil_to_tensor(image)

    def geometry(self, size_hw: tuple[int, int]) -> tuple[tuple[float, float], tuple[int, int]]:
        """(scale x and y, left and top of the crop, px) of an image of this height and width."""
        height, width = size_hw
        offset = int(round((self.resize - self.size) / 2))
        return (self.resize / width, self.resize / height), (offset, offset)


def _sides(size: int, resize: int) -> tuple[int, int]:
    if _size(resize) < _size(size):
        raise InputError(f"expected resize of at least the crop's {size} px, got {resize!r} (transform.resize).")
    return size, resize
