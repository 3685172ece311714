"""The few things that everyone changes, as arguments: each becomes entries of the config, and is printed as such."""

from .by_annotations import CUSTOM
from .choices import Choices, chosen

__all__ = ["CUSTOM", "Choices", "chosen"]
