"""An inference copy of a frozen backbone: the same function, sharing every tensor that need not differ.

:class:`Originals` detects when the original tensors were modified in place (the copy is refreshed) or replaced (it is
rebuilt). It relies on PyTorch's version counters, so writes through ``tensor.data`` are not detected.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...host.devices import float64_of
from ..backbone_sources.build import Body
from .bn_folding import Pair, foldable, folded, put_folded

# Largest difference allowed for folding or compiling, relative to the largest magnitude of a feature map.
TOLERANCE = 1e-3
# The same for computation or storage in 16 bits.
TOLERANCE_16_BIT = 5e-2


class InferenceCopy:
    """Built from a network in eval mode, on the same device.

    Args:
        body: the original; not changed.
        fold_norms: fold BatchNorms into the layers before them.
        channels_last: store kernels in channels-last memory format.

    Attributes:
        body: the copy.
        num_folded: number of folded norms.
        bytes: memory not shared with the original.
    """

    def __init__(self, body: Body, fold_norms: bool, channels_last: bool):
        self._pairs = foldable(body) if fold_norms else []
        self._channels_last = channels_last
        module = _sharing_copy(body.module)
        put_folded(module, self._pairs)
        self.body = replace(body, module=module)
        self.num_folded = len(self._pairs)
        if channels_last:
            self._lay_out(module)
        own = {id(tensor) for tensor in _tensors(body.module)}
        self._derived = [name for name, value in module.named_parameters() if id(value) not in own]
        self.bytes = sum(module.get_parameter(name).nbytes for name in self._derived)

    def refresh(self, module: nn.Module) -> None:
        """Recompute the tensors that are not shared, in place."""
        with torch.inference_mode(False), torch.no_grad():
            of = {pair.layer: pair for pair in self._pairs}
            done = set()
            for name in self._derived:
                layer = name.rpartition(".")[0]
                if layer not in of:
                    self.body.module.get_parameter(name).copy_(module.get_parameter(name))
                elif layer not in done:
                    self._refold(module, of[layer])
                    done.add(layer)

    def _refold(self, module: nn.Module, pair: Pair) -> None:
        weight, bias = folded(module.get_submodule(pair.layer), module.get_submodule(pair.norm))
        layer = self.body.module.get_submodule(pair.layer)
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)

    @staticmethod
    def _lay_out(module: nn.Module) -> None:
        """Copy kernels to channels-last memory unless they already are (as 1x1 kernels are)."""
        for part in module.modules():
            for name, value in part.named_parameters(recurse=False):
                if value.ndim == 4 and not value.is_contiguous(memory_format=torch.channels_last):
                    other = value.detach().contiguous(memory_format=torch.channels_last)
                    setattr(part, name, nn.Parameter(other, requires_grad=False))


class Originals:
    """The tensors that an inference copy was built from, monitored for changes."""

    def __init__(self, module: nn.Module):
        self._modules = list(module.modules())
        self._tensors = self._now()
        self._places = [(t.data_ptr(), t.dtype, t.device) for t in self._tensors]
        self._versions = _versions(self._tensors)

    def replaced(self) -> bool:
        """Whether a tensor was replaced by another object or moved to other memory."""
        now = self._now()
        return len(now) != len(self._tensors) or any(
            a is not b or (a.data_ptr(), a.dtype, a.device) != place
            for a, b, place in zip(now, self._tensors, self._places)
        )

    def changed(self) -> bool:
        """Whether a tensor was modified in place since the last call."""
        before, self._versions = self._versions, _versions(self._tensors)
        return before != self._versions

    def hooked(self) -> bool:
        """Whether any submodule has forward hooks."""
        return any(part._forward_hooks or part._forward_pre_hooks for part in self._modules)

    def _now(self) -> list[Tensor]:
        return [
            value
            for part in self._modules
            for held in (part._parameters, part._buffers)
            for value in held.values()
            if value is not None
        ]


def require_equal(wanted: Sequence[Tensor], found: Sequence[Tensor], switch: str, where: str, in_16_bit: bool) -> None:
    """Raise unless an option leaves the features unchanged within the tolerance.

    Args:
        wanted, found: features without and with the option, one (N, C, H, W) per stride.
        switch: name of the option, for the message.
        where: name of the architecture.
        in_16_bit: whether they were computed in bfloat16 or float16.

    Raises:
        InputError: the number of features or a shape differs, or a value differs by more than the tolerance.
    """
    tolerance = TOLERANCE_16_BIT if in_16_bit else TOLERANCE
    shapes = [[tuple(feature.shape) for feature in features] for features in (wanted, found)]
    largest = max(map(relative_difference, wanted, found)) if shapes[0] == shapes[1] else None
    if largest is None or largest > tolerance:
        how = (
            f"the shapes {shapes[1]} instead of {shapes[0]}"
            if largest is None
            else f"features that differ by {largest:.1e} of the largest (tolerance {tolerance:.0e})"
        )
        raise InputError(
            f"expected the features of {where} with model.backbone.forward.{switch}, got {how}. Leave "
            f"{switch} out for this backbone."
        )


def relative_difference(wanted: Tensor, found: Tensor) -> float:
    """Largest absolute difference of two tensors of equal shape, divided by the largest magnitude of `wanted`."""
    if not wanted.numel():
        return 0.0
    wanted, found = float64_of(wanted), float64_of(found)
    return ((found - wanted).abs().max() / wanted.abs().max().clamp_min(torch.finfo(torch.float64).tiny)).item()


def _versions(tensors: list[Tensor]) -> list[int]:
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _sharing_copy(module: nn.Module) -> nn.Module:
    """A copy of the modules in eval mode that shares all tensors."""
    other = copy.deepcopy(module, {id(tensor): tensor for tensor in _tensors(module)})
    other.eval()  # mmdet's own `train` returns nothing
    return other
