"""How a classifier's maps become localisation accuracy, by name: what the network sees, how boxes are cut and counted.

``own``: the candidate's test transform, else as ``cutmix``. ``cutmix``: arXiv 1905.04899, appendix B.
``wsolevaluation``: clovaai/wsolevaluation, inference.py and evaluation.py, over all thresholds. Refuses other names.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InputError, closest
from ..ops.max_box_acc import NUM_THRESHOLDS, ious_along_thresholds, resized_box, score_map
from ..upstream.transforms import SquareEval
from .bootstrap import Bootstrap, Series, average
from .boxed_images import BoxedImage
from .candidates import StudyImages
from .localization import THRESHOLD, V2_IOUS, best_iou, map_box, max_box_acc_v2, moved_to_original

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 19))
IOU = 0.5


def crop_geometry(size_hw: tuple[int, int], resize: int, size: int) -> tuple[tuple, tuple]:
    """(scale x and y, left and top of the crop) of "short side to `resize`, middle `size`", as torchvision rounds."""
    height, width = size_hw
    if height <= width:
        new_h, new_w = resize, int(resize * width / height)
    else:
        new_h, new_w = int(resize * height / width), resize
    offset = int(round((new_w - size) / 2)), int(round((new_h - size) / 2))
    return (new_w / width, new_h / height), offset


@dataclass
class OneThreshold:
    """A box at 0.15 of the map's maximum around the largest component, right above an IoU of 0.5 in the original image.

    For top-1 localisation the class must be right too. MaxBoxAccV2 is over 18 thresholds, with the largest component.

    Attributes:
        fit: PIL image -> (3, H, W) uint8.
        geometry: (height, width) -> (scale x and y, left and top of the crop).
        size_hw: what the network sees, px.
    """

    fit: Callable
    geometry: Callable
    size_hw: tuple[int, int]
    cuts_below_zero = True
    threshold = THRESHOLD

    def ious(self, one: BoxedImage, map_hw: np.ndarray) -> np.ndarray:
        """(1 + T,) IoUs of one image's boxes with its truth, the first at the protocol's threshold."""
        scale, offset = self.geometry(one.size_hw)
        boxes = [map_box(map_hw, self.size_hw, threshold) for threshold in (THRESHOLD, *THRESHOLDS)]
        return np.array([best_iou(moved_to_original(box, scale, offset, one.size_hw), one.boxes_xyxy) for box in boxes])

    def numbers(self, ious: np.ndarray, right: np.ndarray, seed: int) -> tuple[dict, dict]:
        """Numbers and curves in percent from IoUs (N, 1 + T) and whether the class was right (N,)."""
        boot, hit = Bootstrap(len(ious), seed), ious[:, 0] > IOU
        share = boot.means(THRESHOLDS, 100.0 * (ious[:, 1:] > IOU))
        return {
            "top-1 localisation": boot.mean(100.0 * (hit & right)),
            "GT-known localisation": boot.mean(100.0 * hit),
            "top-1": boot.mean(100.0 * right),
            "MaxBoxAccV2": boot.of(lambda drawn: max_box_acc_v2(ious[drawn, 1:])),
            "mean IoU": boot.mean(100 * ious[:, 0]),
        }, {"GT-known localisation": Series(share.x, share.y, share.low, share.high)}


@dataclass
class AllThresholds:
    """MaxBoxAcc and MaxBoxAccV2 over 1000 thresholds of the maximum, in the image squashed to 224 x 224."""

    fit: Callable
    cuts_below_zero = False
    threshold = f"the best of {NUM_THRESHOLDS}"

    def ious(self, one: BoxedImage, map_hw: np.ndarray) -> np.ndarray:
        """(2, T) IoUs at every threshold: of the largest contour, of the best contour."""
        truths = np.array([resized_box(box, one.size_hw) for box in one.boxes_xyxy])
        return np.stack(ious_along_thresholds(score_map(map_hw), truths)).astype(np.float32)

    def numbers(self, ious: np.ndarray, right: np.ndarray, seed: int) -> tuple[dict, dict]:
        """Numbers and curves in percent from IoUs (N, 2, T) and whether the class was right (N,)."""
        boot, places = Bootstrap(len(ious), seed), np.arange(0, NUM_THRESHOLDS, NUM_THRESHOLDS // 20)
        hit = ious[:, 0] >= IOU
        share = boot.means(places / NUM_THRESHOLDS, 100.0 * hit[:, places])
        second = [boot.best(100.0 * (ious[:, 1] >= delta)) for delta in V2_IOUS]
        return {
            "MaxBoxAcc": boot.best(100.0 * hit),
            "MaxBoxAccV2": average(second),
            "top-1": boot.mean(100.0 * right),
        }, {"GT-known localisation": Series(share.x, share.y, share.low, share.high)}


PROTOCOLS = ("own", "cutmix", "wsolevaluation")


def protocol_of(name: str, images: StudyImages) -> OneThreshold | AllThresholds:
    """The rules of a protocol for a candidate.

    Raises:
        InputError: a name that is not in :data:`PROTOCOLS`.
    """
    if name == "own":
        size = images.size_hw[0]
        resize = getattr(images.fit, "resize", size)
        if isinstance(images.fit, SquareEval):
            return OneThreshold(images.fit, images.fit.geometry, images.size_hw)
        return OneThreshold(images.fit, lambda size_hw: crop_geometry(size_hw, resize, size), images.size_hw)
    if name == "cutmix":
        fit = SquareEval(224, 256)
        return OneThreshold(fit, fit.geometry, (224, 224))
    if name == "wsolevaluation":
        return AllThresholds(SquareEval(224, 224))
    raise InputError(
        f"expected --wsol-protocol as one of {', '.join(PROTOCOLS)}, got {name!r}; {closest(name, PROTOCOLS)}".rstrip(
            "; "
        )
        + "."
    )
