"""Datasets, transforms and samplers of frozen_det. Importing it registers them."""

from . import (  # noqa: F401
    coco,
    copy_paste,
    large_scale_jitter,
    long_tail_samplers,
    lvis,
    max_objects,
    panoptic,
    samplers,
    seeding,
    toy_scenes,
)
