"""Box coder for boxes that include their last pixel (w = x2 - x1 + 1), as in the detection code of tensorflow/tpu.

Source: `encode_boxes` and `decode_boxes` in utils/box_utils.py there. tensorflow/models has no such 1, so only
the EfficientNet-B7 systems use it. A delta of zero decodes to the prior in both conventions; otherwise a side of 32 px
differs by 1/33 of the delta.
"""

import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor

from ...registry import TASK_UTILS


@TASK_UTILS.register_module()
class InclusiveBoxCoder(DeltaXYWHBBoxCoder):
    """mmdet's DeltaXYWHBBoxCoder for boxes whose last pixel is included: each side is one pixel longer.

    Args:
        inclusive_targets: False encodes training targets without the extra pixel, as the RPN of tensorflow/tpu does: it
            encodes with utils/object_detection/faster_rcnn_box_coder.py and decodes with box_utils.py.
        kwargs: as in mmdet (target_means, target_stds, ...).
    """

    def __init__(self, inclusive_targets: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.inclusive_targets = inclusive_targets

    def encode(self, bboxes, gt_bboxes) -> torch.Tensor:
        """(N, 4) deltas from ``bboxes`` to ``gt_bboxes``, both (N, 4) xyxy in px."""
        if not self.inclusive_targets:
            return super().encode(bboxes, gt_bboxes)
        return super().encode(_longer(bboxes), _longer(gt_bboxes))

    def decode(self, bboxes, pred_bboxes: torch.Tensor, max_shape=None, wh_ratio_clip: float = 16 / 1000):
        """Boxes from deltas.

        Args:
            bboxes: (N, 4) priors, xyxy in px.
            pred_bboxes: (N, 4) or (N, 4 * classes) deltas.
            max_shape: (height, width) in px to clip to, or None.
            wh_ratio_clip: smallest ratio of a side to that of the prior; the largest is its inverse.

        Returns:
            The shape of ``pred_bboxes``, xyxy in px.
        """
        boxes = get_box_tensor(super().decode(_longer(bboxes), pred_bboxes, None, wh_ratio_clip))
        boxes = _stretched(boxes, -1.0)  # x2 and y2 are the last included pixel
        if max_shape is not None and self.clip_border:
            xs, ys = boxes.unflatten(-1, (-1, 2)).unbind(-1)
            boxes = torch.stack([xs.clamp(0, max_shape[1]), ys.clamp(0, max_shape[0])], dim=-1).flatten(-2)
        return HorizontalBoxes(boxes) if self.use_box_type else boxes


def _longer(boxes) -> torch.Tensor:
    return _stretched(get_box_tensor(boxes), 1.0)


def _stretched(boxes: torch.Tensor, pixels: float) -> torch.Tensor:
    """(..., 4 * n) boxes whose far corners are moved. A tensor of the four steps would have to be copied to a GPU."""
    near, far = boxes.unflatten(-1, (-1, 2, 2)).unbind(-2)
    return torch.stack([near, far + pixels], dim=-2).flatten(-3)
