"""Wrap a detector's backbone as a `frozen_det.FrozenBackbone`, and find its strides, channels and expected input."""

from torch import nn

from ...errors import InputError
from ..backbone_sources.base import Body, Preprocess, on_meta
from ..backbone_sources.build import build_body, feature_strides, pretrained_of
from ..backbone_sources.provenance import body_of_weights
from ..backbone_sources.source import source_of_weights
from ..backbone_sources.weights import source_card, weights_file
from ..backbones.description import is_described


def is_wrapped(backbone: dict) -> bool:
    """Whether a backbone's config is that of a :class:`frozen_det.models.backbones.frozen_backbone.FrozenBackbone`."""
    kind = backbone.get("type", "")
    return getattr(kind, "__name__", str(kind)).endswith("FrozenBackbone")


def as_frozen_backbone(backbone: dict) -> dict:
    """The config of a frozen backbone: as given, or wrapping a stock one, whose checkpoint becomes the weights.

    Args:
        backbone: config of a FrozenBackbone or of a backbone registered in mmdet.

    Returns:
        a new config. A stock backbone provides all its features.

    Raises:
        InputError: a stock backbone without features at ascending strides.
    """
    backbone = dict(backbone)
    if is_wrapped(backbone):
        backbone["type"] = "frozen_det.FrozenBackbone"
        if backbone.get("body") is None:
            backbone["body"] = body_of_weights(backbone.get("weights"))
        if backbone.get("weights") is None:
            backbone["weights"] = pretrained_of(backbone["body"])
        return backbone
    weights = pretrained_of(backbone)
    # The wrapper freezes; without `frozen_stages` the stock backbone keeps its default (-1 or 0): nothing frozen.
    body = {k: v for k, v in backbone.items() if k not in ("init_cfg", "pretrained", "frozen_stages")}
    return dict(type="frozen_det.FrozenBackbone", body=body, weights=weights, strides=_all_strides(body))


def on_meta_body(backbone: dict) -> tuple[Body, str]:
    """The network of a FrozenBackbone config, built without weights (on meta tensors if possible), and its device."""
    kept: list[Body] = []

    def build() -> nn.Module:
        kept.append(
            build_body(
                {k: v for k, v in backbone["body"].items() if k != "init_cfg"}, backbone.get("strides", (4, 8, 16, 32))
            )
        )
        return kept[-1].module

    _, device = on_meta(build)
    body = kept[-1]
    card = _card(backbone.get("weights"))
    if card is not None and card.mean is not None and card.std is not None:
        body.preprocess = Preprocess(
            card.mean, card.std, card.channel_order or "rgb", card.input_size, card.crop_ratio, card.interpolation
        )
    elif body.preprocess is None:
        named = source_of_weights(str(backbone.get("weights")))
        body.preprocess = named[0].preprocess if named is not None else None
    return body, device


def _card(weights):
    from ...weights.card import read_card

    if weights is None or (isinstance(weights, str) and weights == "random"):
        return None
    path = None if is_described() else weights_file(weights)
    return read_card(path) or source_card(weights) if path is not None and path.is_file() else None


def _all_strides(body: dict) -> tuple[int, ...]:
    """The strides of all features that an mmdet backbone returns, in its order; a stride may come twice (Hourglass)."""
    from mmdet.registry import MODELS

    if MODELS.get(body.get("type")) is None:
        return (4, 8, 16, 32)  # building it raises the error
    strides = feature_strides(body)
    if None in strides or list(strides) != sorted(strides):
        raise InputError(
            f"expected features at ascending strides from model.detector.backbone of type "
            f"{body['type']}, got {strides}. Choose some: backbone=dict("
            "type='frozen_det.FrozenBackbone', body=..., strides=...)."
        )
    return strides
