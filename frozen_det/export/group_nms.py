"""Non-maximum suppression as one operator with a mask of fixed shape, which ONNX has as NonMaxSuppression.

How many boxes stay depends on the values, so an index list has no shape that a program could state; a mask has.
"""

import torch
from torch import Tensor


@torch.library.custom_op("frozen_det::kept_by_nms", mutates_args=())
def kept_by_nms(boxes: Tensor, scores: Tensor, iou_threshold: float, above: float) -> Tensor:
    """Greedy suppression within each group.

    Args:
        boxes: (G, N, 4) xyxy.
        scores: (G, C, N); each row of N is a list of its own over the boxes of its group.
        iou_threshold: boxes that overlap a better one by more are suppressed.
        above: only scores above this take part.

    Returns:
        (G, C, N) bool, which stay.
    """
    from torchvision.ops import nms

    kept = torch.zeros_like(scores, dtype=torch.bool)
    for group, rows in enumerate(scores):
        for row, one in enumerate(rows):
            taken = (one > above).nonzero()[:, 0]
            kept[group, row, taken[nms(boxes[group, taken], one[taken], iou_threshold)]] = True
    return kept


@kept_by_nms.register_fake
def _shape(boxes, scores, iou_threshold, above):
    return torch.empty_like(scores, dtype=torch.bool)


def _as_onnx(boxes, scores, iou_threshold: float, above: float):
    from onnxscript import opset18 as op

    count = op.Squeeze(op.Shape(scores, start=2, end=3), [0])
    # (M, 3): group, row, box of each that stays.
    places = op.NonMaxSuppression(boxes, scores, count, iou_threshold, above)
    ones = op.Expand(op.Constant(value_floats=[1.0]), op.Shape(places, start=0, end=1))
    return op.Greater(op.ScatterND(op.Mul(scores, 0.0), places, ones), 0.5)


def translations() -> dict:
    """What the ONNX exporter writes for the operator here."""
    return {torch.ops.frozen_det.kept_by_nms.default: _as_onnx}
