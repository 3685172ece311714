"""Merge linear branches into the weights of the layers they are added to: exact algebra on float64, no other dtype.

Every function takes and returns float64 tensors and changes none of its arguments. A 1x1 branch parallel to a k x k
convolution is added to the centre element of the kernel (Rebuffi et al., CVPR 2018, section 3.2: "parallel adapters");
a 1x1 layer after it is a matrix product, as is a low-rank branch (Hu et al., LoRA, ICLR 2022, section 4.1).
"""

import torch
from torch import Tensor


def fold_parallel(weight: Tensor, pointwise: Tensor) -> Tensor:
    """Weight of `x -> weight * x + pointwise * x`, where the 1x1 branch is aligned with the kernel's centre.

    Args:
        weight: (out, in / groups, k, k) with odd k, or (out, in) of a linear layer; float64.
        pointwise: (out, in / groups, 1, 1) of a branch with the same groups, or (out, in); float64.
    """
    _assert_float64(weight, pointwise)
    assert weight.shape[:2] == pointwise.shape[:2], (weight.shape, pointwise.shape)
    folded = weight.clone()
    if weight.ndim == 2:
        return folded.add_(pointwise)
    height, width = weight.shape[2:]
    assert height % 2 and width % 2, f"a kernel of {height} x {width} has no centre element"
    folded[:, :, height // 2, width // 2] += pointwise[:, :, 0, 0]
    return folded


def fold_series(
    weight: Tensor, bias: Tensor | None, mix: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Weight and additional bias of `z -> z + mix (scale z + shift)` after `z = weight * x + bias`.

    Args:
        weight: (out, in / groups, k, k) or (out, in); float64. Groups must be 1 unless `mix` is diagonal.
        bias: (out,) or None.
        mix: (out, out), the 1x1 layer.
        scale, shift: (out,) each, the per-channel affine map of a norm in between; None for no norm.

    Returns:
        The new weight, and the (out,) constant to add to `bias` (None for none).
    """
    _assert_float64(weight, mix)
    scaled = mix if scale is None else mix * scale  # (out, out): columns times scale
    folded = weight + torch.tensordot(scaled, weight, dims=1)
    gained = None
    if bias is not None:
        gained = scaled @ bias
    if shift is not None:
        gained = mix @ shift if gained is None else gained + mix @ shift
    return folded, gained


def fold_low_rank(weight: Tensor, down: Tensor, up: Tensor, scaling: float) -> Tensor:
    """Weight of `x -> weight x + scaling up (down x)`.

    Args:
        weight: (out, in) or (out, in, 1, 1); float64.
        down: (rank, in[, 1, 1]).
        up: (out, rank[, 1, 1]).
        scaling: alpha / rank.

    Returns:
        The shape of `weight`; float64.
    """
    _assert_float64(weight, down, up)
    return weight + scaling * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)


def norm_scale_shift(
    mean: Tensor, variance: Tensor, eps: float, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """BatchNorm in inference as `scale z + shift` per channel; all (C,) float64."""
    _assert_float64(mean, variance)
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    return scale, shift if bias is None else shift + bias


def _assert_float64(*tensors: Tensor) -> None:
    assert all(tensor.dtype == torch.float64 for tensor in tensors), [tensor.dtype for tensor in tensors]
