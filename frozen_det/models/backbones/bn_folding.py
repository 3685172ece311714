"""BatchNorm folded into the convolution before it: the same function, other rounding; refuses norms that still learn.

Only norms that read one convolution's output, and nothing else does, are folded; which these are is measured by
running the body once (:func:`.adapters.sites.survey`), not read from names.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...ops.merging import norm_scale_shift
from ..backbone_sources.build import Body

_PLAIN = ("Conv2d", "Conv2dSame", "Linear")


class Pair(NamedTuple):
    """Names in a body of a layer and of the norm that can be folded into it."""

    layer: str
    norm: str


def foldable(body: Body) -> list[Pair]:
    """Everything that can be folded in a body in eval mode, in the order of running; may be empty."""
    from ..adapters.target_layers import list_sites

    with torch.enable_grad():  # what reads what is known from autograd's graph
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
    """Weight and bias of a layer that does what `layer` and then `norm` do; computed in float64, rounded once.

    Args:
        layer: convolution (weight (O, I, kh, kw)) or linear layer (weight (O, I)); not changed.
        norm: BatchNorm over its O output channels; not changed.

    Returns:
        weight as of the layer, bias (O,), both of the layer's dtype.
    """
    scale, shift = _scale_shift(norm)
    if layer.bias is not None:
        shift = shift + layer.bias.double() * scale
    weight = layer.weight.double() * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    return weight.to(layer.weight), shift.to(layer.weight)


def take_out(module: nn.Module, norm_name: str) -> None:
    """Take a norm out of a module; an activation that it carries stays."""
    owner, _, last = norm_name.rpartition(".")
    norm = module.get_submodule(norm_name)
    # timm's norms carry the activation that follows (`BatchNormAct2d`).
    setattr(module.get_submodule(owner), last, getattr(norm, "act", None) or nn.Identity())


def fold_into_weights(body: Body) -> int:
    """Fold in place, keeping every norm as an identity plus a constant, so that the state dict keeps its names.

    Args:
        body: in eval mode; changed.

    Returns:
        number of norms folded.

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
    """Fold in place and take the norms out: the layer gets a bias, the norm's activation stays.

    For programs only: the state dict loses names. Arguments, result and errors as :func:`fold_into_weights`.
    """
    pairs = _some(body)
    put_folded(body.module, pairs)
    return len(pairs)


def put_folded(module: nn.Module, pairs: list[Pair]) -> None:
    """Give the layers of `pairs` new, folded parameters and take the norms out; no tensor is written to."""
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
            f"expected BatchNorms behind convolutions to fold in {body.architecture}, it has none. Leave --fold-bn out."
        )
    return found


def _modules(body: Body, pairs: list[Pair]) -> list[tuple[nn.Module, nn.Module]]:
    return [(body.module.get_submodule(pair.layer), body.module.get_submodule(pair.norm)) for pair in pairs]


def _scale_shift(norm: nn.Module):
    return norm_scale_shift(
        norm.running_mean.double(), norm.running_var.double(), norm.eps, norm.weight.double(), norm.bias.double()
    )
