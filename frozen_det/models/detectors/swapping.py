"""Replace the backbone of a complete detector: values that follow from the old one are removed and filled in again.

The new backbone provides the strides of the old one. For a backbone with a single feature map (a plain vision
transformer), ViTDet's simple feature pyramid at these strides is inserted before the detector's neck.
"""

import copy
from collections.abc import Mapping

from ..backbone_sources.build import body_strides, feature_strides
from .typed_parts import walk
from .wrapping import as_frozen_backbone, is_wrapped

_PYRAMID_CHANNELS = 256
_OF_THE_INPUT = ("mean", "std", "bgr_to_rgb", "rgb_to_bgr", "pad_size_divisor")


def swap_backbone(detector: dict, backbone: dict) -> dict:
    """A detector's config with another backbone.

    Args:
        detector: its complete config, or that of a detector that wraps another.
        backbone: config of a :class:`frozen_det.models.backbones.frozen_backbone.FrozenBackbone`; `strides` defaults
            to those of the detector's own backbone.

    Returns:
        a new config, to be filled in.

    Raises:
        InputError: an unknown backbone.
    """
    detector = copy.deepcopy(detector)
    inner = innermost(detector)
    own = _strides(inner["backbone"])
    backbone = as_frozen_backbone(backbone)
    pyramid = None
    if "strides" not in backbone:
        found = body_strides(backbone["body"])
        # A repeated stride (CornerNet's stacks) is not a pyramid level; building the backbone raises the error.
        to_pyramid = len(found) == 1 and own != found and len(set(own)) == len(own)
        backbone["strides"] = found if to_pyramid else own
        if to_pyramid:
            pyramid = dict(
                type="frozen_det.SimpleFeaturePyramid",
                out_channels=_PYRAMID_CHANNELS,
                num_outs=None,
                scale_factors=tuple(found[0] / stride for stride in own),
            )
    inner["backbone"] = backbone
    _take_out(inner)
    if pyramid is not None:
        inner["neck"] = [pyramid, *_necks(inner)]
    for preprocessor in _preprocessors(detector):
        for key in _OF_THE_INPUT:
            preprocessor.pop(key, None)
    return detector


def with_backbone(model: dict, backbone: Mapping) -> dict:
    """A run's ``cfg.model`` with another backbone; what is trained of the own one stays where `backbone` is silent."""
    model = dict(model) if isinstance(model.get("detector"), dict) else dict(type="frozen_det.Detector", detector=model)
    swapped = model.get("backbone")  # in place of the detector's own, as this one will be
    own, kept = swapped or innermost(model["detector"])["backbone"], ("adapters", "freeze", "strides")
    stays = {key: own[key] for key in (kept if swapped else kept[:2]) if is_wrapped(own) and key in own}
    return {**model, "backbone": {**stays, **as_frozen_backbone(dict(backbone))}}


def innermost(model: dict) -> dict:
    """A detector's config, or that of the detector wrapped by another model."""
    while "backbone" not in model and isinstance(model.get("detector"), dict):
        model = model["detector"]
    return model


def _strides(backbone: dict) -> tuple[int, ...]:
    if is_wrapped(backbone):
        return tuple(backbone.get("strides", (4, 8, 16, 32)))
    return feature_strides({key: value for key, value in backbone.items() if key != "pretrained"})


def _necks(detector: dict) -> list[dict]:
    necks = detector.get("neck") or []
    return list(necks) if isinstance(necks, (list, tuple)) else [necks]


def _take_out(detector: dict) -> None:
    """Remove the widths that follow from the backbone: of the first neck, and of heads without one or with lists."""
    for neck in _necks(detector)[:1]:
        own, out = neck.pop("in_channels", ()), neck.get("out_channels")
        if (
            isinstance(out, (list, tuple))
            and isinstance(own, (list, tuple))
            and len(out) > len(own)
            and (list(out[: len(own)]) == list(own))
        ):  # SSD's neck passes its inputs through
            neck["out_channels"] = [None] * len(own) + list(out[len(own) :])
    for part, _, _, _ in walk(detector, ""):
        if not _necks(detector) or isinstance(part.get("in_channels"), (list, tuple)):
            part.pop("in_channels", None)


def _preprocessors(model: dict) -> list[dict]:
    """The preprocessors of a model, those inside them, and those of the detector inside the model."""
    found = []
    for holder in (model, innermost(model)):
        while isinstance(holder.get("data_preprocessor"), dict):
            holder = holder["data_preprocessor"]
            found.append(holder)
    return found
