"""Two-stage detectors from maps to detections, with every shape fixed by the config: what a program can hold.

The arithmetic is mmdet's and the parts are the detector's own; lists whose length depends on the image become lists of
the largest length with scores below every threshold at their ends.
"""

from typing import Any

import torch
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor, nn
from torch.nn.functional import softmax

from ..models.roi_heads.cascade_roi_head import CascadeRoIHead, average_stages
from .fixed_regions import fix_regions
from .group_nms import kept_by_nms
from .two_stage_parts import refuse_other_parts

# Score of a place that holds nothing; all that holds something scores at least 0.
_NOTHING = -1.0


class TwoStage(nn.Module):
    """A detector's RPN and RoI heads as a function of its pyramid maps.

    Args:
        detector: mmdet's, in eval mode, whose backbone and neck are not used; its RoI heads are changed.

    Raises:
        InputError: a part whose function is not known here, by name.
    """

    def __init__(self, detector: nn.Module):
        super().__init__()
        refuse_other_parts(detector)
        self.rpn: Any = detector.rpn_head
        self.roi: Any = detector.roi_head
        fix_regions(self.roi)

    def forward(self, maps: tuple[Tensor, ...], sizes: Tensor) -> dict[str, Tensor]:
        """Detect.

        Args:
            maps: pyramid, each (N, C, H_l, W_l).
            sizes: (N, 2) height and width in px of each picture in the padded input; boxes are cut to it.

        Returns:
            ``boxes`` (N, K, 4) xyxy in px of the input, ``scores`` (N, K), best first, ``labels`` (N, K), and
            ``masks`` (N, K, m, m) probabilities over the box where there is a mask head. K is the config's
            max_per_img; places after the last detection have score 0 and label -1.
        """
        limits = sizes.flip(1).repeat(1, 2).to(maps[0].dtype)[:, None]  # (N, 1, 4)
        proposals, valid = self._proposals(maps, limits)
        boxes, scores = self._classified(maps, proposals, limits)
        scores = torch.where(valid[..., None], scores, _NOTHING)
        found = self._selected(boxes, scores)
        if self.roi.with_mask:
            found["masks"] = self._masks(maps, found)
        return found

    def _proposals(self, maps, limits) -> tuple[Tensor, Tensor]:
        """Best boxes of the RPN over all levels (N, P, 4), and which of the places hold one (N, P)."""
        rpn, cfg = self.rpn, self.rpn.test_cfg
        logits, deltas = rpn(maps)
        sizes = [one.shape[-2:] for one in logits]
        priors = rpn.prior_generator.grid_priors(sizes, dtype=logits[0].dtype, device=logits[0].device)
        levels = [self._best_of_level(*one, cfg.nms_pre) for one in zip(logits, deltas, priors)]
        boxes, scores, moves = (torch.stack(parts, dim=1) for parts in zip(*levels))  # (N, L, nms_pre, ...)
        boxes = _decoded(rpn.bbox_coder, boxes, moves, limits[:, None])
        least = cfg.get("min_bbox_size", -1)
        if least >= 0:
            scores = torch.where((boxes[..., 2:] - boxes[..., :2] > least).all(-1), scores, _NOTHING)
        agnostic, threshold = cfg.nms.get("class_agnostic", False), float(cfg.nms.iou_threshold)
        n, levels_n, count = scores.shape
        per_group = 1 if agnostic else levels_n
        grouped = scores.reshape(n * per_group, 1, -1)
        kept = kept_by_nms(boxes.reshape(n * per_group, -1, 4), grouped, threshold, _NOTHING / 2)
        scores = torch.where(kept, grouped, _NOTHING).reshape(n, levels_n * count)
        scores, places = scores.topk(min(cfg.max_per_img, levels_n * count), dim=1)
        return _at(boxes.reshape(n, -1, 4), places), scores > _NOTHING / 2

    def _best_of_level(self, logits, deltas, priors, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The ``count`` best anchors of one level: priors, scores, deltas; where there are fewer, places of nothing."""
        n, classes = logits.shape[0], self.rpn.cls_out_channels
        logits = logits.permute(0, 2, 3, 1).reshape(n, -1, classes)
        deltas = deltas.permute(0, 2, 3, 1).reshape(n, -1, 4)
        priors = get_box_tensor(priors)
        scores = logits[..., 0].sigmoid() if self.rpn.use_sigmoid_cls else softmax(logits, -1)[..., 0]
        ends = scores.new_full((1, count), _NOTHING).expand(n, count)
        scores, places = torch.cat([scores, ends], dim=1).topk(count, dim=1)
        places = places.clamp(max=priors.shape[0] - 1)
        return priors[places], scores, _at(deltas, places)

    def _classified(self, maps, proposals: Tensor, limits) -> tuple[Tensor, Tensor]:
        """Boxes (N, P, 4) or (N, P, C, 4) of the last box head, and scores (N, P, C) without the background."""
        n, count = proposals.shape[:2]
        cascade = isinstance(self.roi.bbox_head, nn.ModuleList)
        heads = list(self.roi.bbox_head) if cascade else [self.roi.bbox_head]
        all_logits, boxes = [], proposals
        for stage, head in enumerate(heads):
            regions = _as_regions(boxes)
            given = self.roi._bbox_forward(stage, maps, regions) if cascade else self.roi._bbox_forward(maps, regions)
            logits, deltas = given["cls_score"], given["bbox_pred"]
            all_logits.append(logits)
            if stage < len(heads) - 1:
                boxes = _moved(head, boxes, logits, deltas.reshape(n, count, -1), limits)
        logits, head = self._merged(all_logits), heads[-1]
        scores = head.loss_cls.get_activation(logits) if head.custom_cls_channels else softmax(logits, dim=-1)
        scores = scores.reshape(n, count, -1)[..., :-1]
        if not head.reg_class_agnostic:
            boxes = boxes[:, :, None].expand(-1, -1, head.num_classes, -1)
            deltas = deltas.reshape(n, count, head.num_classes, 4)
            limits = limits[:, None]
        return _decoded(head.bbox_coder, boxes, deltas.reshape(boxes.shape), limits), scores

    def _merged(self, all_logits: list[Tensor]) -> Tensor:
        if isinstance(self.roi, CascadeRoIHead):
            return average_stages(all_logits, self.roi.test_average)
        return sum(all_logits[1:], all_logits[0]) / float(len(all_logits))

    def _selected(self, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """Suppression within each class, then the best of all."""
        cfg = self.roi.test_cfg
        n, count, classes = scores.shape
        scores = scores.transpose(1, 2)  # (N, C, P)
        own = boxes.dim() == 4
        if own:
            boxes = boxes.transpose(1, 2)
        threshold, above = float(cfg.nms.iou_threshold), float(cfg.score_thr)
        flat_boxes = boxes if own else boxes[:, None].expand(-1, classes, -1, -1)
        flat_boxes, flat = flat_boxes.reshape(n, classes * count, 4), scores.reshape(n, classes * count)
        if cfg.nms.get("class_agnostic", False):
            kept = kept_by_nms(flat_boxes, flat[:, None], threshold, above)
        elif own:
            rows = scores.reshape(n * classes, 1, count)
            kept = kept_by_nms(boxes.reshape(n * classes, count, 4), rows, threshold, above)
        else:
            kept = kept_by_nms(boxes, scores, threshold, above)
        flat = torch.where(kept.reshape(n, classes * count), flat, _NOTHING)
        flat, places = flat.topk(min(cfg.max_per_img, classes * count), dim=1)
        holds = flat > _NOTHING / 2
        return dict(
            boxes=torch.where(holds[..., None], _at(flat_boxes, places), 0.0),
            scores=torch.where(holds, flat, 0.0),
            labels=torch.where(holds, places // count, -1),
        )

    def _masks(self, maps, found: dict[str, Tensor]) -> Tensor:
        """(N, K, m, m) mask probabilities of the detections, the mean over mask heads."""
        n, count = found["labels"].shape
        regions, roi = _as_regions(found["boxes"]), self.roi
        if isinstance(roi.mask_head, nn.ModuleList):
            heads = [roi._mask_forward(stage, maps, regions) for stage in range(len(roi.mask_head))]
            head = roi.mask_head[-1]
        else:
            heads, head = [roi._mask_forward(maps, regions)], roi.mask_head
        masks = sum(one["mask_preds"].sigmoid() for one in heads) / len(heads)  # (N * K, C, m, m)
        side = masks.shape[-1]
        if head.class_agnostic:
            chosen = masks[:, 0]
        else:
            labels = found["labels"].clamp(min=0).reshape(-1, 1, 1, 1).expand(-1, 1, side, side)
            chosen = masks.gather(1, labels)[:, 0]
        return torch.where(found["labels"][..., None, None] >= 0, chosen.reshape(n, count, side, side), 0.0)


def _moved(head, boxes: Tensor, logits: Tensor, deltas: Tensor, limits: Tensor) -> Tensor:
    """Regions (N, P, 4) of the next stage: moved by the deltas of the best class that is not background."""
    n, count = boxes.shape[:2]
    if not head.reg_class_agnostic:
        if head.custom_activation:
            logits = head.loss_cls.get_activation(logits)
        best = logits[:, :-1].argmax(dim=1).reshape(n, count, 1, 1).expand(-1, -1, 1, 4)
        deltas = deltas.reshape(n, count, head.num_classes, 4).gather(2, best)[:, :, 0]
    return _decoded(head.bbox_coder, boxes, deltas, limits)


def _decoded(coder, boxes: Tensor, deltas: Tensor, limits: Tensor) -> Tensor:
    """Boxes and deltas (..., 4) -> boxes (..., 4), cut to the pictures where the coder cuts."""
    got = get_box_tensor(coder.decode(boxes.reshape(-1, 4), deltas.reshape(-1, 4), None)).reshape(boxes.shape)
    return torch.minimum(got.clamp(min=0), limits) if coder.clip_border else got


def _as_regions(boxes: Tensor) -> Tensor:
    """(N, P, 4) -> (N * P, 5) with the picture's index."""
    n, count = boxes.shape[:2]
    index = torch.arange(n, device=boxes.device).to(boxes.dtype)[:, None, None].expand(n, count, 1)
    return torch.cat([index, boxes], dim=2).reshape(n * count, 5)


def _at(rows: Tensor, places: Tensor) -> Tensor:
    """(N, M, 4) at (N, K) -> (N, K, 4)."""
    return rows.gather(1, places[..., None].expand(-1, -1, rows.shape[-1]))
