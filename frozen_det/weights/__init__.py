"""Weights and checkpoints: read safely, remap keys, load strictly, name by digest, describe by card."""
