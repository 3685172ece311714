"""How every stand-in computes: in float32 or float64, outside autocast, with gradients from autograd where asked.

mmcv's compiled operators know nothing of autocast and compute in the dtype they are handed. The stand-ins take any
floating dtype, never compute in less than float32 (a box coordinate in bfloat16 is good to one part in 256), and
write the result in the dtype of the tensor that mmcv prepared for it.
"""

import functools


def wide(tensor):
    """The tensor itself if it is float32 or float64, its float32 copy if it is a shorter floating type."""
    import torch

    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def outside_autocast(operator):
    """The operator with autocast switched off while it runs, on the device of its first tensor.

    Meta tensors pass, so that a network can be described without memory: autocast knows no such device.
    """

    @functools.wraps(operator)
    def run(*args, **kwargs):
        import torch

        device = args[0].device.type
        if device == "meta":
            return operator(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return operator(*args, **kwargs)

    return run


def gradients(function, inputs, grad_output):
    """The gradients of ``(function(*inputs) * grad_output).sum()`` with respect to each of ``inputs``, by autograd.

    ``inputs`` are floating tensors of any dtype; they are computed with, and their gradients returned, in `wide` types.
    """
    import torch

    with torch.enable_grad():
        leaves = [wide(tensor.detach()).requires_grad_() for tensor in inputs]
        output = function(*leaves)
    return torch.autograd.grad(output, leaves, wide(grad_output).to(output.dtype))
