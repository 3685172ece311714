"""Bodies of timm, torchvision and mmdet behind one contract: features by stride, NCHW, under the library's own keys.

Out-indices mean different strides in different families (timm: ResNet 0-4 are strides 2-32, ConvNeXt 0-3 are 4-32,
VGG 0-5 are 1-32), some give channels last, some one stride only. So strides and channels are measured, by running
the body once on meta tensors (no weights, no memory), and features are asked for by stride. A stride the body does
not have is refused, with the strides it has.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..errors import InputError, closest

# Not square, so that height and width, and channels-first and channels-last, cannot be confused.
PROBE_SIZE_HW = (256, 320)


@dataclass(frozen=True)
class Preprocess:
    """What a body expects of its input: mean and std in 0..255 units, channel order, size it was trained at."""

    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    channel_order: str = "rgb"
    input_size: int | None = None
    crop_ratio: float | None = None
    interpolation: str | None = None


@dataclass
class Body:
    """A feature extractor without its classifier.

    Attributes:
        module: the library's own module; its state-dict keys are the library's.
        strides: stride of each feature, ascending.
        channels: number of channels of each feature.
        extract: ``extract(module, images) -> list`` of features (N, C, H / stride, W / stride), one per stride.
        architecture: e.g. ``timm/resnet50``; library and name.
        head_keys: state-dict keys of the full architecture that the body does not need (classifier, last stages).
        preprocess: what the pretrained weights expect of the input.
    """

    module: nn.Module
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    extract: Callable[[nn.Module, Tensor], list[Tensor]]
    architecture: str
    head_keys: frozenset[str] = field(default_factory=frozenset)
    preprocess: Preprocess | None = None


def build_body(cfg: dict, strides: Sequence[int]) -> Body:
    """Build a body from its config.

    Args:
        cfg: ``dict(type='timm', name=...)``, ``dict(type='torchvision', name=...)`` (further keys go to the
            library's constructor), or the config of any backbone registered in mmdet.
        strides: the strides wanted, ascending, e.g. ``(4, 8, 16, 32)``.

    Raises:
        InputError: unknown model name, or a stride that the body does not have.
    """
    cfg = dict(cfg)
    if "type" not in cfg:
        raise InputError("expected `type` in model.backbone.body (timm, torchvision, or a backbone of mmdet), got "
                         f"{cfg}")
    kind = cfg.pop("type")
    strides = tuple(strides)
    if not strides or list(strides) != sorted(set(strides)):
        raise InputError(f"expected ascending strides such as (4, 8, 16, 32) in model.backbone.strides, got {strides}")
    if kind in ("timm", "torchvision"):
        if "name" not in cfg:
            raise InputError(f"expected `name` beside type={kind!r} in model.backbone.body, got {cfg}")
        return (_timm_body if kind == "timm" else _torchvision_body)(cfg.pop("name"), cfg, strides)
    return _mmdet_body({"type": kind, **cfg}, strides)


def select_by_stride(shapes: Sequence[tuple[int, ...]], strides: Sequence[int], where: str,
                     size_hw: tuple[int, int] = PROBE_SIZE_HW) -> tuple[list[int], list[int]]:
    """The last (deepest) feature of each wanted stride.

    Args:
        shapes: (N, C, H, W) of each feature, in the order of computation.
        strides: wanted strides.
        where: name of the body, for the message.
        size_hw: size of the input that gave these shapes.

    Returns:
        indices into `shapes` and channels, one per wanted stride.
    """
    by_stride = {}
    for index, shape in enumerate(shapes):
        by_stride[round(size_hw[0] / shape[2])] = (index, shape[1])
    missing = [stride for stride in strides if stride not in by_stride]
    if missing:
        hint = ""
        if len(by_stride) == 1:
            hint = " All its features have one stride, as in plain vision transformers; ask for that stride alone."
        raise InputError(f"expected features at strides {tuple(strides)} (model.backbone.strides), but {where} has "
                         f"strides {tuple(sorted(by_stride))}.{hint} Ask for strides among these.")
    return [by_stride[s][0] for s in strides], [by_stride[s][1] for s in strides]


def body_strides(cfg: dict) -> tuple[int, ...]:
    """All strides at which a body has features, ascending, measured on meta tensors.

    Args:
        cfg: as of :func:`build_body`.

    Raises:
        InputError: an unknown model.
    """
    cfg = {key: value for key, value in cfg.items() if key not in ("init_cfg", "pretrained_cfg_overlay")}
    kind = cfg.pop("type", None)
    name = cfg.pop("name", None) if kind in ("timm", "torchvision") else None
    if kind == "timm":
        import timm

        if not timm.is_model(name):
            raise InputError(f"timm has no model {name!r}; {closest(name.split('.')[0], timm.list_models())}")
        full, device, _ = _timm_on_meta(name, cfg)
        size_hw, shapes = _timm_shapes(full, device, f"timm/{name}")
    elif kind == "torchvision":
        import torchvision

        probe, device = on_meta(lambda: torchvision.models.get_model(name, weights=None, **cfg))
        size_hw = PROBE_SIZE_HW
        shapes = [shape for _, shape, _ in _torchvision_nodes(probe.eval(), device, f"torchvision/{name}")]
    else:
        from mmdet.registry import MODELS

        probe, device = on_meta(lambda: MODELS.build({"type": kind, **cfg}))
        probe.eval()
        with torch.no_grad():
            features = probe(torch.zeros(1, 3, *PROBE_SIZE_HW, device=device))
        size_hw, shapes = PROBE_SIZE_HW, [tuple(f.shape) for f in features]
    return tuple(sorted({round(size_hw[0] / shape[2]) for shape in shapes}))


def on_meta(build: Callable[[], nn.Module]) -> tuple[nn.Module, str]:
    """`build()` on meta tensors, and where it ended up: 'meta', or 'cpu' for the few constructors that read values."""
    try:
        with torch.device("meta"):
            return build(), "meta"
    except (RuntimeError, NotImplementedError):
        return build(), "cpu"


# ---- timm ----------------------------------------------------------------------------------------------------------


class _TimmFeatures:
    """`forward_intermediates` at fixed indices; keeps no reference to the module, so copies of it stay whole."""

    def __init__(self, indices):
        self.indices = list(indices)

    def __call__(self, module, images):
        return module.forward_intermediates(images, indices=self.indices, intermediates_only=True,
                                            output_fmt="NCHW")


class _ListFeatures:
    """A module that returns a list of features already; picks some, channels first."""

    def __init__(self, indices, channels_last=False):
        self.indices, self.channels_last = list(indices), channels_last

    def __call__(self, module, images):
        features = module(images)
        features = [features[i] for i in self.indices]
        if self.channels_last:
            features = [feature.permute(0, 3, 1, 2).contiguous() for feature in features]
        return features


def _timm_body(name: str, options: dict, strides) -> Body:
    import timm

    if not timm.is_model(name):
        raise InputError(f"timm has no model {name!r} (model.backbone.body.name); "
                         f"{closest(name.split('.')[0], timm.list_models()) or 'see timm.list_models()'}")
    overlay = options.pop("pretrained_cfg_overlay", None)
    full, device, options = _timm_on_meta(name, options)
    where = f"timm/{name}"
    if not hasattr(full, "forward_intermediates"):
        return _timm_features_only(name, options, strides, full, overlay)
    size_hw, shapes = _timm_shapes(full, device, where)
    indices, channels = select_by_stride(shapes, strides, where, size_hw)
    module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    module.prune_intermediate_layers(indices, prune_norm=True, prune_head=True)
    head_keys = frozenset(full.state_dict()) - frozenset(module.state_dict())
    return Body(module, tuple(strides), tuple(channels), _TimmFeatures(indices), where, head_keys,
                _timm_preprocess(full, overlay))


def _timm_on_meta(name: str, options: dict):
    """The full architecture on meta tensors, and its options with free input sizes switched on where it can."""
    import timm

    full, device = on_meta(lambda: timm.create_model(name, pretrained=False, **options))
    accepted = inspect.signature(type(full).__init__).parameters
    # Detection images have any size; transformers of timm insist on their training size unless told.
    if "dynamic_img_size" in accepted:
        options = {"dynamic_img_size": True, **options}
    elif "strict_img_size" in accepted:
        options = {"strict_img_size": False, **options}
    else:
        return full, device, options
    full, device = on_meta(lambda: timm.create_model(name, pretrained=False, **options))
    return full, device, options


def _timm_shapes(full: nn.Module, device: str, where: str):
    """Shapes of all intermediate features, at the first of a few sizes that the body accepts."""
    own = full.pretrained_cfg.get("input_size") if getattr(full, "pretrained_cfg", None) else None
    sizes = [PROBE_SIZE_HW] + ([tuple(own[1:])] if own else [])
    error = None
    for size_hw in sizes:
        try:
            with torch.no_grad():
                features = full.eval().forward_intermediates(
                    torch.zeros(1, 3, *size_hw, device=device), intermediates_only=True, output_fmt="NCHW")
            return size_hw, [tuple(feature.shape) for feature in features]
        except (AssertionError, RuntimeError, ValueError) as caught:
            error = caught
    raise InputError(f"{where} could not be measured at sizes {sizes}: {error}. Give its options (img_size=...) in "
                     "model.backbone.body.")


def _timm_features_only(name, options, strides, full, overlay) -> Body:
    """Older timm families without `forward_intermediates`: timm's own list wrapper, under its own key names."""
    import timm

    probe, device = on_meta(lambda: timm.create_model(name, pretrained=False, features_only=True, **options))
    with torch.no_grad():
        shapes = [tuple(f.shape) for f in probe.eval()(torch.zeros(1, 3, *PROBE_SIZE_HW, device=device))]
    known = list(probe.feature_info.channels())
    channels_last = [shape[-1] for shape in shapes] == known and [shape[1] for shape in shapes] != known
    if channels_last:
        shapes = [(n, c, h, w) for n, h, w, c in shapes]
    indices, channels = select_by_stride(shapes, strides, f"timm/{name}")
    out = list(probe.feature_info.out_indices)
    module = timm.create_model(name, pretrained=False, features_only=True,
                               out_indices=[out[i] for i in indices], **options)
    return Body(module, tuple(strides), tuple(channels), _ListFeatures(range(len(indices)), channels_last),
                f"timm/{name}", frozenset(full.state_dict()), _timm_preprocess(full, overlay))


def _timm_preprocess(full: nn.Module, overlay: dict | None) -> Preprocess:
    card = {**(getattr(full, "pretrained_cfg", None) or {}), **(overlay or {})}
    size = card.get("input_size")
    return Preprocess(
        tuple(round(255 * m, 6) for m in card.get("mean", (0.485, 0.456, 0.406))),
        tuple(round(255 * s, 6) for s in card.get("std", (0.229, 0.224, 0.225))),
        "rgb", size[-1] if size else None, card.get("crop_pct"), card.get("interpolation"))


# ---- torchvision ---------------------------------------------------------------------------------------------------


class _NodeFeatures:
    """Features of a traced torchvision model, in stride order, channels first."""

    def __init__(self, channels_last: Sequence[bool]):
        self.channels_last = list(channels_last)

    def __call__(self, module, images):
        features = module(images)
        return [feature.permute(0, 3, 1, 2).contiguous() if last else feature
                for feature, last in zip((features[str(i)] for i in range(len(self.channels_last))),
                                         self.channels_last)]


def _torchvision_body(name: str, options: dict, strides) -> Body:
    import torchvision
    from torchvision.models.feature_extraction import create_feature_extractor

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(f"torchvision has no classification model {name!r} (model.backbone.body.name); "
                         f"{closest(name, known) or 'see torchvision.models.list_models()'}")
    where = f"torchvision/{name}"
    probe, device = on_meta(lambda: torchvision.models.get_model(name, weights=None, **options))
    nodes = _torchvision_nodes(probe.eval(), device, where)
    indices, channels = select_by_stride([shape for _, shape, _ in nodes], strides, where)
    names = {nodes[index][0]: str(i) for i, index in enumerate(indices)}
    full_keys = frozenset(probe.state_dict())
    module = create_feature_extractor(torchvision.models.get_model(name, weights=None, **options), names)
    return Body(module, tuple(strides), tuple(channels), _NodeFeatures([nodes[i][2] for i in indices]), where,
                full_keys - frozenset(module.state_dict()), _torchvision_preprocess(name))


def _torchvision_nodes(probe: nn.Module, device: str, where: str) -> list[tuple[str, tuple[int, ...], bool]]:
    """(module name, NCHW shape, is channels-last) of every stage whose output is a feature map, in order of running.

    A stage is a child of the model; a Sequential that spans more than one halving is opened into its children, so
    that what comes out is the end of a stage and never the inside of a block.
    """
    height, width = PROBE_SIZE_HW
    found = []

    def visit(prefix: str, module: nn.Module):
        for name, child in module.named_children():
            handles.append(child.register_forward_hook(
                lambda _, inputs, output, path=prefix + name: record(path, inputs, output)))
            if isinstance(child, nn.Sequential):
                visit(f"{prefix}{name}.", child)

    def record(path, inputs, output):
        shape = _map_shape(output, height, width)
        if shape is not None:
            before = _map_shape(inputs[0], height, width) if inputs else None
            spans = before is not None and before[0][2] > 2 * shape[0][2]
            found.append((path, *shape, spans))

    handles = []
    visit("", probe)
    try:
        with torch.no_grad():
            probe(torch.zeros(1, 3, height, width, device=device))
    except Exception as error:
        raise InputError(f"{where} cannot be measured at {PROBE_SIZE_HW}: {error}. Use the timm model of the same "
                         "architecture.") from error
    for handle in handles:
        handle.remove()
    # A Sequential reports after its children. Keep it alone unless it spans several halvings; then keep the children.
    closed = [path for path, _, _, spans in found if not spans]
    return [(path, shape, last) for path, shape, last, spans in found
            if not spans and not any(path.startswith(outer + ".") for outer in closed)]


def _map_shape(value, height, width):
    """(NCHW shape, is channels-last) of a feature map of an input of that size; None for anything else."""
    if not isinstance(value, Tensor) or value.ndim != 4:
        return None
    first, second, third = value.shape[1:]
    if min(second, third) > 1 and second * width == third * height:
        return tuple(value.shape), False
    if min(first, second) > 1 and first * width == second * height:
        return (value.shape[0], third, first, second), True
    return None


def _torchvision_preprocess(name: str) -> Preprocess:
    import torchvision

    weights = torchvision.models.get_model_weights(name)
    card = weights.DEFAULT.transforms() if len(weights) else None
    if card is None or not hasattr(card, "mean"):
        return Preprocess()
    return Preprocess(tuple(255 * m for m in card.mean), tuple(255 * s for s in card.std), "rgb",
                      card.crop_size[0], card.crop_size[0] / card.resize_size[0], card.interpolation.value)


# ---- mmdet ---------------------------------------------------------------------------------------------------------


def _mmdet_body(cfg: dict, strides) -> Body:
    from mmdet.registry import MODELS

    if MODELS.get(cfg["type"]) is None:
        raise InputError(f"expected 'timm', 'torchvision' or a backbone registered in mmdet as "
                         f"model.backbone.body.type, got {cfg['type']!r}; {closest(cfg['type'], MODELS.module_dict)}")
    cfg.pop("init_cfg", None)  # weights come through the one door only
    own = cfg["type"].startswith("frozen_det.")
    where = f"frozen_det/{cfg['type'].removeprefix('frozen_det.')}" if own else f"mmdet/{cfg['type']}"
    probe, device = on_meta(lambda: MODELS.build(dict(cfg)))
    probe.eval()  # not chained: mmdet's ResNet returns None from train()
    with torch.no_grad():
        features = probe(torch.zeros(1, 3, *PROBE_SIZE_HW, device=device))
    if isinstance(features, Tensor):
        features = [features]
    indices, channels = select_by_stride([tuple(f.shape) for f in features], strides, where)
    return Body(MODELS.build(cfg), tuple(strides), tuple(channels), _ListFeatures(indices),
                f"{where}{cfg.get('depth', '')}", getattr(probe, "head_keys", frozenset()),
                getattr(probe, "preprocess", None))
