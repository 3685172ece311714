"""Anchor assignment of the authors' code: by IoU, plus the best anchor of every object whatever its IoU.

Source: `BoxMatcher` in official/vision/ops/box_matcher.py of tensorflow/models (the same rule in the detection code of
tensorflow/tpu, utils/object_detection/argmax_matcher.py), as `AnchorLabeler` in ops/anchor.py uses it for the RPN and
RetinaNet. mmdet's MaxIoUAssigner forces every anchor that ties for the best IoU (`gt_max_assign_all=True`): an object
smaller than the anchor spacing has dozens of such ties, most of low IoU, which crowd out positives of high IoU when 128
positives are sampled.
"""

import torch
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner

from ...registry import TASK_UTILS


@TASK_UTILS.register_module()
class ForcedMatchAssigner(MaxIoUAssigner):
    """Anchors from ``pos_iou_thr`` are positive, below ``neg_iou_thr`` negative; each object also gets its best anchor.

    The best anchor (the first of equals) is assigned whatever its IoU, zero included. An anchor that is the best of
    several objects is assigned to the first of them in the annotation, as in the authors' code; mmdet with
    `gt_max_assign_all=False` assigns it to the last one.

    Args:
        pos_iou_thr: IoU from which an anchor is positive (authors: 0.7 in the RPN, 0.5 in RetinaNet).
        neg_iou_thr: IoU below which it is negative (0.3, 0.5); in between it is ignored.
        kwargs: as in mmdet's MaxIoUAssigner: iou_calculator, ignore_iof_thr, ...
    """

    def __init__(self, pos_iou_thr: float, neg_iou_thr: float, **kwargs):
        super().__init__(
            pos_iou_thr, neg_iou_thr, min_pos_iou=0.0, match_low_quality=True, gt_max_assign_all=False, **kwargs
        )

    def assign_wrt_overlaps(self, overlaps: torch.Tensor, gt_labels: torch.Tensor) -> AssignResult:
        """Assignment from IoUs, without a loop over objects or a device synchronisation.

        Args:
            overlaps: (K, N) IoUs of K objects with N anchors; -1 for anchors covered by ignored regions.
            gt_labels: (K,) int64.

        Returns:
            AssignResult; `gt_inds` (N,) is 0 for negative, -1 for ignored, else 1 + index of the object.
        """
        num_gts, num_anchors = overlaps.shape
        if num_gts == 0 or num_anchors == 0:
            return super().assign_wrt_overlaps(overlaps, gt_labels)
        best_iou, best_object = overlaps.max(dim=0)  # (N,)
        gt_inds = torch.where(best_iou >= self.pos_iou_thr, best_object + 1, -1)
        gt_inds = torch.where((best_iou >= 0) & (best_iou < self.neg_iou_thr), 0, gt_inds)
        best_anchor = overlaps.argmax(dim=1)  # (K,), the first of equals
        objects = torch.arange(num_gts, device=overlaps.device)
        forced = objects.new_full((num_anchors,), num_gts).scatter_reduce_(0, best_anchor, objects, "amin")
        gt_inds = torch.where(forced < num_gts, forced + 1, gt_inds)
        labels = torch.where(gt_inds > 0, gt_labels[(gt_inds - 1).clamp_min(0)], -1)
        return AssignResult(num_gts=num_gts, gt_inds=gt_inds, max_overlaps=best_iou, labels=labels)
