"""Transforms for classification: PIL image (RGB) in, uint8 (3, H, W) out; recipes by preset; CIFAR's, batch by batch.

Geometry and colour are torchvision's v2 transforms, RandAugment is timm's, which the RSB recipes are defined by
(torchvision's has other operations, units and probabilities). Draws are from Python's, numpy's and torch's global
generators, which the dataset seeds for each sample. Normalising is the model's, so nothing here leaves 0..255.

CIFAR's are batch transforms, which have ``words_per_image`` and ``apply_batch``: a dataset that holds its images in
memory hands over whole batches, otherwise batches of one, with the same result; draws follow from (seed, epoch, index).
"""

import math

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from ..errors import InputError, closest
from ..ops.counter_draws import below, unit_interval
from ..registry import TRANSFORMS

# Red, green and blue of ImageNet's mean, in 0..255: what a zero is after normalising.
MEAN_PIXEL = (124, 116, 104)

#: Of TrainTransform, where neither preset nor argument says otherwise.
DEFAULTS = dict(
    interpolation="bicubic",
    rand_augment="",
    trivial_augment=False,
    color_jitter=0.0,
    lighting=0.0,
    erase_prob=0.0,
    erase_mode="mean",
)
#: Arguments of TrainTransform by name.
PRESETS = {
    # Random crop and flip.
    "basic": dict(),
    # Wightman et al., arXiv 2110.00476, Table 2: A1 and A2.
    "rsb": dict(rand_augment="rand-m7-mstd0.5-inc1"),
    # Its A3, which also has size=160.
    "rsb-a3": dict(rand_augment="rand-m6-mstd0.5-inc1"),
    # clovaai/CutMix-PyTorch, train.py. The paper says "resize, crop, flip" only.
    "cutmix-imagenet": dict(interpolation="bilinear", color_jitter=0.4, lighting=0.1),
    # torchvision's references/classification for its IMAGENET1K_V2 weights, with size=176.
    "torchvision-v2": dict(interpolation="bilinear", trivial_augment=True, erase_prob=0.1),
    # Touvron et al., arXiv 2012.12877; facebookresearch/deit, main.py. timm's loader leaves its jitter out beside
    # RandAugment.
    "deit": dict(rand_augment="rand-m9-mstd0.5-inc1", erase_prob=0.25, erase_mode="noise"),
}


