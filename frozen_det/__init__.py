"""frozen_det: frozen pretrained backbones for MMDetection 3.x. Importing it builds nothing and loads no torch.

It promises two side effects: a stand-in for ``mmcv._ext`` becomes importable where the compiled ops are absent (see
:mod:`frozen_det.host.mmcv_ops`), and what the host reads from files is read as data (see
:mod:`frozen_det.weights.host_guard`). Without a host (mmdet, mmengine, mmcv) it can be imported, and says what to type
where one is needed.
"""

from . import _moved
from .host import mmcv_ops
from .weights import host_guard

__version__ = "0.1.0"

_moved.install()
mmcv_ops.install()
host_guard.install()

__all__ = ["__version__", "load_detector"]


def __getattr__(name):
    """`frozen_det.load_detector`, imported when it is first asked for."""
    if name == "load_detector":
        from .inference.detector import load_detector

        return load_detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
