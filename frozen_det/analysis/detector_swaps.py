"""A stock detector with another body: what followed from its own body is taken out, so that it is filled in again."""

import copy

from ..models.mmdet_bodies import mmdet_strides
from ..models.typed_parts import walk
from .stock_detectors import innermost

# The stride of the plain vision transformer's one map in px; a pyramid makes those that the detector's own body has.
_VIT_STRIDE = 16
_PYRAMID_CHANNELS = 256


def with_convolutional_body(model: dict) -> dict:
    """A detector on timm's resnet18, at the strides that its own body has."""
    return _with_body(model, dict(type="timm", name="resnet18"), _own_strides(model))


def with_vision_transformer(model: dict) -> dict:
    """A detector on timm's smallest plain vision transformer, with a pyramid where it asks for other strides."""
    strides = _own_strides(model)
    swapped = _with_body(model, dict(type="timm", name="vit_tiny_patch16_224"), (_VIT_STRIDE,))
    if strides != (_VIT_STRIDE,):
        detector = innermost(swapped)
        necks = detector.get("neck") or []
        pyramid = dict(type="frozen_det.SimpleFeaturePyramid", out_channels=_PYRAMID_CHANNELS, num_outs=None,
                       scale_factors=tuple(_VIT_STRIDE / stride for stride in strides))
        detector["neck"] = [pyramid, *(necks if isinstance(necks, list) else [necks])]
    return swapped


def _own_strides(model: dict) -> tuple[int, ...]:
    backbone = dict(innermost(model)["backbone"])
    backbone.pop("init_cfg", None)
    return mmdet_strides(backbone)


def _with_body(model: dict, body: dict, strides: tuple[int, ...]) -> dict:
    model = copy.deepcopy(model)
    detector = innermost(model)
    detector["backbone"] = dict(type="frozen_det.FrozenBackbone", body=body, weights="random", strides=strides)
    necks = detector.get("neck") or []
    for neck in (necks if isinstance(necks, list) else [necks])[:1]:
        own, out = neck.pop("in_channels", ()), neck.get("out_channels")
        if isinstance(out, (list, tuple)) and len(out) > len(own) and tuple(out[:len(own)]) == tuple(own):  # SSD
            neck["out_channels"] = [None] * len(own) + list(out[len(own):])
    for part, _, _, _ in walk(detector, ""):
        if not necks or isinstance(part.get("in_channels"), (list, tuple)):
            part.pop("in_channels", None)
    for preprocessor in _preprocessors(model):
        for key in ("mean", "std", "bgr_to_rgb", "rgb_to_bgr"):
            preprocessor.pop(key, None)
    return model


def _preprocessors(model: dict) -> list[dict]:
    """The preprocessors of a model, of those inside each other and of the detector inside the model."""
    found = []
    for holder in (model, innermost(model)):
        while isinstance(holder.get("data_preprocessor"), dict):
            holder = holder["data_preprocessor"]
            found.append(holder)
    return found
