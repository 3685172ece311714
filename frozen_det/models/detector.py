"""`frozen_det.Detector`: a detector config in, the plain mmdet detector out, with the blanks filled.

Everything that follows from the body or from the annotation file is filled in here, once, at model build, and typed
nowhere else: neck channels, anchor and RoI strides, the RoI level rule, the input's mean, std and channel order, and
every number of classes. What is given in the config is kept; what contradicts the body is refused.
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from ..registry import MODELS
from .backbones import Preprocess, build_body, on_meta
from .frozen_backbone import _DESCRIBING, _pretrained_of
from .weights import weights_file
from .weights_origin import body_of_weights

# Large enough that level 7 (stride 128) still has 8 x 10 cells; not square, so that axes cannot be confused.
_NECK_PROBE_HW = (1024, 1280)


@MODELS.register_module()
class Detector:
    """A registered builder: its call returns an mmdet detector, whose state-dict keys are mmdet's.

    Args:
        detector: config of any mmdet detector. A backbone that is not a ``frozen_det.FrozenBackbone`` is wrapped
            into a frozen one; its ``init_cfg`` checkpoint becomes the weights.
        num_classes: number of classes, for every head.
        classes_from: annotation file (COCO json) whose categories are the classes, or a folder with the user's data;
            instead of `num_classes`.
        init_cfg: not accepted; weights come through the backbone.

    Raises:
        InputError: both or neither of `num_classes` and `classes_from` where a head needs one; a contradiction.
    """

    def __new__(cls, detector: dict, num_classes: int | None = None, classes_from: str | None = None):
        from mmdet.registry import MODELS as MMDET_MODELS
        from mmengine.config import ConfigDict
        from mmengine.registry import DefaultScope

        # Types without a scope are mmdet's here, also where no Runner has set the default scope yet.
        with DefaultScope.overwrite_default_scope("mmdet"):
            return MMDET_MODELS.build(ConfigDict(fill_blanks(detector, num_classes, classes_from)))


def fill_blanks(detector: dict, num_classes: int | None = None, classes_from: str | None = None) -> dict:
    """The complete detector config; see :class:`Detector`. The argument is not changed."""
    cfg = copy.deepcopy(dict(detector))
    if "backbone" not in cfg:
        raise InputError(f"expected `backbone` in model.detector, got the keys {sorted(cfg)}.")
    cfg["backbone"] = _as_frozen_backbone(cfg["backbone"])
    body, _ = on_meta_body(cfg["backbone"])
    _fill_preprocessor(cfg, body.preprocess)
    strides, channels, divisor = list(body.strides), list(body.channels), max(body.strides)
    if cfg.get("neck"):
        strides, channels, divisor = _fill_neck(cfg, strides, channels)
    if "data_preprocessor" in cfg:
        cfg["data_preprocessor"].setdefault("pad_size_divisor", divisor)
    _fill_heads(cfg, strides, channels)
    count = _number_of_classes(num_classes, classes_from)
    if count is not None:
        _fill_num_classes(cfg, count)
    return cfg


def on_meta_body(backbone: dict):
    """Description of a FrozenBackbone config's body, built without memory or weights."""
    from ..models.backbones import Body

    kept: list[Body] = []

    def build() -> nn.Module:
        kept.append(build_body({k: v for k, v in backbone["body"].items() if k != "init_cfg"},
                               backbone.get("strides", (4, 8, 16, 32))))
        return kept[-1].module

    _, device = on_meta(build)
    body = kept[-1]
    card = _card(backbone.get("weights"))
    if card is not None and card.mean is not None and card.std is not None:
        body.preprocess = Preprocess(card.mean, card.std, card.channel_order or "rgb", card.input_size,
                                     card.crop_ratio, card.interpolation)
    elif body.preprocess is None and str(backbone.get("weights")).startswith("torchvision:"):
        body.preprocess = Preprocess()
    return body, device


def _card(weights):
    from ..weights_card import read_card

    if weights is None or (isinstance(weights, str) and weights == "random"):
        return None
    path = None if _DESCRIBING.get() else weights_file(weights)
    return read_card(path) if path is not None and path.is_file() else None


