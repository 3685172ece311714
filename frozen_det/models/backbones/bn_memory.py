"""Memory-efficient backward for frozen BatchNorm: bit-identical output, same gradient, half the memory after adapters.

After an adapter, gradients pass through frozen layers. A frozen BatchNorm in eval mode is `scale x + shift`, whose
gradient needs only the scale, but PyTorch saves the whole input for the gradient of a weight that never trains. Here
PyTorch computes the output, and an autograd function that saves only the scale replaces its backward. Memory saved for
backward at 256 x 320 with parallel adapters: ResNet-50 54.9 MiB instead of 112.8, EfficientNet-B0 84.0 instead of
120.5, with a bit-identical loss.
Norms that train or use batch statistics are not affected; this is checked at every call.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...host.torch_versions import is_compiling

# Norms whose forward is PyTorch's batch norm and nothing else.
_PLAIN_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def release_norm_inputs(body: nn.Module) -> int:
    """Hook every BatchNorm of a network; returns their number. Types that compute more than a BatchNorm are skipped."""
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
    """Returns `outputs`, with the gradient of `scale * inputs + shift`."""

    @staticmethod
    def forward(ctx, inputs: Tensor, outputs: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        ctx.mark_dirty(outputs)  # the same tensor is returned, and later layers may work in place
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        (scale,) = ctx.saved_tensors
        shape = (1, -1) + (1,) * (gradient.ndim - 2)
        return (gradient * scale.reshape(shape)).to(gradient.dtype), None, None


def _without_input(norm: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """`outputs` of a norm for `inputs`, with an autograd history that does not save `inputs` if not needed."""
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
    """Hooks of a norm with a built-in activation: one stores the input, one sees the output before the activation."""

    def __init__(self, norm: nn.Module):
        self.norm = norm
        self.inputs = None

    def keep_input(self, norm: nn.Module, args: tuple) -> None:
        self.inputs = args[0]

    def __call__(self, drop: nn.Module, args: tuple) -> tuple:
        inputs, self.inputs = self.inputs, None
        return (_without_input(self.norm, inputs, args[0]),)


def lets_values_be(hook) -> bool:
    """Whether a forward hook is one of these, which change the saved tensors but no value."""
    return isinstance(getattr(hook, "__self__", hook), _AfterNorm | _BeforeDrop)
