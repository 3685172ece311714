"""Datasets, transforms and samplers of frozen_det. Importing it registers them."""

from . import samplers, seeding  # noqa: F401
