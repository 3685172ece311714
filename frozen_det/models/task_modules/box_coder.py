"""Box coder of boxes that include their last pixel (w = x2 - x1 + 1), as tensorflow/tpu's detection code counts them.

Source: `encode_boxes` and `decode_boxes` in utils/box_utils.py there. tensorflow/models dropped the 1, so only the
EfficientNet-B7 systems have it. A delta of zero gives back the prior in both conventions; at 1280 px a region of 32 px
differs by a thirty-third of the delta.
"""

import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor

from ...registry import TASK_UTILS


@TASK_UTILS.register_module()
class InclusiveBoxCoder(DeltaXYWHBBoxCoder):
    """mmdet's DeltaXYWHBBoxCoder over sides that are one pixel longer.

    Args:
        inclusive_targets: False encodes training targets without the 1, as the RPN of tensorflow/tpu does, whose
            targets come from another coder (utils/object_detection/faster_rcnn_box_coder.py) than its proposals.
        kwargs: as in mmdet (target_means, target_stds, ...).
    """

    def __init__(self, inclusive_targets: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.inclusive_targets = inclusive_targets

    def encode(self, bboxes, gt_bboxes) -> torch.Tensor:
        """(N, 4) deltas of ``gt_bboxes`` against ``bboxes``, both (N, 4) xyxy."""
        if not self.inclusive_targets:
            return super().encode(bboxes, gt_bboxes)
        return super().encode(_longer(bboxes), _longer(gt_bboxes))

    def decode(self, bboxes, pred_bboxes: torch.Tensor, max_shape=None, wh_ratio_clip: float = 16 / 1000):
        """(N, 4) boxes from (N, 4) or (N, 4 * classes) deltas, clipped to ``max_shape`` (height, width) if given."""
        boxes = get_box_tensor(super().decode(_longer(bboxes), pred_bboxes, None, wh_ratio_clip))
        # Every second corner of each four numbers is the included one.
        last = boxes.new_tensor([0.0, 0.0, 1.0, 1.0]).repeat(boxes.shape[-1] // 4)
        boxes = boxes - last
        if max_shape is not None and self.clip_border:
            limits = boxes.new_tensor([max_shape[1], max_shape[0]]).repeat(boxes.shape[-1] // 2)
            boxes = torch.minimum(boxes.clamp_min(0), limits)
        return HorizontalBoxes(boxes) if self.use_box_type else boxes


def _longer(boxes) -> torch.Tensor:
    boxes = get_box_tensor(boxes)
    return boxes + boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
