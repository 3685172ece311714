"""Drawn data: objects on images, a pipeline step by step, Copy-Paste."""