def _as_frozen_backbone(backbone: dict) -> dict:
    backbone = dict(backbone)
    if str(backbone.get("type", "")).endswith("FrozenBackbone"):
        backbone["type"] = "frozen_det.FrozenBackbone"
        if backbone.get("body") is None:
            backbone["body"] = body_of_weights(backbone.get("weights"))
        if backbone.get("weights") is None:
            backbone["weights"] = _pretrained_of(backbone["body"])
        return backbone
    weights = _pretrained_of(backbone)
    body = {k: v for k, v in backbone.items() if k != "init_cfg"}
    if "frozen_stages" in body:
        body["frozen_stages"] = -1  # freezing is the wrapper's work; two owners would disagree
    # A stock config is asked for the strides its own backbone gives.
    strides = _all_strides(body)
    return dict(type="frozen_det.FrozenBackbone", body=body, weights=weights, strides=strides)


def _all_strides(body: dict) -> tuple[int, ...]:
    """The strides of all features an mmdet backbone returns, measured on meta tensors."""
    from mmdet.registry import MODELS as MMDET_MODELS

    from .backbones import PROBE_SIZE_HW

    if MMDET_MODELS.get(body.get("type")) is None:
        return (4, 8, 16, 32)
    probe, device = on_meta(lambda: MMDET_MODELS.build(dict(body)))
    probe.eval()
    with torch.no_grad():
        features = probe(torch.zeros(1, 3, *PROBE_SIZE_HW, device=device))
    return tuple(sorted({round(PROBE_SIZE_HW[0] / f.shape[2]) for f in features}))


def _fill_preprocessor(cfg: dict, wanted: Preprocess | None) -> None:
    given = dict(cfg.get("data_preprocessor") or dict(type="mmdet.DetDataPreprocessor"))
    cfg["data_preprocessor"] = given
    if str(given.get("type", "")).split(".")[-1] != "DetDataPreprocessor":
        return
    if wanted is None:
        if given.get("mean") is None:
            raise InputError("expected mean, std and bgr_to_rgb in model.detector.data_preprocessor: the weights of "
                             "an mmdet backbone carry no card that says what input they expect.")
        return
    for key, value in (("mean", wanted.mean), ("std", wanted.std)):
        if given.get(key) is not None and any(abs(a - b) > 0.01 for a, b in zip(given[key], value)):
            raise InputError(f"model.detector.data_preprocessor.{key} is {list(given[key])}, but the backbone's "
                             f"weights were trained with {list(value)}. Leave {key} out: it is filled in.")
        given[key] = list(value)
    # Images come from cv2, blue first.
    given.setdefault("bgr_to_rgb", wanted.channel_order == "rgb")
    roi_head = cfg.get("roi_head") or {}
    if cfg.get("mask_head") or roi_head.get("mask_head"):
        given.setdefault("pad_mask", True)


