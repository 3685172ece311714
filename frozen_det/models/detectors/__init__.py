"""Detector configs completed from backbone and data, and classifier-only second-stage training."""
