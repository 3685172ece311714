"""BatchNorm folded into the convolution before it: the same function, other rounding; refuses norms that still learn.

Only norms that read one convolution's output, and nothing else does, are folded; which these are is measured by
running the body once (:func:`.adapters.sites.survey`), not read from names.
"""

import torch
from torch import nn

from ..errors import InputError
from ..ops.merging import norm_scale_shift
from .backbones import Body

_PLAIN = ("Conv2d", "Conv2dSame", "Linear")


def fold_into_weights(body: Body) -> int:
    """Fold in place, keeping every norm as an identity plus a constant, so that the state dict keeps its names.

    Args:
        body: in eval mode; changed.

    Returns:
        number of norms folded.

    Raises:
        InputError: there is nothing to fold.
    """
    pairs = _pairs(body)
    with torch.no_grad():
        for layer, _, norm in pairs:
            scale, shift = _scale_shift(norm)
            _scale(layer, scale)
            if layer.bias is not None:
                shift = shift + layer.bias.double() * scale
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
    pairs = _pairs(body)
    for layer, name, norm in pairs:
        scale, shift = _scale_shift(norm)
        with torch.no_grad():
            if layer.bias is not None:
                shift = shift + layer.bias.double() * scale
            _scale(layer, scale)
            layer.bias = nn.Parameter(shift.to(layer.weight), requires_grad=False)
        owner, _, last = name.rpartition(".")
        # timm's norms carry the activation that follows (`BatchNormAct2d`).
        setattr(body.module.get_submodule(owner), last, getattr(norm, "act", None) or nn.Identity())
    return len(pairs)


def _pairs(body: Body) -> list[tuple[nn.Module, str, nn.Module]]:
    """(layer, name of its norm, norm) of everything that can be folded."""
    from .adapters.sites import list_sites

    found = []
    for site in list_sites(body):
        norm = body.module.get_submodule(site.norm) if site.norm is not None else None
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or not norm.affine or not norm.track_running_stats:
            continue
        layer = body.module.get_submodule(site.name)
        if type(layer).__name__ in _PLAIN and not hasattr(layer, "parametrizations"):
            assert not norm.training, f"{site.norm} is still in training mode"
            found.append((layer, site.norm, norm))
    if not found:
        raise InputError(f"expected BatchNorms behind convolutions to fold in {body.architecture}, it has none. Leave "
                         "--fold-bn out.")
    return found


def _scale_shift(norm: nn.Module):
    return norm_scale_shift(norm.running_mean.double(), norm.running_var.double(), norm.eps, norm.weight.double(),
                            norm.bias.double())


def _scale(layer: nn.Module, scale) -> None:
    """Multiply each output channel of a layer, in float64, rounded once."""
    shaped = scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    layer.weight.copy_(layer.weight.double() * shaped)
