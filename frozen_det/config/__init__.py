"""Finds, reads and checks configs: overrides reach all they should, and what would have no effect is refused.

mmengine accepts any key anywhere and fails late or never. :func:`load_config` raises with the closest known name.
"""

from .finding import default_work_dir, find_config, list_configs
from .load import load_config, load_recorded

__all__ = ["default_work_dir", "find_config", "list_configs", "load_config", "load_recorded"]
