"""Lets Python processes that never name frozen_det find its stand-in for mmcv's ops when they start.

Either those that one command starts (:func:`environment`), or, if a user asks for it, all of an environment
(:func:`install`, undone by :func:`remove`). Commands of frozen_det need neither.
"""

import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from ..errors import storage_error

NAME = "frozen_det_ops.pth"  # also what wheels of 0.1.0 carried
_LINE = 'import sys; exec("try:\\n    import frozen_det\\nexcept ImportError:\\n    pass")\n'


def environment(current: Mapping[str, str]) -> dict[str, str]:
    """Environment variables under which Python processes, and the processes that they start, import frozen_det first.

    Args:
        current: those to extend; a `PYTHONPATH` among them stays behind ours.
    """
    own, root = Path(__file__).resolve().parent / "at_start", Path(__file__).resolve().parents[2]
    given = [folder for folder in current.get("PYTHONPATH", "").split(os.pathsep) if folder and folder != str(own)]
    # A checkout may be on the path as the current folder alone; what is installed is found without help.
    checkout = [] if root.name in ("site-packages", "dist-packages") else [str(root)]
    return {**current, "PYTHONPATH": os.pathsep.join([str(own), *given, *checkout])}


def startup_file() -> Path:
    """Where the start-up file of this environment is, or would be."""
    return Path(sysconfig.get_path("purelib")) / NAME


def is_of_earlier_release() -> bool:
    """Whether there is a start-up file that an earlier installation wrote, unasked."""
    path = startup_file()
    return path.is_file() and path.read_text(encoding="utf-8", errors="replace") != _LINE


def install() -> Path:
    """Write the start-up file; every Python process of this environment imports frozen_det from then on.

    Raises:
        StorageError: it cannot be written.
    """
    path = startup_file()
    try:
        path.write_text(_LINE, encoding="utf-8")
    except OSError as error:
        raise storage_error(error, path) from error
    return path


def remove() -> bool:
    """Delete the start-up file; whether there was one.

    Raises:
        StorageError: it cannot be deleted.
    """
    path = startup_file()
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(error, path) from error
    return True