def _fill_neck(cfg: dict, strides: list[int], channels: list[int]):
    """Fill the neck's input channels; returns its output strides and channels and the padding it needs."""
    from mmdet.registry import MODELS as MMDET_MODELS

    several = isinstance(cfg["neck"], Sequence)
    necks = [dict(neck) for neck in (cfg["neck"] if several else [cfg["neck"]])]
    height, width = _NECK_PROBE_HW
    divisor = max(strides)
    features = None
    for index, neck in enumerate(necks):
        if "in_channels" in neck and index == 0 and list(neck["in_channels"]) != channels:
            raise InputError(f"model.detector.neck.in_channels is {neck['in_channels']}, but the backbone gives "
                             f"{channels} at strides {strides}. Leave it out: it is filled in.")
        if index == 0 or "in_channels" not in neck:
            neck["in_channels"] = channels
        built, device = on_meta(lambda neck=neck: MMDET_MODELS.build(dict(neck)))
        built.eval()
        with torch.no_grad():
            features = built(tuple(torch.zeros(1, c, -(-height // s), -(-width // s), device=device)
                                   for c, s in zip(channels, strides)))
        # Measured, a stride that does not divide the probe (14) would come out as its neighbour further up.
        strides = built.out_strides(strides) if hasattr(built, "out_strides") else [
            round(height / f.shape[2]) for f in features]
        channels = [f.shape[1] for f in features]
        divisor = max(divisor, getattr(built, "size_divisor", 1))
    cfg["neck"] = necks if several else necks[0]
    return strides, channels, divisor


def _fill_heads(cfg: dict, strides: list[int], channels: list[int]) -> None:
    for key in ("rpn_head", "bbox_head", "mask_head"):
        if isinstance(cfg.get(key), dict):
            cfg[key] = _fill_dense_head(dict(cfg[key]), strides, channels[0], f"model.detector.{key}")
    if isinstance(cfg.get("roi_head"), dict):
        cfg["roi_head"] = _fill_roi_head(dict(cfg["roi_head"]), strides, channels[0])


def _fill_dense_head(head: dict, strides: list[int], channels: int, where: str) -> dict:
    head.setdefault("in_channels", channels)
    _agree(head["in_channels"], channels, f"{where}.in_channels", "the neck gives that many channels")
    for key in ("anchor_generator", "prior_generator"):
        if isinstance(head.get(key), dict):
            head[key] = dict(head[key])
            head[key].setdefault("strides", strides)
            _agree([s[0] if isinstance(s, (list, tuple)) else s for s in head[key]["strides"]], strides,
                   f"{where}.{key}.strides", "the neck's features have these strides")
    return head


def _fill_roi_head(roi_head: dict, strides: list[int], channels: int) -> dict:
    for key in ("bbox_roi_extractor", "mask_roi_extractor"):
        extractor = roi_head.get(key)
        if isinstance(extractor, dict):
            extractor = roi_head[key] = dict(extractor)
            extractor.setdefault("out_channels", channels)
            # The authors pool from every level of the pyramid (levels 2-6 or 3-7), mmdet from the first four.
            extractor.setdefault("featmap_strides", strides)
            # Level = floor(log2(sqrt(area) / finest_scale)) counted from the finest. The authors' rule
            # floor(log2(sqrt(area) / 224)) + 4 is this one with 14 times the finest stride: 56 from level 2, 112
            # from level 3.
            extractor.setdefault("finest_scale", 14 * extractor["featmap_strides"][0])
            if any(stride not in strides for stride in extractor["featmap_strides"]):
                raise InputError(f"model.detector.roi_head.{key}.featmap_strides is {extractor['featmap_strides']}, "
                                 f"but the neck's features have strides {strides}. Leave it out: it is filled in.")
    for key in ("bbox_head", "mask_head"):
        heads = roi_head.get(key)
        if isinstance(heads, dict):
            roi_head[key] = dict({"in_channels": channels}, **heads)
        elif isinstance(heads, (list, tuple)):
            roi_head[key] = [dict({"in_channels": channels}, **head) for head in heads]
    return roi_head


def _agree(got, wanted, where: str, reason: str) -> None:
    if (list(got) if isinstance(got, (list, tuple)) else got) != wanted:
        raise InputError(f"{where} is {got}, expected {wanted} because {reason}. Leave it out: it is filled in.")


def _number_of_classes(num_classes: int | None, classes_from) -> int | None:
    if num_classes is not None and classes_from is not None:
        raise InputError("expected one of model.num_classes and model.classes_from, got both. Keep classes_from: the "
                         "annotation file knows.")
    if classes_from is None:
        return num_classes
    path = Path(classes_from)
    if path.is_dir() or (path.suffix != ".json" and not _DESCRIBING.get()):
        from ..datasets.layout import resolve_user_data

        path = Path(resolve_user_data(path)["train"][0])
    if not path.is_file() and _DESCRIBING.get():
        return None  # the heads' own defaults: a description needs no data
    if not path.is_file():
        raise InputError(f"expected an annotation file in model.classes_from, but {path} does not exist.")
    try:
        categories = json.loads(path.read_text(encoding="utf-8"))["categories"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"expected COCO json with `categories` in {path} (model.classes_from), got "
                         f"{type(error).__name__}: {error}.") from error
    return len(categories)


def _fill_num_classes(cfg: dict, count: int) -> None:
    """Set the number of classes in every head that classifies. The RPN's single 'object' class is not one of them."""
    for owner in (cfg, cfg.get("roi_head") or {}):
        for key in ("bbox_head", "mask_head", "mask_iou_head"):
            heads = owner.get(key)
            for head in heads if isinstance(heads, (list, tuple)) else [heads]:
                if isinstance(head, dict) and str(head.get("type")) != "RPNHead":
                    head["num_classes"] = count
