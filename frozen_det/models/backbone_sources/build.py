"""Build backbones of any source with one interface: features by stride, NCHW, with the library's state dict keys.

Out-indices mean different strides in different families (timm: ResNet 0-4 are strides 2-32, ConvNeXt 0-3 are 4-32,
VGG 0-5 are 1-32), and some families return channels last or a single stride. So strides and channels are measured by
running the backbone once on meta tensors (no weights, no memory), and features are selected by stride. An unavailable
stride is an error that lists the available ones. For sources see :mod:`.source`.
"""

from collections.abc import Sequence

from ...errors import InputError
from .base import PROBE_SIZE_HW, Body, Preprocess, check_input_channels, on_meta, select_by_stride
from .classifier import Network
from .source import BackboneSource, body_types, source_of_type

__all__ = [
    "PROBE_SIZE_HW",
    "Body",
    "Network",
    "Preprocess",
    "body_strides",
    "build_body",
    "build_network",
    "feature_strides",
    "on_meta",
    "pretrained_of",
    "select_by_stride",
]


def build_body(cfg: dict, strides: Sequence[int]) -> Body:
    """Build a backbone from its config.

    Args:
        cfg: ``dict(type='timm', name=...)``, ``dict(type='torchvision', name=...)`` or that of another source
            (further keys go to the library's constructor; those of plain vision transformers: :mod:`.plain_vit`), or
            the config of any backbone registered in mmdet.
        strides: wanted strides, ascending, e.g. ``(4, 8, 16, 32)``; ``(4, 4)`` for the last two features of
            stride 4.

    Raises:
        InputError: unknown model name, a key that the library does not accept, or an unavailable stride.
    """
    where = "model.backbone.body"
    if "type" not in cfg:
        raise InputError(
            f"expected `type` in {where} ({', '.join(body_types())}, or a backbone of mmdet), got {dict(cfg)}"
        )
    check_input_channels(cfg, where)
    strides = tuple(strides)
    if not strides or list(strides) != sorted(strides):
        raise InputError(f"expected ascending strides such as (4, 8, 16, 32) in model.backbone.strides, got {strides}")
    source, name, options = _taken_apart(cfg, where)
    try:
        return source.build(name, options, strides)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise InputError(
            f"expected keys that the {cfg['type']} model accepts in {where}, got {sorted(options)}: {error}"
        ) from error


def build_network(backbone: dict, num_classes: int) -> Network:
    """Build a classifier with random weights, initialised as its library does.

    Args:
        backbone: ``dict(type='timm', name=...)``, ``dict(type='torchvision', name=...)`` or that of another source
            (further keys go to the library's constructor), ``dict(type='frozen_det.CifarResNet', depth=20)``, or any
            backbone of mmdet.
        num_classes: C, at least 2.

    Raises:
        InputError: an unknown name, an option that the library does not take, or fewer than two classes.
    """
    cfg = {key: value for key, value in dict(backbone).items() if key != "init_cfg"}
    if not isinstance(num_classes, int) or num_classes < 2:
        raise InputError(f"expected at least two classes in model.num_classes, got {num_classes!r}.")
    check_input_channels(cfg, "model.backbone")
    source, name, options = _taken_apart(cfg, "model.backbone")
    return source.classifier(name, options, num_classes)


def feature_strides(cfg: dict) -> tuple[int | None, ...]:
    """Stride of each feature of a backbone in execution order, None for one that is not a map of the image.

    Args:
        cfg: as of :func:`build_body`.

    Raises:
        InputError: an unknown model.
    """
    source, name, options = _taken_apart(cfg, "model.backbone.body")
    options = {key: value for key, value in options.items() if key not in ("init_cfg", "pretrained_cfg_overlay")}
    return source.strides(name, options)


def body_strides(cfg: dict) -> tuple[int, ...]:
    """All strides at which a backbone has features, ascending; see :func:`feature_strides`."""
    return tuple(sorted({stride for stride in feature_strides(cfg) if stride is not None}))


def pretrained_of(body: dict) -> str | None:
    """The checkpoint that a stock mmdet backbone config names, in its init_cfg or the older `pretrained`."""
    init = body.get("init_cfg")
    if isinstance(body.get("pretrained"), str) and body.get("type") not in body_types():
        return body["pretrained"]
    for entry in init if isinstance(init, (list, tuple)) else [init]:
        if isinstance(entry, dict) and entry.get("type", "Pretrained") == "Pretrained":  # PVT's has no type
            return entry.get("checkpoint")
    return None


def _taken_apart(cfg: dict, where: str) -> tuple[BackboneSource, str, dict]:
    """(source, name of the model, options) of a config; for a registered type, the name is the type."""
    options = dict(cfg)
    kind = options.pop("type", None)
    source = source_of_type(kind)
    if not source.names_body:
        return source, kind, options
    if "name" not in options:
        raise InputError(f"expected `name` beside type={kind!r} in {where}, got {options}")
    return source, options.pop("name"), options
