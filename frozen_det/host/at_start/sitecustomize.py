"""Under `frozen-det run`, every Python process imports frozen_det before its own code: mmcv finds the ops then.

Another `sitecustomize` further along the path runs first, as it would have without this one.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

_OWN = Path(__file__).resolve().parent
_next = PathFinder.find_spec("sitecustomize", [folder for folder in sys.path if Path(folder).resolve() != _OWN])
if _next is not None and _next.loader is not None:
    _next.loader.exec_module(module_from_spec(_next))

try:
    import frozen_det  # noqa: F401
except ImportError as error:
    print(
        f"frozen-det run: {sys.executable} cannot import frozen_det ({error}); mmcv's ops have no replacement there.",
        file=sys.stderr,
    )
