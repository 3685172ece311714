"""Datasets, transforms and samplers of frozen_det. Importing it registers them."""

from . import coco, samplers, seeding, toy_scenes  # noqa: F401
