"""A predicted panoptic map as COCO stores it: a colour for each segment, and what the segments are."""

import numpy as np

from ..datasets.readers.panoptic import id_to_rgb


def segments_of(panoptic: np.ndarray, num_classes: int) -> list[dict]:
    """The segments of a map, by id.

    Args:
        panoptic: (H, W) int, as mmdet gives it: class + 1000 * number of the instance; `num_classes` for nothing.
        num_classes: things and stuff together.

    Returns:
        for each segment its ``id`` in :func:`picture_of` (from 1 on), ``label`` (class, from 0 on) and ``area`` (px).
    """
    from mmdet.evaluation.functional import INSTANCE_OFFSET

    values, areas = np.unique(panoptic, return_counts=True)
    return [
        dict(id=int(value) + 1, label=int(value) % INSTANCE_OFFSET, area=int(area))
        for value, area in zip(values, areas)
        if value % INSTANCE_OFFSET < num_classes
    ]


def picture_of(panoptic: np.ndarray, num_classes: int) -> np.ndarray:
    """The map as colours (H, W, 3) uint8 that are ids, R + 256 G + 256^2 B; 0 for what belongs to nothing."""
    from mmdet.evaluation.functional import INSTANCE_OFFSET

    return id_to_rgb(np.where(panoptic % INSTANCE_OFFSET < num_classes, panoptic + 1, 0))
