"""Memory-efficient backward for frozen BatchNorm: same bits forward, same gradient, half the memory behind adapters.

Behind an adapter, gradients pass through frozen layers. A frozen BatchNorm in evaluation is `scale x + shift`, whose
gradient needs the scale alone, but the framework's BatchNorm keeps its whole input for a weight that never trains.
Here the framework computes the output, and a node that keeps only the scale stands in for its history. Measured at
256 x 320 with parallel adapters, kept for the backward pass: ResNet-50 112.8 MiB become 54.9, EfficientNet-B0 120.5
become 84.0, the loss bit for bit the same.
Norms that train, or run on batch statistics, are left alone, at every call anew.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...host.torch_versions import is_compiling

# Norms whose forward is the framework's batch norm and nothing else.
_PLAIN_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def release_norm_inputs(body: nn.Module) -> int:
    """Hook every BatchNorm of a body; returns how many. Types that compute more than a BatchNorm are not touched."""
    count = 0
    for module in body.modules():
        if type(module) in _PLAIN_NORMS:
            module.register_forward_hook(_AfterNorm())
            count += 1
        elif _is_norm_then_activation(module):
            # timm runs batch norm, `drop` and `act` in one module: the norm's output is `drop`'s input.
            between = _BeforeDrop(module)
            module.register_forward_pre_hook(between.keep_input)
            module.drop.register_forward_pre_hook(between)
            count += 1
    return count


def _is_norm_then_activation(module: nn.Module) -> bool:
    return (
        type(module).__name__ == "BatchNormAct2d"
        and isinstance(module, nn.BatchNorm2d)
        and isinstance(getattr(module, "drop", None), nn.Module)
    )


class _ScaleGradient(torch.autograd.Function):
    """Passes `outputs` on as if they were `scale * inputs + shift`."""

    @staticmethod
    def forward(ctx, inputs: Tensor, outputs: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        ctx.mark_dirty(outputs)  # the same tensor comes out, and layers behind it may work in place
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        (scale,) = ctx.saved_tensors
        shape = (1, -1) + (1,) * (gradient.ndim - 2)
        return (gradient * scale.reshape(shape)).to(gradient.dtype), None, None


def _without_input(norm: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """`outputs` of a norm for `inputs`, with a history that does not keep `inputs` where none of it is needed."""
    if norm.training or not outputs.requires_grad or not inputs.requires_grad or is_compiling():
        return outputs
    if norm.running_var is None or any(parameter.requires_grad for parameter in norm.parameters(recurse=False)):
        return outputs
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    return _ScaleGradient.apply(inputs, outputs.data, scale)


class _AfterNorm:
    """Forward hook of a plain norm."""

    def __call__(self, norm: nn.Module, args: tuple, outputs: Tensor) -> Tensor:
        return _without_input(norm, args[0], outputs)


class _BeforeDrop:
    """Hooks of a norm with an activation inside: one takes its input, the other its output before the activation."""

    def __init__(self, norm: nn.Module):
        self.norm = norm
        self.inputs = None

    def keep_input(self, norm: nn.Module, args: tuple) -> None:
        self.inputs = args[0]

    def __call__(self, drop: nn.Module, args: tuple) -> tuple:
        inputs, self.inputs = self.inputs, None
        return (_without_input(self.norm, inputs, args[0]),)


def lets_values_be(hook) -> bool:
    """Whether a forward hook is one of these: they change what is kept for the backward pass, and no value."""
    return isinstance(getattr(hook, "__self__", hook), _AfterNorm | _BeforeDrop)
