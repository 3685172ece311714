"""Metrics of frozen_det. Importing it registers them."""
