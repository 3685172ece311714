"""A stand-in for ``mmcv._ext`` where mmcv's compiled ops are absent, and a guard before them where they are there.

mmcv's Python layer imports one compiled module, ``mmcv._ext``. The stand-in gives the operators that mmdet's
detectors call, on torchvision's binaries where these compute the same and in plain tensor arithmetic elsewhere, on
the CPU and on a GPU. Any other operator can be looked up (mmcv does that at import) but raises by name when it is
called. Finding it loads no torch; the operators are imported with ``mmcv._ext``.

Compiled operators stay mmcv's own; see :mod:`.compiled` for what is done to the tensors they are handed.
"""

import importlib.machinery
import sys
import types

from ..after_import import spec_with_change

_NAME = "mmcv._ext"


class _StandInFinder:
    """Finds ``mmcv._ext`` last: Python asks it only after every real finder has said no."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != _NAME:
            return None
        return importlib.machinery.ModuleSpec(name, _StandInFinder)

    @staticmethod
    def create_module(spec):
        return _StandIn(spec.name)

    @staticmethod
    def exec_module(module):
        from . import boxes, deformable, focal_loss, reassembly, roi_pooling
        from .precision import outside_autocast

        for family in (boxes, deformable, focal_loss, reassembly, roi_pooling):
            for name, operator in family.OPERATORS.items():
                setattr(module, name, outside_autocast(operator))


class _CompiledFinder:
    """Finds mmcv's compiled ``mmcv._ext`` by the other finders, and guards its operators once they are loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != _NAME:
            return None
        spec = spec_with_change(name, path, target, _guard, (_CompiledFinder, _StandInFinder))
        return spec if spec is not None and spec.loader is not None else None


def _guard(module) -> None:
    from .compiled import guard  # with the operators, which load torch

    guard(module)


class _StandIn(types.ModuleType):
    """The module object: the operators that have a counterpart, every other name a function that raises."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise NotImplementedError(
                f"mmcv's compiled operator `{name}` was called, but mmcv is installed without its compiled ops. "
                "frozen_det replaces those of detectors with upright boxes, but not this one. Remedy: install "
                "mmcv with ops for your torch version, or choose a model that does not use this operator."
            )

        missing.__name__ = name
        return missing


def install() -> None:
    """Make the stand-in importable as ``mmcv._ext``; real ops always win, guarded. Does nothing the second time."""
    if any(finder is _StandInFinder for finder in sys.meta_path):
        return
    sys.meta_path.append(_StandInFinder)
    sys.meta_path.insert(0, _CompiledFinder)
    if _NAME in sys.modules:  # mmcv was imported first
        _guard(sys.modules[_NAME])


def in_use() -> bool:
    """Whether mmcv runs on the stand-in (True) or on its own compiled ops (False)."""
    import importlib

    return isinstance(importlib.import_module(_NAME), _StandIn)
