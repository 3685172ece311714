"""An inference copy of a frozen backbone: the same function, sharing every tensor that need not differ.

It follows the body: :class:`Originals` tells when tensors were written to (the copy is refreshed) or replaced (it must
be built anew). Writing through ``tensor.data`` is seen by neither, as by nothing else in PyTorch that counts versions.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..backbone_sources.build import Body
from .bn_folding import Pair, foldable, folded, put_folded

# Largest difference that folding or compiling may make, of the largest magnitude of a feature.
TOLERANCE = 1e-3
# The same where 16 bits are computed in, or stored.
TOLERANCE_16_BIT = 5e-2


class InferenceCopy:
    """Built from a body in eval mode, on the body's device.

    Args:
        body: not changed.
        fold_norms: fold BatchNorms into the layers before them.
        channels_last: lay the kernels out in channels-last memory.

    Attributes:
        body: the copy.
        num_folded: norms folded.
        bytes: memory of the copy that it does not share with the body.
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
        """Compute the copy's own tensors again from the body's, into the same memory."""
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
        """Kernels that are not in channels-last memory already (1x1 kernels are) get copies that are."""
        for part in module.modules():
            for name, value in part.named_parameters(recurse=False):
                if value.ndim == 4 and not value.is_contiguous(memory_format=torch.channels_last):
                    other = value.detach().contiguous(memory_format=torch.channels_last)
                    setattr(part, name, nn.Parameter(other, requires_grad=False))


class Originals:
    """The tensors that an inference copy was made from, watched."""

    def __init__(self, module: nn.Module):
        self._modules = list(module.modules())
        self._tensors = self._now()
        self._places = [(t.data_ptr(), t.dtype, t.device) for t in self._tensors]
        self._versions = _versions(self._tensors)

    def replaced(self) -> bool:
        """Whether a tensor is another one now, or lies elsewhere."""
        now = self._now()
        return len(now) != len(self._tensors) or any(
            a is not b or (a.data_ptr(), a.dtype, a.device) != place
            for a, b, place in zip(now, self._tensors, self._places)
        )

    def changed(self) -> bool:
        """Whether a tensor was written to since the last time this said so."""
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
    """Raise unless a switch gives the features that the body gives.

    Args:
        wanted, found: one (N, C, H, W) per stride.
        switch: its name, for the message.
        where: the body's name.
        in_16_bit: whether they were computed in bfloat16 or float16.

    Raises:
        InputError: another number of features, another shape, or a difference beyond the tolerance.
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
            f"{switch} out for this body."
        )


def relative_difference(wanted: Tensor, found: Tensor) -> float:
    """Largest absolute difference of two tensors of one shape, over the largest magnitude of `wanted`."""
    if not wanted.numel():
        return 0.0
    wanted, found = wanted.double(), found.double()
    return ((found - wanted).abs().max() / wanted.abs().max().clamp_min(torch.finfo(torch.float64).tiny)).item()


def _versions(tensors: list[Tensor]) -> list[int]:
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _sharing_copy(module: nn.Module) -> nn.Module:
    """A copy of the modules, in eval mode, on the same tensors."""
    other = copy.deepcopy(module, {id(tensor): tensor for tensor in _tensors(module)})
    other.eval()  # mmdet's own `train` returns nothing
    return other
