"""Detections of many classes from the best candidates: those of mmdet's `multiclass_nms`, without looking at the rest.

At score threshold 0, as LVIS asks it, every region is a candidate of every class: 1203 classes x 1000 regions are 1.2
million boxes, of which mmdet suppresses class by class before it keeps 300. A candidate is suppressed only by one of
its class with a score at least as high, so what survives among the best candidates survives among all of them. The
best ones alone are therefore exact as soon as enough of them survive; else more are taken. Of equal scores, whose order
mmdet leaves to an unstable sort, those of earlier regions and then of lower classes come first.
"""

import functools
from collections.abc import Mapping
from types import MethodType
from typing import Any

import torch
from mmcv.ops import nms
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads.bbox_heads.bbox_head import BBoxHead
from mmengine.structures import InstanceData
from torch import Tensor

FIRST_CANDIDATES = 5000
_WIDER = 4
# From this many candidates on mmdet goes through them class by class; below it, one pass is as fast as a choice.
_SPLIT = 10000
# Scores of a region sum to 1: above this threshold so few are left that to count them costs more than it saves.
_LOW = 0.01
# Boxes of different classes are moved apart in float32; up to here its steps are an eighth of a pixel.
_LARGEST_EXACT = 2.0**21


def best_of_classes(
    boxes: Tensor, scores: Tensor, score_thr: float, nms_cfg: Mapping[str, Any], max_num: int = -1
) -> tuple[Tensor, Tensor]:
    """What mmdet's `multiclass_nms` gives for upright boxes, bit for bit where no scores are equal.

    Args:
        boxes: (R, 4) for all classes or (R, classes * 4), xyxy in pixels.
        scores: (R, classes + 1), background last.
        score_thr: candidates have a score above it.
        nms_cfg: ``type``, ``iou_threshold``, ...; kinds other than plain NMS go through mmdet's function.
        max_num: detections that are kept; -1 keeps all, by mmdet's function.

    Returns:
        (K, 5) boxes with scores, best first, and (K,) labels.
    """
    regions, classes = scores.shape[0], scores.shape[1] - 1
    if regions * classes >= _SPLIT and score_thr < _LOW and max_num > 0 and _is_plain(nms_cfg):
        found = _of_best(boxes, scores[:, :-1].reshape(-1), classes, score_thr, dict(nms_cfg), max_num)
        if found is not None:
            return found
    return multiclass_nms(boxes, scores, score_thr, nms_cfg, max_num)


def _is_plain(cfg: Mapping[str, Any]) -> bool:
    if torch.onnx.is_in_onnx_export() or cfg.get("type", "nms") != "nms":
        return False
    return set(cfg) <= {"type", "iou_threshold", "split_thr"} and "iou_threshold" in cfg


def _of_best(boxes: Tensor, scores: Tensor, classes: int, score_thr: float, cfg: dict, max_num: int):
    """Detections from the best of ``scores`` (R * classes,); None where mmdet's own way is at least as short."""
    valid = scores > score_thr
    count = int(valid.sum())
    if count < cfg.get("split_thr", _SPLIT):
        return None
    flat = boxes.reshape(-1, 4)
    by_class = len(flat) == len(scores)
    shift = _largest(flat, valid if by_class else valid.view(-1, classes).any(1)) + 1
    scores = scores.where(valid, -torch.inf)
    wanted = FIRST_CANDIDATES
    while wanted < count:
        # All that tie with the last one too: equal scores are told apart by their order alone.
        places = (scores >= scores.topk(wanted, sorted=False).values.min()).nonzero()[:, 0]
        if len(places) >= count:
            break
        labels = places % classes
        candidates = flat[places if by_class else places // classes]
        kept = _survivors(candidates, scores[places], labels, shift, cfg["iou_threshold"])
        if len(kept) >= max_num:
            best, order = scores[places[kept]].sort(descending=True, stable=True)
            kept = kept[order[:max_num]]
            return torch.cat([candidates[kept], best[:max_num, None]], dim=1), labels[kept]
        wanted *= _WIDER
    return None


def _largest(boxes: Tensor, valid: Tensor) -> Tensor:
    """The largest coordinate of the valid boxes."""
    return boxes.amax(1).where(valid, -torch.inf).max()


def _survivors(boxes: Tensor, scores: Tensor, labels: Tensor, shift: Tensor, iou_threshold: float) -> Tensor:
    """Indices, in ascending order, of what NMS within each class keeps, of boxes moved apart as mmdet moves them."""
    moved = boxes + (labels.to(boxes) * shift)[:, None]
    lowest, highest = torch.stack([boxes.min(), moved.max()]).tolist()
    if boxes.dtype == torch.float32 and lowest >= 0 and highest < _LARGEST_EXACT:
        return nms(moved, scores, iou_threshold)[1].sort().values  # no two classes meet
    kept = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        kept[own[nms(moved[own], scores[own], iou_threshold)[1]]] = True
    return kept.nonzero()[:, 0]


def predict_from_the_best(head: BBoxHead) -> None:
    """Let a box head of mmdet's own prediction decode as it does and then choose by :func:`best_of_classes`.

    Args:
        head: changed, unless its class predicts in its own way (SABL).
    """
    if type(head)._predict_by_feat_single is BBoxHead._predict_by_feat_single:
        # Bound as a method: a copy of the head gets its own.
        head._predict_by_feat_single = MethodType(predict_single, head)


def predict_single(
    self,
    roi: Tensor,
    cls_score: Tensor,
    bbox_pred: Tensor,
    img_meta: dict,
    rescale: bool = False,
    rcnn_test_cfg: Mapping[str, Any] | None = None,
) -> InstanceData:
    """Detections of one image, as a method of mmdet's BBoxHead; arguments as there."""
    one = functools.partial(BBoxHead._predict_by_feat_single, self, roi, cls_score, bbox_pred, img_meta, rescale)
    if rcnn_test_cfg is None or not len(roi) or self.predict_box_type != "hbox":
        return one(rcnn_test_cfg)
    decoded, cfg = one(None), rcnn_test_cfg
    found, labels = best_of_classes(decoded.bboxes, decoded.scores, cfg["score_thr"], cfg["nms"], cfg["max_per_img"])
    return InstanceData(bboxes=found[:, :-1], scores=found[:, -1], labels=labels)
