"""Which two-stage detectors are known: those whose parts run mmdet's functions that :mod:`.two_stage` restates.

A subclass that replaces one of these functions detects in another way and is refused by its name; one that changes
layers or losses alone is not.
"""

from typing import Any

from torch import nn

from ..errors import InputError
from .fixed_regions import extractors, refuse_extractor


def is_two_stage(model: nn.Module) -> bool:
    from mmdet.models.detectors import TwoStageDetector

    return isinstance(model, TwoStageDetector)


def refuse_other_parts(model: nn.Module) -> None:
    """Raise if a part of a detector replaces a function that is restated.

    Raises:
        InputError: with the detector, the part and what it replaces; soft-NMS and other options of suppression.
    """
    try:
        _check(model)
    except InputError as error:
        raise InputError(
            f"{type(model).__name__} cannot be exported as a program: {error}. Export its backbone (--part backbone)."
        ) from None


def _check(model: Any) -> None:
    from mmdet.models.dense_heads import RPNHead
    from mmdet.models.detectors import TwoStageDetector
    from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
    from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
    from mmdet.models.roi_heads.bbox_heads.bbox_head import BBoxHead
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead
    from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder

    from ..models.roi_heads.cascade_roi_head import CascadeRoIHead as OwnCascade
    from ..models.task_modules.box_coder import InclusiveBoxCoder

    _require(model, (TwoStageDetector,), "predict")
    if not (model.with_rpn and model.with_roi_head):
        raise InputError("it has no RPN or no RoI head")
    rpn, roi = model.rpn_head, model.roi_head
    _require(rpn, (RPNHead,), "predict", "predict_by_feat", "_predict_by_feat_single", "_bbox_post_process")
    _require(roi, (BaseRoIHead,), "predict")
    cascade = isinstance(roi.bbox_head, nn.ModuleList)
    if cascade:
        _require(roi, (CascadeRoIHead, OwnCascade), "predict_bbox", "_refine_roi", "predict_mask")
    else:
        _require(roi, (StandardRoIHead,), "predict_bbox", "predict_mask")
    heads = list(roi.bbox_head) if cascade else [roi.bbox_head]
    for head in heads:
        _require(head, (BBoxHead,), "predict_by_feat", "_predict_by_feat_single", "regress_by_class")
        if not head.with_reg:
            raise _refusal(head, "it predicts no boxes")
    for part in (rpn, *heads):
        _require(part.bbox_coder, (DeltaXYWHBBoxCoder, InclusiveBoxCoder), "decode")
    if roi.with_mask:
        for head in roi.mask_head if cascade else [roi.mask_head]:
            _require(head, (FCNMaskHead,), "predict_by_feat", "_predict_by_feat_single")
    for extractor in extractors(roi):
        refuse_extractor(extractor)
    _require_nms(rpn, "test_cfg.rpn", "nms_pre")
    _require_nms(roi, "test_cfg.rcnn", "score_thr")


def _require(part, known: tuple[type, ...], *names: str) -> None:
    for name in names:
        if getattr(type(part), name, None) not in [getattr(one, name) for one in known]:
            raise _refusal(part, f"its {name} is not that of {known[0].__name__}")


def _require_nms(part: nn.Module, where: str, *needed: str) -> None:
    cfg = part.test_cfg
    for key in ("max_per_img", *needed):
        if cfg.get(key) is None or (key != "score_thr" and cfg[key] < 1):
            raise InputError(f"{where}.{key} is {cfg.get(key)}, and the number of results has to be known")
    if cfg.get("score_thr", 0) < 0:
        raise InputError(f"{where}.score_thr is {cfg.score_thr}, below every score")
    nms = cfg.nms
    known = {"type", "iou_threshold", "class_agnostic", "split_thr"}
    if nms.get("type", "nms") != "nms" or set(nms) - known or "iou_threshold" not in nms:
        raise InputError(f"{where}.nms is {dict(nms)}, and ONNX has plain suppression by one threshold alone")


def _refusal(part, why: str) -> InputError:
    return InputError(f"{type(part).__name__} is not known: {why}")
