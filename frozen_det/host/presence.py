"""Whether the host (mmengine, mmcv, mmdet) is installed; looked up without importing any of it."""

import sys
from importlib.util import find_spec

from ..errors import InputError

PARTS = ("mmengine", "mmcv", "mmdet")


class HostMissingError(InputError, ImportError):
    """Something of MMDetection was needed, and it is not installed."""


def missing_parts() -> list[str]:
    """Those of the host's packages that cannot be found, in the order in which they build on each other."""
    return [name for name in PARTS if name not in sys.modules and find_spec(name) is None]


def require_host(what: str = "this part of frozen_det") -> None:
    """Raise unless all of the host can be found.

    Args:
        what: it is needed for, for the message.

    Raises:
        HostMissingError: which packages are absent, where, and what to type.
    """
    missing = missing_parts()
    if missing:
        raise HostMissingError(
            f"expected MMDetection 3.x, which {what} needs, but {', '.join(missing)} cannot be found in {sys.prefix}. "
            "Type: pip install 'frozen-det[onedl]' (the maintained packages) or pip install 'frozen-det[openmmlab]' "
            "(the original ones); `frozen-det doctor` lists what is installed."
        )
