"""Image size and length of a run that follow from the data, for `custom`, where no argument gives them.

Size: nine of ten boxes are at least as large as what COCO calls small (32 x 32 px), by the square root of their area,
within 320 to 640 px. Length: the config's epochs, and at least 1000 updates of the weights, which a few images would
otherwise never see. Validation: at most 15 times in a run, however many epochs it has.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SMALL_PX = 32
SIZES = (320, 640)
SHARE = 0.1
UPDATES = 1000
VALIDATIONS = 15


@dataclass(frozen=True)
class Suggestion:
    """An entry's value, and why, in words."""

    value: int
    why: str


def size_by_boxes(content: Mapping) -> Suggestion:
    """Side of the square that images are scaled into.

    Args:
        content: of a COCO json. Crowds and ignored boxes, and boxes without area, are left out.

    Returns:
        a multiple of 32 px within :data:`SIZES`; the larger end where there is no box.
    """
    longer = {image["id"]: max(image["width"], image["height"]) for image in content["images"]}
    sides = [
        math.sqrt(one["bbox"][2] * one["bbox"][3]) / longer[one["image_id"]]
        for one in content["annotations"]
        if not (one.get("iscrowd") or one.get("ignore")) and min(one["bbox"][2:]) > 0
    ]
    if not sides:
        return Suggestion(SIZES[1], "no object says more")
    small = float(np.quantile(sides, SHARE, method="lower"))
    size = min(max(math.ceil(SMALL_PX / small / 32) * 32, SIZES[0]), SIZES[1])
    return Suggestion(size, f"a tenth of the boxes is at most {small:.3f} of the longer side, {small * size:.0f} px")


def epochs_by_updates(num_images: int, batch: int, epochs: int) -> Suggestion:
    """Passes over the data.

    Args:
        num_images: of the training split.
        batch: images of an update.
        epochs: the config's, the least.
    """
    steps = max(1, math.ceil(num_images / batch))
    enough = max(epochs, math.ceil(UPDATES / steps))
    return Suggestion(enough, f"{num_images} images in batches of {batch} are {steps} updates an epoch")


def interval_of_validation(epochs: int, interval: int) -> Suggestion:
    """Epochs from one validation to the next.

    Args:
        epochs: of the run.
        interval: the config's, the least.
    """
    wide = max(interval, math.ceil(epochs / VALIDATIONS))
    return Suggestion(wide, f"{epochs} epochs are validated {math.ceil(epochs / wide)} times")
