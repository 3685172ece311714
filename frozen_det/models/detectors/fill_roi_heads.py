"""Fill strides, channels and the level rule into RoI heads. Regions are pooled from every level of the pyramid."""

import inspect

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from ...errors import InputError
from ...host.signatures import argument_of
from ..backbone_sources.build import on_meta
from .fill_neck import Levels, cause
from .typed_parts import class_of, takes

# Argument names of RoI heads for their input channels. mmdet's default is the width of its pyramids; with another
# default the head receives something else (SCNet's relay: 1024, from a linear layer).
_WIDTHS = ("in_channels", "cls_in_channels", "reg_in_channels")
_WIDTH_OF_PYRAMIDS = 256
_POOLED_CELLS = 14


def fill_roi_head(roi_head: dict, levels: Levels, where: str) -> dict:
    """The completed config of a RoI head.

    Args:
        roi_head: its config.
        levels: of the features it pools from.
        where: its place in the config, for messages.

    Returns:
        a new config.

    Raises:
        InputError: a value that contradicts the features.
    """
    roi_head = dict(roi_head)
    for key, part in roi_head.items():
        if class_of(_first(part)) is not None and takes(class_of(_first(part)), "featmap_strides"):
            own = levels if key != "semantic_roi_extractor" else _semantic_level(roi_head, levels)
            roi_head[key] = _each(part, lambda p, i, own=own, key=key: _fill_extractor(p, own, f"{where}.{key}{i}"))
    width = _pooled_width(roi_head, levels, where)
    for key, part in roi_head.items():
        if key != "shared_head":
            roi_head[key] = _each(part, lambda p, i, key=key: _fill_head(p, levels, width, f"{where}.{key}{i}"))
    return roi_head


def _first(part):
    return part[0] if isinstance(part, (list, tuple)) and part else part


def _each(part, fill):
    """`fill(config, place)` for a part or every part in a list; anything else is returned unchanged."""
    if isinstance(part, (list, tuple)) and isinstance(_first(part), dict):
        return [fill(p, f".{i}") for i, p in enumerate(part)]
    return fill(part, "") if isinstance(part, dict) else part


def _fill_extractor(extractor: dict, levels: Levels, where: str) -> dict:
    extractor, kind = dict(extractor), class_of(extractor)
    if kind is SingleRoIExtractor:
        extractor["type"] = "frozen_det.SingleRoIExtractor"  # the same, with regions in float32 in mixed precision
    extractor.setdefault("out_channels", levels.channels[0])
    # The authors pool from every level of the pyramid (levels 2-6 or 3-7), mmdet from the first four.
    extractor.setdefault("featmap_strides", list(levels.strides))
    if takes(kind, "finest_scale"):
        # Level = floor(log2(sqrt(area) / finest_scale)) counted from the finest. The authors' rule
        # floor(log2(sqrt(area) / 224)) + 4 is this one with 14 times the finest stride: 56 from level 2, 112 from
        # level 3.
        extractor.setdefault("finest_scale", 14 * extractor["featmap_strides"][0])
    if any(stride not in levels.strides for stride in extractor["featmap_strides"]):
        raise InputError(
            f"{where}.featmap_strides is {extractor['featmap_strides']}, but the neck's features have "
            f"strides {levels.strides}. Leave it out: it is filled in."
        )
    return extractor


def _semantic_level(roi_head: dict, levels: Levels) -> Levels:
    """HTC's semantic features have the stride of the level at which they are fused."""
    level = (roi_head.get("semantic_head") or {}).get("fusion_level", 0)
    return Levels([levels.strides[level]], [levels.channels[level]], levels.divisor, levels.sizes_at)


def _pooled_width(roi_head: dict, levels: Levels, where: str) -> int:
    """Channels of pooled regions, after the shared head if there is one (C4)."""
    extractor = _first(roi_head.get("bbox_roi_extractor") or roi_head.get("mask_roi_extractor")) or {}
    width = levels.channels[0]
    if extractor.get("aggregation") == "concat":
        width *= len(extractor["featmap_strides"])
    shared = roi_head.get("shared_head")
    if not isinstance(shared, dict):
        return width
    from mmdet.registry import MODELS

    try:
        built, device = on_meta(lambda: MODELS.build(dict(shared)))
        built.eval()
        with torch.no_grad():
            return built(torch.zeros(1, width, _POOLED_CELLS, _POOLED_CELLS, device=device)).shape[1]
    except Exception as error:  # any error means that it does not run on these regions
        raise InputError(
            f"expected a shared head that runs on regions of {width} channels in {where}.shared_head, but "
            f"{shared.get('type')} raised {cause(error)}. It is the last stage of a specific backbone; with "
            "another backbone leave it out and give the detector a neck."
        ) from error


def _fill_head(head: dict, levels: Levels, width: int, where: str) -> dict:
    kind = class_of(head)
    if kind is None or takes(kind, "featmap_strides"):
        return head
    head = dict(head)
    if takes(kind, "num_ins"):
        head.setdefault("num_ins", len(levels.strides))
        width = levels.channels[0]  # it receives the pyramid itself
    for key in _WIDTHS:
        if not takes(kind, key) or not _is_width(kind, key):
            continue
        head.setdefault(key, width)
    return head


def _is_width(kind: type, name: str) -> bool:
    default = argument_of(kind, name).default
    return default in (_WIDTH_OF_PYRAMIDS, inspect.Parameter.empty)
