"""What a data set is in a few numbers, by which it is said to be like the sets of the study or not."""

import math

import numpy as np

#: Names and, for people, what they count.
FACTS = {
    "training images": "training images",
    "classes": "classes",
    "objects an image": "objects in an image, mean",
    "object side": "side of an object as the network sees it, median in px",
}


def facts_of(content: dict, size: int) -> dict[str, float]:
    """Facts of training data.

    Args:
        content: of a COCO json. Crowds, ignored boxes and boxes without area are left out.
        size: side in px of the square that images are scaled into.

    Returns:
        a number for each of :data:`FACTS`; NaN as side where there is no object.
    """
    longer = {image["id"]: max(image["width"], image["height"]) for image in content["images"]}
    sides = [
        math.sqrt(one["bbox"][2] * one["bbox"][3]) * size / longer[one["image_id"]]
        for one in content["annotations"]
        if not (one.get("iscrowd") or one.get("ignore")) and min(one["bbox"][2:]) > 0
    ]
    return {
        "training images": len(longer),
        "classes": len(content["categories"]),
        "objects an image": round(len(sides) / max(1, len(longer)), 3),
        "object side": round(float(np.median(sides)), 2) if sides else math.nan,
    }
