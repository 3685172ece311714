"""How this program is typed here: `frozen-det` where the shell finds this installation's, else the path to it."""

import os
import shutil
import sys
from pathlib import Path

NAME = "frozen-det"


def program() -> str:
    """The first word, or words, of a command that works in the folder and the shell that this process was started in.

    Returns:
        ``frozen-det`` if that is this installation's on the PATH; else the path to it, below the working directory as
        ``.venv/bin/frozen-det``; ``PYTHON -m frozen_det.cli`` where the environment has no such file.
    """
    called, beside = Path(sys.argv[0]), Path(sys.executable).parent / NAME
    ours = called if called.name == NAME and called.is_file() else beside
    found = shutil.which(NAME)
    if not ours.is_file():
        return f"{_shown(Path(sys.executable))} -m frozen_det.cli"
    if found is not None and os.path.samefile(found, ours):
        return NAME
    return _shown(ours)


def _shown(path: Path) -> str:
    """A path as one types it: below the working directory without what leads there, in quotes where it needs them."""
    import shlex

    path = Path(os.path.abspath(path))  # links stay: the interpreter of an environment is one
    here = Path(os.path.abspath(os.getcwd()))
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
