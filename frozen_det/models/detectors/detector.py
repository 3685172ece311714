"""`frozen_det.Detector`: builds a plain mmdet detector from a config, filling in what backbone and data determine.

The values that follow from the backbone or the annotation file are set when the model is built: neck channels, anchor
and RoI strides, the RoI level rule, the input's mean, std and channel order, and every number of classes. Values given
in the config are kept; a value that contradicts the backbone is refused.
"""

import copy
from collections.abc import Callable

from ...errors import InputError
from ...registry import MODELS
from ..layers.best_candidates import predict_from_the_best
from .fill_classes import Classes, count_classes, fill_classes
from .fill_heads import fill_heads, made_for_one_size
from .fill_input import fill_input, fill_padding
from .fill_neck import fill_necks, levels_of_body
from .query_check import check_positions
from .swapping import swap_backbone
from .typed_parts import walk
from .wrapping import as_frozen_backbone, is_wrapped, on_meta_body


@MODELS.register_module()
class Detector:
    """A registered builder: its call returns an mmdet detector, whose state-dict keys are mmdet's.

    Args:
        detector: config of any mmdet detector, or of one that wraps another (semi-supervised). A backbone that is not
            a ``frozen_det.FrozenBackbone`` is wrapped in one; its ``init_cfg`` checkpoint becomes the weights.
        num_classes: number of classes of every head; in a panoptic head, of the thing classes.
        classes_from: annotation file (COCO json, instances or panoptic) whose categories are the classes, or a folder
            with the user's data; instead of `num_classes`.
        num_stuff_classes: number of stuff classes, for panoptic heads.
        backbone: config of a ``frozen_det.FrozenBackbone`` that replaces the detector's own backbone, see
            :mod:`.swapping`.
        init_cfg: not accepted; weights are set in the backbone.

    Raises:
        InputError: both or neither of `num_classes` and `classes_from` where a head needs one; a contradiction.
    """

    def __new__(
        cls,
        detector: dict,
        num_classes: int | None = None,
        classes_from: str | None = None,
        num_stuff_classes: int | None = None,
        backbone: dict | None = None,
    ):
        from mmdet.models.roi_heads.bbox_heads.bbox_head import BBoxHead
        from mmdet.registry import MODELS as MMDET_MODELS
        from mmengine.config import ConfigDict
        from mmengine.registry import DefaultScope

        # Types without a scope are mmdet's, even if no Runner has set the default scope yet.
        with DefaultScope.overwrite_default_scope("mmdet"):
            filled = fill_blanks(detector, num_classes, classes_from, num_stuff_classes, backbone)
            built = check_positions(MMDET_MODELS.build(ConfigDict(filled)))
        for part in built.modules():
            if isinstance(part, BBoxHead):
                predict_from_the_best(part)
        return built


def fill_blanks(
    detector: dict,
    num_classes: int | None = None,
    classes_from: str | None = None,
    num_stuff_classes: int | None = None,
    backbone: dict | None = None,
) -> dict:
    """The complete detector config; see :class:`Detector`. The arguments are not changed."""
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmdet"):
        cfg = copy.deepcopy(dict(detector)) if backbone is None else swap_backbone(dict(detector), backbone)
        return _filled(cfg, count_classes(num_classes, num_stuff_classes, classes_from))[0]


def _filled(cfg: dict, classes: Classes) -> tuple[dict, Callable]:
    """The completed config of a detector, and the function that completes a preprocessor for it."""
    if "backbone" not in cfg and isinstance(cfg.get("detector"), dict):
        cfg["detector"], fill = _filled(dict(cfg["detector"]), classes)
        if isinstance(cfg.get("data_preprocessor"), dict):  # the outer detector's preprocessor is the one used
            cfg["data_preprocessor"] = fill(cfg["data_preprocessor"])
        return cfg, fill
    if "backbone" not in cfg:
        raise InputError(f"expected `backbone` in model.detector, got the keys {sorted(cfg)}.")
    given = cfg.get("data_preprocessor")
    complete = not is_wrapped(cfg["backbone"]) and given is not None
    cfg["backbone"] = as_frozen_backbone(cfg["backbone"])
    body, _ = on_meta_body(cfg["backbone"])
    fill_input(given, body.preprocess, complete)  # report contradictions with the weights first
    levels = levels_of_body(body.strides, body.channels)
    if cfg.get("neck"):
        levels = fill_necks(cfg, levels)
    fill_classes(cfg, classes)
    fill_heads(cfg, levels)

    def fill(given: dict | None) -> dict:
        filled = fill_input(given, body.preprocess, complete)
        if complete:
            return filled
        divisor = 1 if made_for_one_size(cfg) else levels.divisor
        return fill_padding(filled, dict(pad_size_divisor=divisor) | _padded_maps(cfg))

    cfg["data_preprocessor"] = fill(given)
    return cfg, fill


def _padded_maps(cfg: dict) -> dict:
    """Padding options for the annotation maps (masks, segmentation) that the detector is trained on."""
    places = [place for _, _, place, _ in walk(cfg, "")]
    maps = {"pad_mask": ("mask", "panoptic"), "pad_seg": ("semantic", "panoptic")}
    return {key: True for key, words in maps.items() if any(word in place for place in places for word in words)}