@TRANSFORMS.register_module()
class TrainTransform:
    """Random resized crop, flip and what a recipe adds, in this order: crop, flip, RandAugment or TrivialAugment,
    colour jitter, PCA lighting, erasing.

    Args:
        preset: A name in :data:`PRESETS`, whose values the other arguments override; None for "basic".
        size: Side of the square crop, in px.
        scale: Range of the crop's share of the image's area.
        ratio: Range of its aspect ratio.
        interpolation: "bicubic", "bilinear" or "nearest". Default "bicubic".
        flip: Probability of mirroring.
        rand_augment: timm's string, e.g. "rand-m7-mstd0.5-inc1"; "" for none. Translations reach 0.45 of the crop,
            empty pixels take ImageNet's mean, resampling is the crop's, as in timm's loader.
        trivial_augment: TrivialAugmentWide (arXiv 2103.10158).
        color_jitter: Strength of brightness, contrast and saturation changes, in random order; 0 for none.
        lighting: Standard deviation of AlexNet's PCA noise; 0 for none.
        erase_prob: Probability of erasing a rectangle.
        erase_mode: "mean": it takes ImageNet's mean pixel (torchvision's recipe writes zeros after normalising).
            "noise": every pixel takes normal noise of ImageNet's mean and deviation, timm's mode "pixel", cut to
            0..255; rectangles are timm's.

    Raises:
        InputError: An unknown preset, interpolation or mode, a bad size, or RandAugment with TrivialAugment.
    """

    def __init__(
        self,
        preset: str | None = None,
        size: int = 224,
        scale=(0.08, 1.0),
        ratio=(3 / 4, 4 / 3),
        interpolation: str | None = None,
        flip: float = 0.5,
        rand_augment: str | None = None,
        trivial_augment: bool | None = None,
        color_jitter: float | None = None,
        lighting: float | None = None,
        erase_prob: float | None = None,
        erase_mode: str | None = None,
    ) -> None:
        if preset is not None and preset not in PRESETS:
            raise InputError(
                f"expected transform.preset as one of {sorted(PRESETS)}, got {preset!r}; "
                f"{closest(preset, PRESETS)}".rstrip("; ")
                + "."
            )
        given = dict(
            interpolation=interpolation,
            rand_augment=rand_augment,
            trivial_augment=trivial_augment,
            color_jitter=color_jitter,
            lighting=lighting,
            erase_prob=erase_prob,
            erase_mode=erase_mode,
        )
        chosen = DEFAULTS | PRESETS[preset or "basic"] | {k: value for k, value in given.items() if value is not None}
        if chosen["rand_augment"] and chosen["trivial_augment"]:
            raise InputError("expected rand_augment or trivial_augment, got both (transform).")
        if chosen["erase_mode"] not in ("mean", "noise"):
            raise InputError(f"expected erase_mode as 'mean' or 'noise', got {chosen['erase_mode']!r} (transform).")
        mode, size = _interpolation(chosen["interpolation"]), _size(size)
        on_image = [
            v2.RandomResizedCrop(size, scale=tuple(scale), ratio=tuple(ratio), interpolation=mode),
            v2.RandomHorizontalFlip(flip),
        ]
        if chosen["rand_augment"]:
            on_image.append(rand_augment_like_timm(chosen["rand_augment"], size, chosen["interpolation"]))
        if chosen["trivial_augment"]:
            on_image.append(v2.TrivialAugmentWide(interpolation=mode))
        on_pixels = []
        if chosen["color_jitter"]:
            on_pixels.append(v2.ColorJitter(*[chosen["color_jitter"]] * 3))
        if chosen["lighting"]:
            on_pixels.append(_Lighting(chosen["lighting"]))
        if chosen["erase_prob"]:
            on_pixels.append(
                v2.RandomErasing(p=chosen["erase_prob"], value=list(MEAN_PIXEL))
                if chosen["erase_mode"] == "mean"
                else _NoiseErasing(chosen["erase_prob"])
            )
        self.size, self.settings, self.on_image, self.on_pixels = size, chosen, on_image, on_pixels

    def __call__(self, image: Image.Image) -> Tensor:
        """(3, size, size) uint8 of a PIL image."""
        for step in self.on_image:
            image = step(image)
        pixels = v2.functional.pil_to_tensor(image)  # (3, H, W)
        for step in self.on_pixels:
            pixels = step(pixels)
        return pixels

    def __repr__(self) -> str:
        return f"TrainTransform(size={self.size}, {self.settings})"


class _Steps:
    """Steps on a PIL image, one after the other; the result as (3, size, size) uint8."""

    def __call__(self, image: Image.Image) -> Tensor:
        for step in self.steps:
            image = step(image)
        return v2.functional.pil_to_tensor(image)


@TRANSFORMS.register_module()
class EvalTransform(_Steps):
    """Resize the short side, cut out the middle.

    Args:
        size: Side of the square crop, in px.
        crop_ratio: The crop's share of the resized short side, in (0, 1].
        interpolation: "bicubic", "bilinear" or "nearest".
        rounding: How ``size / crop_ratio`` becomes whole: "floor" as in timm (224 at 0.95: 235), "round" as in
            mmpretrain and PaddleClas (236).
        resize: The short side itself, in px, in place of ``crop_ratio`` (torchvision V2: 232 for 224).

    Raises:
        InputError: A bad value, or a resize below the crop.
    """

    def __init__(
        self,
        size: int = 224,
        crop_ratio: float = 0.875,
        interpolation: str = "bicubic",
        rounding: str = "floor",
        resize: int | None = None,
    ) -> None:
        if rounding not in ("floor", "round"):
            raise InputError(f"expected rounding as 'floor' or 'round', got {rounding!r} (transform.rounding).")
        if not 0 < crop_ratio <= 1:
            raise InputError(f"expected crop_ratio in (0, 1], got {crop_ratio!r} (transform.crop_ratio).")
        self.size = _size(size)
        self.resize = (math.floor if rounding == "floor" else round)(size / crop_ratio) if resize is None else resize
        if self.resize < size:
            raise InputError(f"expected resize of at least the crop's {size} px, got {resize!r} (transform.resize).")
        self.steps = [v2.Resize(self.resize, interpolation=_interpolation(interpolation)), v2.CenterCrop(size)]


