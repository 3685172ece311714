"""A stand-in for ``mmcv._ext``, used only where mmcv's compiled ops are absent.

mmcv's Python layer imports one compiled module, ``mmcv._ext``. The stand-in gives the operators that mmdet's
detectors call, on torchvision's binaries where these compute the same and in plain tensor arithmetic elsewhere, on
the CPU and on a GPU. Any other operator can be looked up (mmcv does that at import) but raises by name when it is
called. Finding it loads no torch; the operators are imported with ``mmcv._ext``.
"""

import importlib.machinery
import sys
import types

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
    """Make the stand-in importable as ``mmcv._ext``. Does nothing the second time; real ops always win."""
    if not any(finder is _StandInFinder for finder in sys.meta_path):
        sys.meta_path.append(_StandInFinder)


def in_use() -> bool:
    """Whether mmcv runs on the stand-in (True) or on its own compiled ops (False)."""
    import importlib

    return isinstance(importlib.import_module(_NAME), _StandIn)
