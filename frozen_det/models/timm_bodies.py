"""Bodies of timm: features by stride, by `forward_intermediates` where the family has it. Refuses unknown names."""

import inspect

import torch
from torch import nn

from ..errors import InputError, closest
from .body_contract import PROBE_SIZE_HW, Body, ListFeatures, Preprocess, on_meta, select_by_stride
from .plain_vit import is_plain_vit, measured_channels, plain_vit_features, refuse_options, split_options


def timm_body(name: str, options: dict, strides) -> Body:
    """A model of timm as a :class:`Body`.

    Args:
        name: as in `timm.list_models()`; ``name.tag`` is allowed.
        options: of `timm.create_model`, `pretrained_cfg_overlay` (changes to the weights' card), and for plain
            vision transformers those of :mod:`.plain_vit`: taps, tap_fusion, tap_norm, window.
        strides: wanted strides, ascending.

    Raises:
        InputError: an unknown name, or a stride that the model does not have.
    """
    _check_known(name)
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
    size_hw, shapes = _measured(full, device, where)
    indices, channels = select_by_stride(shapes, strides, where, size_hw)
    module, head_keys = _pruned(name, options, full, indices)
    return Body(module, tuple(strides), tuple(channels), _TimmFeatures(indices), where, head_keys,
                timm_preprocess(full, overlay))


def timm_shapes(name: str, options: dict) -> tuple[tuple[int, int], list[tuple[int, ...]]]:
    """Size of the probe in px (height, width), and NCHW shapes of all features of a model in order of running.

    Raises:
        InputError: an unknown name, or a model that runs at none of the sizes tried.
    """
    _check_known(name)
    full, device, _ = _on_meta(name, split_options(options)[1])
    return _measured(full, device, f"timm/{name}")


def timm_preprocess(full: nn.Module, overlay: dict | None) -> Preprocess:
    """What the card of a timm model, with the changes of `overlay`, says about the input."""
    card = {**(getattr(full, "pretrained_cfg", None) or {}), **(overlay or {})}
    size = card.get("input_size")
    return Preprocess(
        tuple(round(255 * m, 6) for m in card.get("mean", (0.485, 0.456, 0.406))),
        tuple(round(255 * s, 6) for s in card.get("std", (0.229, 0.224, 0.225))),
        "rgb", size[-1] if size else None, card.get("crop_pct"), card.get("interpolation"))


def _check_known(name: str) -> None:
    import timm

    if not timm.is_model(name):
        raise InputError(f"timm has no model {name!r} (model.backbone.body.name); "
                         f"{closest(name.split('.')[0], timm.list_models()) or 'see timm.list_models()'}")


def _pruned(name: str, options: dict, full: nn.Module, indices, prune_norm: bool = True):
    """The model without what the features at `indices` do not need, and the state-dict keys that went."""
    import timm

    module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    module.prune_intermediate_layers(list(indices), prune_norm=prune_norm, prune_head=True)
    return module, frozenset(full.state_dict()) - frozenset(module.state_dict())


class _TimmFeatures:
    """`forward_intermediates` at fixed indices; keeps no reference to the module, so copies of it stay whole."""

    def __init__(self, indices):
        self.indices = list(indices)

    def __call__(self, module, images):
        return module.forward_intermediates(images, indices=self.indices, intermediates_only=True,
                                            output_fmt="NCHW")


def _on_meta(name: str, options: dict):
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


def _measured(full: nn.Module, device: str, where: str):
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
    return Body(module, tuple(strides), tuple(channels), ListFeatures(range(len(indices)), channels_last),
                f"timm/{name}", frozenset(full.state_dict()), timm_preprocess(full, overlay))