@TRANSFORMS.register_module()
class SquareTrain(_Steps):
    """Resize both sides, so that no part of a wide image is lost, cut at random, mirror: for localisation.

    CutMix (arXiv 1905.04899, appendix B): 256 x 256, then a random or the middle 224 x 224. clovaai/wsolevaluation
    (data_loaders.py): the same in training, 224 x 224 without a crop in the test.

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


@TRANSFORMS.register_module()
class SquareEval(_Steps):
    """Resize both sides, cut out the middle.

    Args:
        size, resize, interpolation: As of :class:`SquareTrain`; ``resize=size`` cuts nothing.
    """

    def __init__(self, size: int = 224, resize: int = 256, interpolation: str = "bilinear") -> None:
        self.size, self.resize = _sides(size, resize)
        self.steps = [v2.Resize([resize, resize], interpolation=_interpolation(interpolation)), v2.CenterCrop(size)]

    def geometry(self, size_hw: tuple[int, int]) -> tuple[tuple[float, float], tuple[int, int]]:
        """(scale x and y, left and top of the crop, px) of an image of this height and width."""
        height, width = size_hw
        offset = int(round((self.resize - self.size) / 2))
        return (self.resize / width, self.resize / height), (offset, offset)


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
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))  # (N, C, 2p + 1, 2p + 1, H, W), no copy
    crops = windows[np.arange(num), :, tops, lefts]  # (N, C, H, W)
    crops[flips] = crops[flips, :, :, ::-1]
    return crops


def rand_augment_like_timm(config: str, size: int, interpolation: str):
    """timm's RandAugment with the settings that timm's own training loader gives it, for an input of ``size`` px.

    Raises:
        InputError: A string that timm does not take.
    """
    from timm.data.auto_augment import rand_augment_transform
    from timm.data.transforms import str_to_pil_interp

    try:
        return rand_augment_transform(
            config,
            dict(translate_const=int(size * 0.45), img_mean=MEAN_PIXEL, interpolation=str_to_pil_interp(interpolation)),
        )
    except (AssertionError, ValueError) as error:
        raise InputError(
            "expected timm's notation, such as 'rand-m7-mstd0.5-inc1', got "
            f"{config!r} (transform.rand_augment): {error or 'unknown part'}"
        ) from error


class _NoiseErasing:
    """timm's random erasing, which works on normalised pixels."""

    MEAN = torch.tensor((0.485, 0.456, 0.406))[:, None, None] * 255
    DEVIATION = torch.tensor((0.229, 0.224, 0.225))[:, None, None] * 255

    def __init__(self, prob: float) -> None:
        from timm.data.random_erasing import RandomErasing

        self.erase = RandomErasing(prob, mode="pixel", device="cpu")

    def __call__(self, pixels: Tensor) -> Tensor:  # (3, H, W) uint8
        erased = self.erase((pixels - self.MEAN) / self.DEVIATION)
        return (erased * self.DEVIATION + self.MEAN).round_().clamp_(0, 255).to(torch.uint8)


class _Lighting:
    """AlexNet's noise along the principal components of ImageNet's colours, the same for all pixels of an image."""

    EIGENVALUES = (0.2175, 0.0188, 0.0045)  # of colours in 0..1
    EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def __call__(self, pixels: Tensor) -> Tensor:  # (3, H, W) uint8
        strengths = torch.randn(3) * self.deviation * torch.tensor(self.EIGENVALUES)
        shift = torch.tensor(self.EIGENVECTORS) @ strengths * 255
        return (pixels + shift[:, None, None]).round_().clamp_(0, 255).to(torch.uint8)


def _interpolation(name: str) -> InterpolationMode:
    modes = dict(
        bicubic=InterpolationMode.BICUBIC, bilinear=InterpolationMode.BILINEAR, nearest=InterpolationMode.NEAREST
    )
    if name not in modes:
        raise InputError(f"expected interpolation as one of {sorted(modes)}, got {name!r} (transform.interpolation).")
    return modes[name]


def _size(size) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"expected size as a whole number of pixels from 1 on, got {size!r} (transform.size).")
    return size


def _sides(size: int, resize: int) -> tuple[int, int]:
    if _size(resize) < _size(size):
        raise InputError(f"expected resize of at least the crop's {size} px, got {resize!r} (transform.resize).")
    return size, resize
