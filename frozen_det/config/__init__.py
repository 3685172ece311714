"""Finds, reads and checks configs: overrides reach all they should, and what would have no effect is refused.

mmengine accepts any key anywhere and fails late or never. :func:`load_config` raises with the closest known name.
"""

from .finding import find_config
from .load import load_config, load_recorded

__all__ = ["find_config", "load_config", "load_recorded"]
