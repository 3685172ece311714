"""Datasets, transforms and samplers of frozen_det. Importing it registers them."""
