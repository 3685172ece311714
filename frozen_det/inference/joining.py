"""Detections of several members as one list, in which each class has what its member found.

Boxes of different members may compete where they overlap, on request alone: a member has not learnt what the objects of
the others look like, so its score of them says little, however it is scaled (docs/frozen_pays.md has the numbers).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .detections import Detections


def join(found: Mapping[str, Detections], iou_threshold: float = 1.0) -> Detections:
    """Join what the members of a family found in one image.

    Scores stay as the members gave them. Below a threshold of 1 a box goes if a box of another member with a better
    score stays and their IoU is above it, whatever the classes; boxes of one member leave each other as they are.

    Args:
        found: detections by the member's name.
        iou_threshold: in (0, 1]; 1 keeps every box.

    Returns:
        one list, best first, over the classes of all members in turn; a class that several members know is one class.
        Masks where every member gives them; of the suggested thresholds the lowest, where every member has one.

    Raises:
        InputError: a threshold out of range, or a member with panoptic maps, of which no two can hold in one pixel.
    """
    if not 0 < iou_threshold <= 1:
        raise InputError(f"expected an IoU in (0, 1] to join at, got {iou_threshold:g}.")
    for name, one in found.items():
        if one.panoptic is not None:
            raise InputError(f"expected members with boxes to join, got {name} with panoptic maps; use it alone.")
    classes = joined_classes(one.classes for one in found.values())
    labels = [np.array([classes.index(name) for name in one.classes], np.int64)[one.labels] for one in found.values()]
    members = np.repeat(np.arange(len(found)), [len(one.scores) for one in found.values()])
    boxes, scores = (np.concatenate([getattr(one, key) for one in found.values()]) for key in ("boxes_xyxy", "scores"))
    best_first = np.argsort(-scores, kind="stable")
    kept = best_first[_survivors(boxes[best_first], members[best_first], iou_threshold)]
    with_masks = all(one.masks is not None for one in found.values())
    masks = np.concatenate([one.masks for one in found.values()])[kept] if with_masks else None
    thresholds = [one.threshold for one in found.values() if one.threshold is not None]
    return Detections(
        boxes[kept],
        scores[kept],
        np.concatenate(labels)[kept],
        classes,
        masks,
        category_ids=joined_category_ids(found.values()),
        size_hw=next(iter(found.values())).size_hw,
        picture=next(iter(found.values())).picture,
        threshold=min(thresholds) if len(thresholds) == len(found) else None,
    )


def joined_classes(members: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The classes of all members in turn, each once."""
    return tuple(dict.fromkeys(name for classes in members for name in classes))


def joined_category_ids(members: Iterable[Any]) -> tuple[int | str, ...] | None:
    """The category id of each joined class; None, which counts from 1, where the members' ids contradict each other.

    Args:
        members: with `classes` and `category_ids`, as detectors and detections have them.
    """
    ids: dict[str, int | str] = {}
    for one in members:
        for name, known in zip(one.classes, one.category_ids or ()):
            if ids.setdefault(name, known) != known:
                return None
        if not set(one.classes) <= ids.keys():
            return None
    return tuple(ids.values()) if len(set(ids.values())) == len(ids) else None


def _survivors(boxes: np.ndarray, members: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Which boxes (N, 4), best first, stay: (N,) bool."""
    import torch
    from torchvision.ops import box_iou

    given = torch.from_numpy(np.asarray(boxes, np.float64).reshape(-1, 4))
    rivals = (box_iou(given, given).numpy() > iou_threshold) & (members[:, None] != members[None, :])
    stay = np.ones(len(boxes), bool)
    for number in range(len(boxes)):
        if stay[number]:
            stay[number + 1 :] &= ~rivals[number, number + 1 :]
    return stay
