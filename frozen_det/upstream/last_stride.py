"""The last stage of a classifier at stride 1: maps of twice the side, the same weights under the same names.

CutMix (arXiv 1905.04899, appendix B) localises so, with a ResNet-50 whose `layer4` does not stride: 14 x 14 at 224 px.
Refuses networks whose last stage strides by something else than convolutions.
"""

import torch
from torch import Tensor, nn

from ..errors import InputError


def run_last_stage_at_stride_one(network: nn.Module, probe: Tensor, where: str = "model.last_stride") -> None:
    """Take the stride out of the convolutions that make the smallest map, in place.

    Args:
        network: images -> logits, in eval mode.
        probe: (1, 3, H, W).
        where: the setting, for messages.

    Raises:
        InputError: no such convolution, or the network does not run without the stride.
    """
    modules = dict(network.named_modules())
    before = _sides(network, probe)
    strides = [name for name in before if max(modules[name].stride) > 1]
    # Maps of one pixel are squeeze-and-excitation's, unless a stride made them.
    smallest = min((side for name, side in before.items() if side > 1 or name in strides), default=None)
    striding = [name for name in strides if before[name] == smallest]
    if not striding:
        raise InputError(
            f"expected a network whose last stage strides by a convolution ({where}), got "
            f"{type(network).__name__}; leave it out for this network."
        )
    for name in striding:
        modules[name].stride = (1, 1)
        parent = modules[name.rpartition(".")[0]]
        if isinstance(getattr(parent, "stride", None), int):
            parent.stride = 1  # a shortcut that slices by it
    try:
        after = _sides(network, probe)
    except RuntimeError as error:
        raise InputError(
            f"expected a last stage that runs at stride 1 ({where}), got {error}; leave it out for this network."
        ) from error
    if any(after[name] <= smallest for name in striding):
        raise InputError(
            f"expected larger maps at stride 1 than {smallest} px ({where}), got the same; leave it out "
            "for this network."
        )


def _sides(network: nn.Module, probe: Tensor) -> dict[str, int]:
    """Side of the map that each convolution gives."""
    found: dict[str, int] = {}
    hooks = [
        module.register_forward_hook(lambda _, given, out, name=name: found.update({name: out.shape[-1]}))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            network(probe)
    finally:
        for hook in hooks:
            hook.remove()
    return found
