"""Arithmetic of feature pyramids: resampling between levels as the authors do it, and the gate of NAS-FPN.

Everything is a pure function of (N, C, H, W) tensors. Level l has half the height and width of level l - 1.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) zeros that TensorFlow's 'same' padding adds along one side of ``size`` cells.

    The output has ceil(size / stride) cells. An odd total puts the extra cell behind, so a stride-2 3x3 convolution
    over an even size gets (0, 1), where PyTorch's ``padding=1`` means (1, 1) and a grid shifted by one cell.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """``x`` (N, C, H, W) with the zeros of :func:`same_padding` on both axes, for a convolution without padding."""
    top, bottom = same_padding(x.shape[-2], kernel, stride)
    left, right = same_padding(x.shape[-1], kernel, stride)
    return F.pad(x, (left, right, top, bottom)) if top or bottom or left or right else x


def resample(x: torch.Tensor, level: int, target_level: int) -> torch.Tensor:
    """``x`` (N, C, H, W) of ``level`` brought to ``target_level``: max-pool down, nearest neighbour up.

    Down by k levels is a max-pool of kernel and stride 2**k (H and W must be multiples of it), up by k levels
    repeats every cell 2**k times along both axes. The same level gives ``x`` itself.
    """
    if level == target_level:
        return x
    if level < target_level:
        scale = 2 ** (target_level - level)
        assert x.shape[-2] % scale == 0 and x.shape[-1] % scale == 0, (tuple(x.shape), level, target_level)
        return F.max_pool2d(x, scale, scale)
    return F.interpolate(x, scale_factor=float(2 ** (level - target_level)), mode="nearest")


def maximum_gate(x: torch.Tensor) -> torch.Tensor:
    """sigmoid of the largest value of each channel: (N, C, H, W) -> (N, C, 1, 1), values in (0, 1).

    Nearest-neighbour upsampling changes neither the value nor, in sum, the gradient, so it may be taken before.
    """
    return x.amax(dim=(-2, -1), keepdim=True).sigmoid()


def upsample_to(x: torch.Tensor, size_hw: Sequence[int]) -> torch.Tensor:
    """``x`` (N, C, h, w) by nearest neighbour at ``size_hw`` (H, W): every cell twice where H = 2h, W = 2w."""
    return F.interpolate(x, size=tuple(size_hw), mode="nearest")


def halve(x: torch.Tensor) -> torch.Tensor:
    """2x2 max-pool of stride 2 with 'same' padding: (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2))."""
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def doubled_strides(in_strides: Sequence[int], num_outs: int) -> list[int]:
    """Strides of ``num_outs`` maps that start as ``in_strides`` and then double from map to map.

    Raises:
        ValueError: fewer outputs than inputs, or no input.
    """
    strides = list(in_strides)
    if not strides or num_outs < len(strides):
        raise ValueError(f"num_outs={num_outs} for input strides {strides}")
    while len(strides) < num_outs:
        strides.append(2 * strides[-1])
    return strides
