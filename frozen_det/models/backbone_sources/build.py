"""Bodies of timm, torchvision and mmdet behind one contract: features by stride, NCHW, under the library's own keys.

Out-indices mean different strides in different families (timm: ResNet 0-4 are strides 2-32, ConvNeXt 0-3 are 4-32,
VGG 0-5 are 1-32), some give channels last, some one stride only. So strides and channels are measured, by running
the body once on meta tensors (no weights, no memory), and features are asked for by stride. A stride the body does
not have is refused, with the strides it has.
"""

from collections.abc import Sequence

from ...errors import InputError
from .base import PROBE_SIZE_HW, Body, Preprocess, check_input_channels, on_meta, select_by_stride
from .mmdet_models import mmdet_body, mmdet_strides
from .timm_models import timm_body, timm_strides
from .torchvision_models import torchvision_body, torchvision_strides

__all__ = ["PROBE_SIZE_HW", "Body", "Preprocess", "body_strides", "build_body", "on_meta", "select_by_stride"]


def build_body(cfg: dict, strides: Sequence[int]) -> Body:
    """Build a body from its config.

    Args:
        cfg: ``dict(type='timm', name=...)``, ``dict(type='torchvision', name=...)`` (further keys go to the
            library's constructor; those of plain vision transformers: :mod:`.plain_vit`), or the config of any
            backbone registered in mmdet.
        strides: the strides wanted, ascending, e.g. ``(4, 8, 16, 32)``; ``(4, 4)`` for the last two features of
            stride 4.

    Raises:
        InputError: unknown model name, a key that the library does not take, or a stride that the body does not have.
    """
    cfg = dict(cfg)
    if "type" not in cfg:
        raise InputError(
            f"expected `type` in model.backbone.body (timm, torchvision, or a backbone of mmdet), got {cfg}"
        )
    kind = cfg.pop("type")
    check_input_channels(cfg, "model.backbone.body")
    strides = tuple(strides)
    if not strides or list(strides) != sorted(strides):
        raise InputError(f"expected ascending strides such as (4, 8, 16, 32) in model.backbone.strides, got {strides}")
    if kind in ("timm", "torchvision") and "name" not in cfg:
        raise InputError(f"expected `name` beside type={kind!r} in model.backbone.body, got {cfg}")
    try:
        if kind in ("timm", "torchvision"):
            return (timm_body if kind == "timm" else torchvision_body)(cfg.pop("name"), cfg, strides)
        return mmdet_body({"type": kind, **cfg}, strides)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise InputError(
            f"expected keys that the {kind} body takes in model.backbone.body, got {sorted(cfg)}: {error}"
        ) from error


def body_strides(cfg: dict) -> tuple[int, ...]:
    """All strides at which a body has features, ascending, measured on meta tensors.

    Args:
        cfg: as of :func:`build_body`.

    Raises:
        InputError: an unknown model.
    """
    cfg = {key: value for key, value in cfg.items() if key not in ("init_cfg", "pretrained_cfg_overlay")}
    kind = cfg.pop("type", None)
    if kind == "timm":
        found = timm_strides(cfg.pop("name"), cfg)
    elif kind == "torchvision":
        found = torchvision_strides(cfg.pop("name"), cfg)
    else:
        found = mmdet_strides({"type": kind, **cfg})
    return tuple(sorted({stride for stride in found if stride is not None}))


def pretrained_of(body: dict) -> str | None:
    """The checkpoint that a stock mmdet backbone config names, in its init_cfg or the older `pretrained`."""
    init = body.get("init_cfg")
    if isinstance(body.get("pretrained"), str) and body.get("type") not in ("timm", "torchvision"):
        return body["pretrained"]
    for entry in init if isinstance(init, (list, tuple)) else [init]:
        if isinstance(entry, dict) and entry.get("type", "Pretrained") == "Pretrained":  # PVT's has no type
            return entry.get("checkpoint")
    return None
