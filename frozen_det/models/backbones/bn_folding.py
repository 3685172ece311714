"""Fold BatchNorm into the preceding convolution: the same function up to rounding; refuses trainable norms.

A norm is folded only if it is the sole consumer of a convolution's output. These pairs are found by running the network
once (:func:`frozen_det.models.adapters.target_layers.survey`), not by name.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...host.devices import float64_of
from ...ops.merging import norm_scale_shift
from ..backbone_sources.build import Body

_PLAIN = ("Conv2d", "Conv2dSame", "Linear")


class Pair(NamedTuple):
    """Names of a layer and of the norm that can be folded into it."""

    layer: str
    norm: str


def foldable(body: Body) -> list[Pair]:
    """All foldable pairs of a network in eval mode, in execution order; may be empty."""
    from ..adapters.target_layers import list_sites

    with torch.enable_grad():  # consumers are found in autograd's graph
        sites = list_sites(body)
    found = []
    for site in sites:
        norm = body.module.get_submodule(site.norm) if site.norm is not None else None
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or not norm.affine or not norm.track_running_stats:
            continue
        layer = body.module.get_submodule(site.name)
        if type(layer).__name__ in _PLAIN and not hasattr(layer, "parametrizations"):
            assert not norm.training, f"{site.norm} is still in training mode"
            found.append(Pair(site.name, site.norm))
    return found


def folded(layer: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of one layer equivalent to `layer` followed by `norm`; computed in float64, rounded once.

    Args:
        layer: convolution (weight (O, I, kh, kw)) or linear layer (weight (O, I)); not changed.
        norm: BatchNorm over its O output channels; not changed.

    Returns:
        weight as of the layer, bias (O,), both of the layer's dtype.
    """
    scale, shift = _scale_shift(norm)
    if layer.bias is not None:
        shift = shift + float64_of(layer.bias) * scale
    weight = float64_of(layer.weight) * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    return weight.to(layer.weight), shift.to(layer.weight)


def take_out(module: nn.Module, norm_name: str) -> None:
    """Remove a norm from a module, keeping an activation that is part of it."""
    owner, _, last = norm_name.rpartition(".")
    norm = module.get_submodule(norm_name)
    # timm's `BatchNormAct2d` contains the activation that follows.
    setattr(module.get_submodule(owner), last, getattr(norm, "act", None) or nn.Identity())


def fold_into_weights(body: Body) -> int:
    """Fold in place, keeping every norm as an identity plus a constant, so that state dict keys do not change.

    Args:
        body: in eval mode; changed.

    Returns:
        number of folded norms.

    Raises:
        InputError: there is nothing to fold.
    """
    pairs = _some(body)
    with torch.no_grad():
        for layer, norm in _modules(body, pairs):
            weight, shift = folded(layer, norm)
            layer.weight.copy_(weight)
            if layer.bias is not None:
                layer.bias.zero_()
            norm.weight.fill_(1)
            norm.bias.copy_(shift)
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
    return len(pairs)


def fold_away(body: Body) -> int:
    """Fold in place and remove the norms: the layer gets a bias, the norm's activation stays.

    For exported programs only, since state dict keys are lost. Arguments, result and errors as
    :func:`fold_into_weights`.
    """
    pairs = _some(body)
    put_folded(body.module, pairs)
    return len(pairs)


def put_folded(module: nn.Module, pairs: list[Pair]) -> None:
    """Give the layers of `pairs` new, folded parameters and remove the norms; no tensor is modified."""
    for pair in pairs:
        layer = module.get_submodule(pair.layer)
        with torch.no_grad():
            weight, bias = folded(layer, module.get_submodule(pair.norm))
        layer.weight = nn.Parameter(weight, requires_grad=False)
        layer.bias = nn.Parameter(bias, requires_grad=False)
        take_out(module, pair.norm)


def _some(body: Body) -> list[Pair]:
    found = foldable(body)
    if not found:
        raise InputError(
            f"expected BatchNorms after convolutions to fold in {body.architecture}, got none. Leave --fold-bn out."
        )
    return found


def _modules(body: Body, pairs: list[Pair]) -> list[tuple[nn.Module, nn.Module]]:
    return [(body.module.get_submodule(pair.layer), body.module.get_submodule(pair.norm)) for pair in pairs]


def _scale_shift(norm: nn.Module):
    return norm_scale_shift(
        float64_of(norm.running_mean),
        float64_of(norm.running_var),
        norm.eps,
        float64_of(norm.weight),
        float64_of(norm.bias),
    )
