"""Transforms of detection data: jitter, Copy-Paste, masks."""
