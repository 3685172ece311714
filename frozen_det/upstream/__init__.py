"""Classification: training the backbones that are worth freezing."""

from . import collation  # noqa: F401
