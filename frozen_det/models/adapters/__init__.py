"""Residual adapters: `attach_adapters` adds them to target layers, without renaming or wrapping any base module.

To add a kind, add a file with a class registered in `ADAPTERS`; see :class:`.base.Adapter`.
"""

from .attach import Adapters, attach_adapters
from .base import Adapter, SiteHook
from .conv_adapter import ConvAdapter
from .lora import LoRA
from .parallel import ParallelAdapter
from .series import SeriesAdapter
from .target_layers import ROLES, Site, list_sites, site_table

__all__ = [
    "Adapter",
    "Adapters",
    "ConvAdapter",
    "LoRA",
    "ParallelAdapter",
    "ROLES",
    "SeriesAdapter",
    "Site",
    "SiteHook",
    "attach_adapters",
    "list_sites",
    "site_table",
]
