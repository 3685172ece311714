"""Hooks and training-time parts of frozen_det. Importing it registers them."""
