"""Noisy Student's input noise: RandAugment in the paper's units, on ImageNet's and on small images.

Xie et al., "Self-training with Noisy Student improves ImageNet classification", arXiv 1911.04252, and its released
code (google-research/noisystudent, ``randaugment.py``, ``preprocessing.py``). Draws are from Python's, numpy's and
torch's global generators, which the dataset seeds for each sample. Refuses unknown schedules and geometries.
"""

import random

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from ...errors import InputError
from ...registry import TRANSFORMS

#: How the magnitude M goes with the share t of training that is over: M, U(0, M), t M, U(0, t M).
SCHEDULES = ("constant", "random", "rising", "random-rising")
GEOMETRIES = ("imagenet", "small", "none")
GREY = (128, 128, 128)
OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "SolarizeAdd",
)


class PaperRandAugment:
    """Two operations of sixteen, each of them applied whenever it is drawn, at one magnitude.

    The operations are timm's with ``mmax`` raised to the magnitude and probability 1 (``rand-m27-mmax27-p1.0``: at M =
    27 a turn is 81 degrees, a shear 0.81; without ``mmax`` timm cuts M at 10), and the released code's Cutout, which
    timm does not have. Two departures: SolarizeAdd adds at most 128, and Solarize's threshold is at most 256, as timm
    has them (at M = 27 the released code adds 297 and never solarizes; timm's threshold 256 does not either).

    Args:
        magnitude: M, from 0 on, in units where 10 is the usual full strength.
        num_layers: operations for each image.
        cutout: draw from Cutout too; the released code does.
        cutout_px: half of the hole's side at M = 10.
        translate_px: longest shift at M = 10.
        schedule: one of :data:`SCHEDULES`. The paper's code has "constant"; RandAugment's authors tried all four and
            found them alike (arXiv 1909.13719).
    """

    def __init__(
        self,
        magnitude: float,
        num_layers: int = 2,
        cutout: bool = True,
        cutout_px: float = 40,
        translate_px: float = 100,
        schedule: str = "constant",
    ) -> None:
        from timm.data.auto_augment import AugmentOp

        if schedule not in SCHEDULES:
            raise InputError(f"expected schedule as one of {list(SCHEDULES)}, got {schedule!r} (transform.schedule).")
        if magnitude < 0 or num_layers < 0:
            raise InputError(
                f"expected magnitude and num_layers from 0 on, got {magnitude} and {num_layers} (transform)."
            )
        self.magnitude, self.num_layers, self.schedule = float(magnitude), num_layers, schedule
        self.cutout_px, self.progress = cutout_px, None
        settings = dict(
            translate_const=translate_px,
            img_mean=GREY,
            interpolation=Image.Resampling.NEAREST,
            magnitude_max=max(10.0, float(magnitude)),
        )
        self.operations: list = [
            AugmentOp(name, prob=1.0, magnitude=magnitude, hparams=settings) for name in OPERATIONS
        ]
        self.operations += [None] * cutout

    def set_progress(self, share: float) -> None:
        """Set the share of training that is over, in 0..1; called by the joint data set."""
        self.progress = share

    def draw_magnitude(self) -> float:
        """The magnitude of one operation.

        Raises:
            InputError: a rising schedule, and the progress of training was not set.
        """
        bound = self.magnitude
        if self.schedule.endswith("rising"):
            if self.progress is None:
                raise InputError(
                    f"expected schedule={self.schedule!r} within frozen_det.JointDataset, which knows how "
                    "far training is, got it in another data set (transform.schedule)."
                )
            bound *= self.progress
        return random.uniform(0, bound) if self.schedule.startswith("random") else bound

    def __call__(self, image: Image.Image) -> Image.Image:
        for _ in range(self.num_layers):
            operation, magnitude = random.choice(self.operations), self.draw_magnitude()
            if operation is None:
                image = cut_out(image, int(magnitude / 10 * self.cutout_px))
            else:
                operation.magnitude = magnitude
                image = operation(image)
        return image


def cut_out(image: Image.Image, half_px: int) -> Image.Image:
    """The image with a grey square of side ``2 * half_px`` around a random pixel, cut at the borders."""
    if half_px < 1:
        return image
    pixels = np.array(image)  # (H, W, 3)
    top, left = random.randrange(pixels.shape[0]), random.randrange(pixels.shape[1])
    pixels[max(0, top - half_px) : top + half_px, max(0, left - half_px) : left + half_px] = GREY
    return Image.fromarray(pixels)


@TRANSFORMS.register_module()
class NoisyTrain:
    """A student's view of an image: crop and flip, with the paper's RandAugment.

    Args:
        size: side of the result, in px.
        magnitude: of RandAugment; None for none of it.
        num_layers, schedule, cutout: see :class:`PaperRandAugment`.
        geometry: "imagenet": random resized crop and flip, then RandAugment. "small", for 32 px: RandAugment with
            shifts and holes of ``size / 8`` at M = 10, a hole of ``size / 2`` px in every image, then a crop out of 4
            mirrored px and a flip, as the released code has it. "none": resize and centre crop alone.
        flip: probability of mirroring; the source has none for digits.

    Raises:
        InputError: an unknown schedule or geometry.
    """

    def __init__(
        self,
        size: int,
        magnitude: float | None = 27,
        num_layers: int = 2,
        schedule: str = "constant",
        cutout: bool = True,
        geometry: str = "imagenet",
        flip: float = 0.5,
    ) -> None:
        if geometry not in GEOMETRIES:
            raise InputError(f"expected geometry as one of {list(GEOMETRIES)}, got {geometry!r} (transform.geometry).")
        small = geometry == "small"
        self.size, self.geometry = size, geometry
        pixels = dict(cutout_px=size // 8, translate_px=size // 8) if small else {}
        self.augment = (
            None if magnitude is None else PaperRandAugment(magnitude, num_layers, cutout, schedule=schedule, **pixels)
        )
        bicubic, self.flip = InterpolationMode.BICUBIC, flip
        self.before = []
        if geometry == "imagenet":
            self.before = [v2.RandomResizedCrop(size, interpolation=bicubic), v2.RandomHorizontalFlip(flip)]
        elif geometry == "none":
            self.before = [v2.Resize(size, interpolation=bicubic), v2.CenterCrop(size)]

    def set_progress(self, share: float) -> None:
        """Set the share of training that is over, in 0..1."""
        if self.augment is not None:
            self.augment.set_progress(share)

    def __call__(self, image: Image.Image) -> Tensor:
        """(3, size, size) uint8 of a PIL image."""
        for step in self.before:
            image = step(image)
        if self.augment is not None:
            image = self.augment(image)
            if self.geometry == "small":
                image = cut_out(image, self.size // 4)
        pixels = np.asarray(image, dtype=np.uint8)  # (H, W, 3)
        if self.geometry == "small":
            pixels = _shifted(pixels, self.size, self.flip)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _shifted(pixels: np.ndarray, size: int, flip: float) -> np.ndarray:
    """A crop of `size` px out of the (H, W, 3) image with 4 mirrored px around it, perhaps flipped."""
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    top, left = (random.randrange(length - size + 1) for length in padded.shape[:2])
    crop = padded[top : top + size, left : left + size]
    return crop[:, ::-1] if random.random() < flip else crop
