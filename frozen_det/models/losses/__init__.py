"""Losses of box regression, and of classes with few examples."""
