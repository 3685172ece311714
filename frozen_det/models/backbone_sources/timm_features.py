"""Backbones of timm: features by stride, with `forward_intermediates` if the model has it. Refuses unknown names."""

import inspect

import torch
from torch import nn

from ...errors import InputError, closest
from .base import Body, ListFeatures, Preprocess, on_meta, select_by_stride
from .input_size import Measured, ValuesNeeded, any_size, measure, remembered
from .plain_vit import is_plain_vit, measured_channels, plain_vit_features, refuse_options, split_options


def timm_body(name: str, options: dict, strides) -> Body:
    """A model of timm as a :class:`Body`.

    Args:
        name: as in `timm.list_models()`; ``name.tag`` is allowed.
        options: of `timm.create_model`, `pretrained_cfg_overlay` (changes to the weights' card), and for plain
            vision transformers those of :mod:`.plain_vit`: taps, tap_fusion, tap_norm, window.
        strides: wanted strides, ascending.

    Raises:
        InputError: an unknown name, or an unavailable stride.
    """
    require_known(name)
    own, options = split_options(options)
    overlay = options.pop("pretrained_cfg_overlay", None)
    full, device, options = _on_meta(name, options)
    where = f"timm/{name}"
    if is_plain_vit(full):
        features = plain_vit_features(full, own, strides, where)
        channels = measured_channels(full, device, features, where)
        module, head_keys = _pruned(name, options, full, features.taps, prune_norm=not features.norm)
        return Body(module, tuple(strides), (channels,), features, where, head_keys, timm_preprocess(full, overlay))
    refuse_options(own, where)
    if not hasattr(full, "forward_intermediates"):
        return _timm_features_only(name, options, strides, full, overlay)
    measured = remembered((where, options), lambda: _measured(full, device, where, name, options))
    indices, channels = select_by_stride(measured.strides, measured.channels, strides, where)
    module, head_keys = _pruned(name, options, full, indices)
    return Body(
        module,
        tuple(strides),
        tuple(channels),
        any_size(_TimmFeatures(indices), strides, measured.rule),
        where,
        head_keys,
        timm_preprocess(full, overlay),
    )


def timm_strides(name: str, options: dict) -> tuple[int | None, ...]:
    """Stride of each feature of a model, in execution order.

    Raises:
        InputError: an unknown name, or a model that runs at none of the sizes tried.
    """
    require_known(name)
    full, device, options = _on_meta(name, split_options(options)[1])
    where = f"timm/{name}"
    if not hasattr(full, "forward_intermediates"):
        return _list_measured(name, options, where)[1].strides
    return remembered((where, options), lambda: _measured(full, device, where, name, options)).strides


def timm_preprocess(full: nn.Module, overlay: dict | None) -> Preprocess:
    """The expected input from a timm model's `pretrained_cfg`, updated with `overlay`."""
    card = {**(getattr(full, "pretrained_cfg", None) or {}), **(overlay or {})}
    size = card.get("input_size")
    return Preprocess(
        tuple(round(255 * m, 6) for m in card.get("mean", (0.485, 0.456, 0.406))),
        tuple(round(255 * s, 6) for s in card.get("std", (0.229, 0.224, 0.225))),
        "rgb",
        size[-1] if size else None,
        card.get("crop_pct"),
        card.get("interpolation"),
    )


def require_known(name: str, key: str = "model.backbone.body.name") -> None:
    """Raise for a name that timm does not know.

    Args:
        name: of the model.
        key: config key of the name, for the message.

    Raises:
        InputError: an unknown name; the message gives the closest one.
    """
    import timm

    if not timm.is_model(name):
        raise InputError(
            f"timm has no model {name!r} ({key}); "
            f"{closest(name.split('.')[0], timm.list_models()) or 'see timm.list_models()'}"
        )
    network, _, tag = name.partition(".")
    tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{network}.*")] if tag else ()
    if tag and tag not in tags:
        raise InputError(
            f"timm has no weights {tag!r} of {network} ({key}); "
            + (
                closest(tag, tags, 1) + f" It has {', '.join(tags)}." if tags else "it has none: leave the tag out."
            ).strip()
        )


def _pruned(name: str, options: dict, full: nn.Module, indices, prune_norm: bool = True):
    """The model pruned to what the features at `indices` need, and the state dict keys removed."""
    import timm

    module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    module.prune_intermediate_layers(list(indices), prune_norm=prune_norm, prune_head=True)
    return module, frozenset(full.state_dict()) - frozenset(module.state_dict())


