"""A stand-in for ``mmcv._ext`` on torchvision's NMS and RoIAlign, used only where the compiled ops are absent.

mmcv's Python layer imports one compiled module, ``mmcv._ext``. The detectors here need two of its operators, and
torchvision ships both as binaries for every platform. The stand-in gives these two; any other operator can be
looked up (mmcv does that at import) but raises by name when it is called.
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
        module.nms = _nms
        module.roi_align_forward = _roi_align_forward
        module.roi_align_backward = _roi_align_backward


class _StandIn(types.ModuleType):
    """The module object: two real operators, every other name a function that raises."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise NotImplementedError(
                f"mmcv's compiled operator `{name}` was called, but mmcv is installed without its compiled ops. "
                "frozen_det replaces only NMS and RoIAlign (by torchvision's). Remedy: install mmcv with ops "
                "for your torch version, or choose a model that does not use this operator.")

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


def _nms(boxes, scores, iou_threshold, offset):
    """mmcv's NMS: boxes (N, 4) xyxy, scores (N,) -> kept indices (K,), best first.

    mmcv measures a box side as ``x2 - x1 + offset``; torchvision knows offset 0 only. Adding the offset to the
    far corner gives the same areas and intersections.
    """
    from torchvision.ops import nms

    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # Under autocast the scores can be half precision and the boxes single; torchvision wants one dtype.
    return nms(boxes.float(), scores.float(), float(iou_threshold))


def _roi_align_forward(input, rois, output, argmax_y, argmax_x, aligned_height, aligned_width, spatial_scale,
                       sampling_ratio, pool_mode, aligned):
    """Fill ``output`` (R, C, h, w) with RoIAlign's average pooling of ``input`` (N, C, H, W)."""
    from torchvision.ops import roi_align

    _only_average(pool_mode)
    sampling = sampling_ratio if sampling_ratio > 0 else -1
    output.copy_(roi_align(input, rois.to(input.dtype), (aligned_height, aligned_width), spatial_scale, sampling,
                           aligned))


def _roi_align_backward(grad_output, rois, argmax_y, argmax_x, grad_input, aligned_height, aligned_width,
                        spatial_scale, sampling_ratio, pool_mode, aligned):
    """Add RoIAlign's gradient with respect to its input to ``grad_input`` (N, C, H, W)."""
    import torch
    import torchvision  # noqa: F401  registers torch.ops.torchvision

    _only_average(pool_mode)
    sampling = sampling_ratio if sampling_ratio > 0 else -1
    n, c, h, w = grad_input.shape
    grad_input.add_(torch.ops.torchvision._roi_align_backward(
        grad_output.contiguous(), rois.to(grad_output.dtype), spatial_scale, aligned_height, aligned_width, n, c,
        h, w, sampling, aligned))


def _only_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(
            "mmcv's RoIAlign was asked for pool_mode='max', which torchvision does not have. "
            "Use pool_mode='avg', or install mmcv with its compiled ops.")


def write_startup_file() -> str:
    """Write the .pth file that installs the stand-in when Python starts; returns its path.

    A wheel of frozen_det carries this file. An editable install does not; it calls this once.
    """
    import sysconfig
    from pathlib import Path

    target = Path(sysconfig.get_path("purelib")) / "frozen_det_ops.pth"
    target.write_text("import sys; exec(\"try:\\n    from frozen_det import mmcv_ops\\n    mmcv_ops.install()\\n"
                      "except ImportError:\\n    pass\")\n", encoding="utf-8")
    return str(target)
