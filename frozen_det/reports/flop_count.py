"""FLOPs of what runs on meta tensors, a multiply-add as two operations, as a count by hand gives them.

torch's own counter takes the weight gradient of a grouped convolution for a dense one, which makes a depthwise
layer's backward pass dearer by its number of channels, and passes over deformable convolutions. Both are counted here:
each gradient of a convolution (by input, by weight) takes as many multiply-adds as its forward pass. Biases, norms,
activations, interpolation and losses are left out. On real CPU tensors fused attention would go uncounted; on meta
tensors it is its matrix products.
"""

from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode


def flop_counter() -> FlopCounterMode:
    """A counter to be entered; ``get_total_flops()`` is its count."""
    import torchvision  # noqa: F401  registers its deformable convolution

    return FlopCounterMode(
        display=False,
        custom_mapping={
            torch.ops.aten.convolution_backward: _convolution_backward,
            torch.ops.torchvision.deform_conv2d: _deformable,
            torch.ops.torchvision._deform_conv2d_backward: _deformable_backward,
        },
    )


def _multiply_adds(positions, weight_shape, batch: int) -> int:
    """Every weight is used once at every position of every image; a grouped weight has only its group's channels."""
    return batch * prod(positions) * prod(weight_shape)


def _convolution_backward(
    grad_shape,
    x_shape,
    w_shape,
    _bias,
    _stride,
    _padding,
    _dilation,
    transposed,
    _out_padding,
    _groups,
    output_mask,
    out_shape=None,
    **_,
) -> int:
    """The positions of a transposed convolution are those of its input, of any other those of its output."""
    positions = x_shape[2:] if transposed else grad_shape[2:]
    return 2 * sum(output_mask[:2]) * _multiply_adds(positions, w_shape, x_shape[0])


def _deformable(x_shape, w_shape, *_, out_shape=None, **__) -> int:
    return 2 * _multiply_adds(out_shape[2:], w_shape, x_shape[0])


def _deformable_backward(grad_shape, x_shape, w_shape, *_, **__) -> int:
    """torchvision computes the gradients by columns and by weight, whatever is asked for."""
    return 2 * 2 * _multiply_adds(grad_shape[2:], w_shape, x_shape[0])
