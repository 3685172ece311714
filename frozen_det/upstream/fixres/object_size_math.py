"""How large objects look in training and in testing: random resized crops against a resize and a central crop.

Touvron et al., "Fixing the train-test resolution discrepancy", arXiv 1906.06423, section 3. A random resized crop
shows a share of the image enlarged to the training size, so objects look larger than in the central crop of a test.
Draws come from an explicit generator; images smaller than one pixel and shares outside (0, 1] are refused.
"""

import math

import numpy as np

from ...errors import InputError

SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
_ATTEMPTS = 10  # torchvision's, after which it takes the middle of the image


def expected_crop_side(scale: tuple[float, float] = SCALE) -> float:
    """E[s] of a crop whose share of the image's area is ``s ** 2``, uniform in `scale`.

    ``(2 / 3) * (b ** 1.5 - a ** 1.5) / (b - a)``: 0.708 for the usual 0.08 to 1.

    Raises:
        InputError: a range outside (0, 1] or upside down.
    """
    low, high = _range(scale)
    # (b^1.5 - a^1.5) / (b - a) without the difference, which loses its digits in a narrow range.
    return (2 / 3) * (low + math.sqrt(low * high) + high) / (math.sqrt(low) + math.sqrt(high))


def expected_size_ratio(train_size: int, test_size: int, test_resize: int, scale: tuple[float, float] = SCALE) -> float:
    """Expected object size in a test over that in training, for a square image whose crops are never rejected.

    The image's short side becomes `test_resize` px in a test; in training a side of ``s`` of it becomes `train_size`.
    So the ratio is ``E[s] * test_resize / train_size``: 0.809 for 256 and 224. That objects near the border are cut off
    is not looked at, as in the paper.

    Args:
        train_size: side of the random resized crop, in px.
        test_size: side of the central crop of it, in px; how much is cut off does not change an object's size.
        test_resize: short side of the resized image in a test, in px, at least `test_size`.
        scale: range of the crop's share of the area.
    """
    if not 0 < test_size <= test_resize or train_size < 1:
        raise InputError(
            f"expected 0 < test_size <= test_resize and a train_size of at least 1, got {test_size}, "
            f"{test_resize}, {train_size}."
        )
    return expected_crop_side(scale) * test_resize / train_size


def random_crop_sizes(
    num: int,
    height: int,
    width: int,
    generator: np.random.Generator,
    scale: tuple[float, float] = SCALE,
    ratio: tuple[float, float] = RATIO,
    rejection: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """(heights, widths) in px of `num` crops of one image, as torchvision's RandomResizedCrop draws them.

    Args:
        num: how many.
        height, width: of the image, in px.
        generator: of the draws.
        scale: range of the share of the area, uniform.
        ratio: range of width over height, log-uniform.
        rejection: torchvision's rule: whole pixels, a crop that does not fit is drawn again, after ten times the
            largest central crop of an allowed ratio is taken. False: the formula alone, fractions of pixels, crops
            that reach beyond the image.

    Returns:
        two (num,) float64 arrays.
    """
    low, high = _range(scale)
    if height < 1 or width < 1 or num < 1 or not 0 < ratio[0] <= ratio[1]:
        raise InputError(
            f"expected an image and a number of crops of at least 1, and 0 < ratio[0] <= ratio[1], got "
            f"{height} x {width}, {num}, {ratio}."
        )
    attempts = _ATTEMPTS if rejection else 1
    areas = height * width * generator.uniform(low, high, (num, attempts))
    ratios = np.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1]), (num, attempts)))
    widths, heights = np.sqrt(areas * ratios), np.sqrt(areas / ratios)
    if not rejection:
        return heights[:, 0], widths[:, 0]
    widths, heights = np.rint(widths), np.rint(heights)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)  # (num, attempts)
    first, any_fits = fits.argmax(1), fits.any(1)
    rows = np.arange(num)
    fallback = _fallback(height, width, ratio)
    return (np.where(any_fits, heights[rows, first], fallback[0]), np.where(any_fits, widths[rows, first], fallback[1]))


def train_object_scale(heights: np.ndarray, widths: np.ndarray, train_size: int) -> np.ndarray:
    """Pixels of the network's input for one pixel of the image, the geometric mean over both axes: (N,)."""
    return train_size / np.sqrt(heights * widths)


def eval_object_scale(height: int, width: int, test_resize: int) -> float:
    """Pixels of the network's input for one pixel of the image in a test: the short side becomes `test_resize`."""
    return test_resize / min(height, width)


def central_share(height: int, width: int, test_size: int, test_resize: int) -> float:
    """The test's region of classification: the share of the image's area that the central crop shows, in (0, 1]."""
    short = min(height, width)
    side = test_size / test_resize * short  # px of the image
    return min(side, height) * min(side, width) / (height * width)


def suggested_test_size(train_size: int, mean_ratio: float, step: int = 32) -> int:
    """The test size at which objects look as large as in training, resize and crop enlarged together.

    Args:
        train_size: in px.
        mean_ratio: mean object size in a test at the training size over that in training, e.g. 0.763.
        step: the network's total stride: the answer is the nearest multiple of it.
    """
    return max(step, step * round(train_size / mean_ratio / step))


def _fallback(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest crop whose ratio is allowed."""
    shape = width / height
    if shape < ratio[0]:
        return round(width / ratio[0]), width
    if shape > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def _range(scale) -> tuple[float, float]:
    low, high = scale
    if not 0 < low <= high <= 1:
        raise InputError(f"expected a range of area shares in (0, 1], got {tuple(scale)} (transform.scale).")
    return float(low), float(high)
