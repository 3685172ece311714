"""Datasets, transforms and samplers of frozen_det. Importing it registers them."""

from . import coco, copy_paste, large_scale_jitter, long_tail_samplers, lvis, max_objects, samplers, seeding, toy_scenes  # noqa: F401
