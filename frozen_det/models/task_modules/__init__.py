"""Anchor assigner and box coder."""
