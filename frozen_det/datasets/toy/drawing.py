"""One toy scene: handwritten digits, tinted, rotated and scaled, pasted with their masks on a crop of a photograph.

Digits and photographs are the real ones that scikit-learn carries. The two splits share no digit sample and no
pixel of a photograph. Everything is drawn from the generator that is passed in.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# Of each class the first samples train and the last validate: the set is ordered by writer.
TRAIN_SHARE_OF_DIGITS = 0.7
# Of each photograph the left part trains and the right part validates.
_TRAIN_PHOTO_END, _VAL_PHOTO_START = 400, 412
_CROP_SIDE_PX = (140, 220)
_CANVAS = 96  # side in px to which an 8x8 digit is smoothed before it is warped
_STROKE = 0.4  # ink above this share belongs to the mask
_MAX_HIDDEN = 0.4  # no digit may lose a larger share of its mask to those pasted later
_PLACEMENTS = 12  # tried before a digit is left out
_ROTATION_DEG = 25.0


@dataclass
class Sources:
    """What a split is made of: ``digits[label]`` (N, 8, 8) float in [0, 1], photographs (H, W, 3) uint8 RGB."""

    digits: list[np.ndarray]
    photos: list[np.ndarray]


@dataclass
class Scene:
    """``image`` (H, W, 3) uint8 RGB; ``masks`` of the visible pixels, (H, W) bool each; ``labels``; how many
    digits found no place where they would have hidden little enough (``num_left_out``)."""

    image: np.ndarray
    masks: list[np.ndarray]
    labels: list[int]
    num_left_out: int


def load_sources() -> dict[str, Sources]:
    """Sources of the splits ``train`` and ``val``."""
    from sklearn.datasets import load_digits, load_sample_images

    digits, photos = load_digits(), load_sample_images().images
    sources = {
        "train": Sources([], [photo[:, :_TRAIN_PHOTO_END] for photo in photos]),
        "val": Sources([], [photo[:, _VAL_PHOTO_START:] for photo in photos]),
    }
    for label in range(10):
        samples = digits.images[digits.target == label] / 16.0
        num_train = round(len(samples) * TRAIN_SHARE_OF_DIGITS)
        sources["train"].digits.append(samples[:num_train])
        sources["val"].digits.append(samples[num_train:])
    return sources


def draw_scene(
    rng: np.random.Generator,
    sources: Sources,
    labels: list[int],
    size_hw: tuple[int, int],
    object_px: tuple[float, float],
) -> Scene:
    """Paint the digits ``labels`` in this order on a crop of a photograph.

    Args:
        rng: All draws come from it.
        sources: Of the split.
        labels: Class 0 to 9 of each digit.
        size_hw: Height and width of the image in px.
        object_px: Shortest and longest allowed longer side of a digit, drawn evenly in its logarithm.
    """
    image = _background(rng, sources.photos, size_hw)
    masks: list[np.ndarray] = []
    kept: list[int] = []
    whole_areas: list[int] = []
    for label in labels:
        ink = _warped_digit(rng, sources.digits[label], object_px, size_hw)
        place = _place(rng, ink > _STROKE, masks, whole_areas, size_hw)
        if place is None:
            continue
        top, left = place
        window = np.s_[top : top + ink.shape[0], left : left + ink.shape[1]]
        mask = np.zeros(size_hw, bool)
        mask[window] = ink > _STROKE
        image[window] = _painted(image[window], ink, _tint(rng, image[mask]))
        for other in masks:
            other &= ~mask
        masks.append(mask)
        kept.append(label)
        whole_areas.append(np.count_nonzero(mask))
    image += rng.uniform(0, 6) * rng.standard_normal(image.shape, np.float32)
    return Scene(image.round().clip(0, 255).astype(np.uint8), masks, kept, len(labels) - len(kept))


def _background(rng: np.random.Generator, photos: list[np.ndarray], size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) float32 in [0, 255]: a random crop, perhaps mirrored, with another brightness."""
    photo = photos[rng.integers(len(photos))]
    scale = rng.uniform(*_CROP_SIDE_PX) / max(size_hw)
    height, width = (max(1, round(side * scale)) for side in size_hw)
    top = rng.integers(photo.shape[0] - height + 1)
    left = rng.integers(photo.shape[1] - width + 1)
    crop = photo[top : top + height, left : left + width].astype(np.float32)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    image = cv2.resize(np.ascontiguousarray(crop), size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return (image * np.float32(rng.uniform(0.6, 1.15))).clip(0, 255)


def _warped_digit(
    rng: np.random.Generator, samples: np.ndarray, object_px: tuple[float, float], size_hw: tuple[int, int]
) -> np.ndarray:
    """(h, w) float32 ink in [0, 1] of one digit, rotated and scaled, cropped to its mask."""
    sample = samples[rng.integers(len(samples))]
    longest = min(rng.uniform(*np.log(object_px)), np.log(min(size_hw) - 2))
    angle, squeeze = rng.uniform(-_ROTATION_DEG, _ROTATION_DEG), rng.uniform(0.85, 1.2)
    ink = cv2.resize(np.pad(sample, 1).astype(np.float32), (_CANVAS, _CANVAS), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((0, 0), angle, 1.0)[:, :2] @ np.diag([squeeze, 1.0])
    y, x = np.nonzero(ink > _STROKE)
    corners = turn @ np.stack([x, y])
    scale = np.exp(longest) / (np.ptp(corners, axis=1).max() + 1)
    shift = 2 - corners.min(1) * scale
    width, height = np.ceil(np.ptp(corners, axis=1) * scale).astype(int) + 5
    warped = cv2.warpAffine(ink, np.column_stack([turn * scale, shift]), (int(width), int(height)))
    y, x = np.nonzero(warped > _STROKE)
    return warped[y.min() : y.max() + 1, x.min() : x.max() + 1].clip(0, 1)


def _place(
    rng: np.random.Generator,
    stroke: np.ndarray,
    masks: list[np.ndarray],
    whole_areas: list[int],
    size_hw: tuple[int, int],
) -> tuple[int, int] | None:
    """Top and left where the stroke leaves enough of every earlier mask in sight; None if no try finds any."""
    for _ in range(_PLACEMENTS):
        top = int(rng.integers(size_hw[0] - stroke.shape[0] + 1))
        left = int(rng.integers(size_hw[1] - stroke.shape[1] + 1))
        window = np.s_[top : top + stroke.shape[0], left : left + stroke.shape[1]]
        if all(
            np.count_nonzero(mask) - np.count_nonzero(mask[window] & stroke) >= (1 - _MAX_HIDDEN) * whole
            for mask, whole in zip(masks, whole_areas)
        ):
            return top, left
    return None


def _tint(rng: np.random.Generator, covered: np.ndarray) -> np.ndarray:
    """(3,) RGB in [0, 255]: of eight drawn colours the first that stands out from what it covers, else the best."""
    candidates = rng.uniform(0, 255, (8, 3))
    luma = np.array([0.299, 0.587, 0.114])
    contrast = abs((candidates - covered.mean(0)) @ luma)
    clear = np.flatnonzero(contrast >= 80)
    return candidates[clear[0] if len(clear) else contrast.argmax()]


def _painted(under: np.ndarray, ink: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """Blend the tinted ink over the pixels below it: soft at the edge, a little darker where the ink is thin."""
    opacity = ((ink - _STROKE) / 0.3 + 0.5).clip(0, 1)[..., None]
    return under * (1 - opacity) + tint * (0.75 + 0.25 * ink[..., None]) * opacity
