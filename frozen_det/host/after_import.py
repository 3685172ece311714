"""A module of somebody else, changed right after its own code has run; loads nothing but the standard library."""

import sys
from collections.abc import Callable, Collection


def spec_with_change(name: str, path, target, change: Callable, ours: Collection):
    """The spec of a module as the other finders give it, whose loader runs a change behind the module's code.

    Args:
        name, path, target: as a finder's ``find_spec`` gets them.
        change: called with the module.
        ours: finders that are not asked.

    Returns:
        the spec; as it is where it has no loader, None where nobody finds the module.
    """
    others = (finder for finder in sys.meta_path if finder not in ours and hasattr(finder, "find_spec"))
    spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
    if spec is None or spec.loader is None:
        return spec
    run = spec.loader.exec_module

    def exec_module(module):
        run(module)
        if module.__name__ == name:
            change(module)

    spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one loader
    return spec