class _TimmFeatures:
    """`forward_intermediates` at fixed indices, without a reference to the module, so that it can be copied."""

    def __init__(self, indices):
        self.indices = list(indices)

    def __call__(self, module, images):
        return module.forward_intermediates(images, indices=self.indices, intermediates_only=True, output_fmt="NCHW")


def _on_meta(name: str, options: dict):
    """The full architecture on meta tensors, and its options with dynamic input sizes enabled if supported."""
    import timm

    full, device = on_meta(lambda: timm.create_model(name, pretrained=False, **options))
    accepted = inspect.signature(type(full).__init__).parameters
    # Detection images have any size, but timm's transformers require their training size by default.
    if "dynamic_img_size" in accepted:
        options = {"dynamic_img_size": True, **options}
    elif "strict_img_size" in accepted:
        options = {"strict_img_size": False, **options}
    else:
        return full, device, options
    full, device = on_meta(lambda: timm.create_model(name, pretrained=False, **options))
    return full, device, options


def _measured(full: nn.Module, device: str, where: str, name: str, options: dict) -> Measured:
    """Measure all intermediate features, on real tensors where meta tensors are not sufficient."""
    import timm

    own_hw = _own_hw(full)

    def measured(module, device):
        def run(size_hw):
            with torch.no_grad():
                features = module.forward_intermediates(
                    torch.zeros(1, 3, *size_hw, device=device), intermediates_only=True, output_fmt="NCHW"
                )
            return [tuple(feature.shape) for feature in features]

        module.eval()
        return measure(run, own_hw, where)

    try:
        found = measured(full, device)
        if device == "cpu" or found.rule.window_hw is not None or not _has_tables_of_size(full, name, options, own_hw):
            return found
    except ValuesNeeded:
        pass
    return measured(timm.create_model(name, pretrained=False, **options), "cpu")


def _own_hw(model: nn.Module) -> tuple[int, int] | None:
    """The input size (height, width) in px in the `pretrained_cfg` of a timm model."""
    size = (getattr(model, "pretrained_cfg", None) or {}).get("input_size")
    return tuple(size[1:]) if size else None


def _has_tables_of_size(full: nn.Module, name: str, options: dict, own_hw) -> bool:
    """Whether shapes of parameters, such as position embeddings, depend on the model's image size.

    Indexing beyond the end of a table raises on real tensors only, not on meta tensors.
    """
    import timm

    if own_hw is None or "img_size" not in inspect.signature(type(full).__init__).parameters:
        return False
    shapes = {key: value.shape for key, value in full.named_parameters()}
    larger = options | dict(img_size=2 * max(own_hw))
    try:
        other, _ = on_meta(lambda: timm.create_model(name, pretrained=False, **larger))
    except (AssertionError, TypeError, ValueError):
        return True  # it depends on the size in some way
    return shapes != {key: value.shape for key, value in other.named_parameters()}


def _timm_features_only(name, options, strides, full, overlay) -> Body:
    """For timm models without `forward_intermediates`: `features_only=True`, with the keys of that wrapper."""
    import timm

    where = f"timm/{name}"
    probe, measured, channels_last = _list_measured(name, options, where)
    indices, channels = select_by_stride(measured.strides, measured.channels, strides, where)
    out = list(probe.feature_info.out_indices)
    module = timm.create_model(
        name, pretrained=False, features_only=True, out_indices=[out[i] for i in indices], **options
    )
    extract = any_size(ListFeatures(range(len(indices)), channels_last), strides, measured.rule)
    return Body(
        module,
        tuple(strides),
        tuple(channels),
        extract,
        where,
        frozenset(full.state_dict()),
        timm_preprocess(full, overlay),
    )


def _list_measured(name: str, options: dict, where: str) -> tuple[nn.Module, Measured, bool]:
    """The `features_only` model, its features, and whether they are channels last."""
    import timm

    probe, device = on_meta(lambda: timm.create_model(name, pretrained=False, features_only=True, **options))
    probe.eval()
    known = list(probe.feature_info.channels())
    layouts = []

    def run(size_hw):
        with torch.no_grad():
            shapes = [tuple(f.shape) for f in probe(torch.zeros(1, 3, *size_hw, device=device))]
        layouts.append([shape[-1] for shape in shapes] == known and [shape[1] for shape in shapes] != known)
        return [(n, c, h, w) for n, h, w, c in shapes] if layouts[-1] else shapes

    measured = measure(run, _own_hw(probe), where)
    return probe, measured, layouts[-1]
