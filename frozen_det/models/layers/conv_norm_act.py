"""Layers of the authors' decoders: convolution or linear layer, norm, activation, with the bias kept under a norm.

mmcv's ConvModule drops the bias where a norm follows; the authors' Keras layers keep it (it is redundant, but it
is counted in the paper's Table 3). Initialisation is He, fan-out, as in the authors' decoders.
"""

import math

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import nn

from ...errors import InputError

AUTHORS_NORM = dict(type="BN", eps=1e-4, momentum=0.003)
"""Norm of the authors' two-stage decoders: eps 1e-4 and momentum 0.997 in TensorFlow's sense."""

SWISH = dict(type="Swish")
RELU = dict(type="ReLU")


def build_activation(act_cfg: dict | None) -> nn.Module:
    """The activation of ``act_cfg`` (``dict(type='ReLU' | 'Swish' | ...)``), never in place; None gives identity.

    'Swish' becomes ``nn.SiLU``: the same function in one kernel that keeps one tensor for backward, not two.
    """
    if act_cfg is None:
        return nn.Identity()
    if act_cfg.get("type") in ("Swish", "SiLU"):
        return nn.SiLU()
    return build_activation_layer({"inplace": False, **act_cfg} if act_cfg["type"] == "ReLU" else act_cfg)


def build_norm(norm_cfg: dict | None, num_features: int, one_dimensional: bool = False) -> nn.Module:
    """The norm layer of ``norm_cfg`` over ``num_features`` channels; None gives identity.

    Args:
        norm_cfg: as mmcv has it: type BN, SyncBN, GN (with num_groups), LN2d, ...
        num_features: channels.
        one_dimensional: the input is (N, C): a batch norm becomes its 1d kind, other types stay.

    Raises:
        InputError: the groups of GN do not divide the channels.
    """
    if norm_cfg is None:
        return nn.Identity()
    norm_cfg = dict(norm_cfg)
    groups = norm_cfg.get("num_groups")
    if groups is not None and num_features % groups:
        raise InputError(
            f"expected norm_cfg.num_groups to divide the channels, got num_groups={groups} for "
            f"{num_features} channels, in a neck's or head's norm_cfg. Choose a divisor."
        )
    if one_dimensional and norm_cfg["type"] in ("BN", "BN2d"):
        norm_cfg["type"] = "BN1d"
    return build_norm_layer(norm_cfg, num_features)[1]


def he_normal_(weight: torch.Tensor, fan_out: int) -> None:
    """Fill ``weight`` with N(0, sqrt(2 / fan_out)): Keras VarianceScaling(2, 'fan_out', 'untruncated_normal')."""
    nn.init.normal_(weight, 0.0, math.sqrt(2.0 / fan_out))


def keras_default_init_(layer: nn.Conv2d) -> None:
    """Fill the kernel as Keras' ``VarianceScaling()`` does, the bias with zero.

    Normal of variance 1 / fan_in after truncation at two standard deviations, which the divisor makes up for.
    """
    fan_in = layer.weight[0].numel()
    std = math.sqrt(1.0 / fan_in) / 0.87962566103423978
    nn.init.trunc_normal_(layer.weight, 0.0, std, -2 * std, 2 * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def build_conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    separable: bool = False,
    bias: bool = True,
    std: float | None = None,
) -> nn.Module:
    """A stride-1 convolution that keeps the size, He fan-out initialised (or N(0, std)), bias zero.

    ``separable`` gives a depthwise convolution without bias and then a 1x1 one with the bias. The fan-out of the
    depthwise kernel counts one output channel, as Keras counts it (PyTorch's own counts all of them).
    """
    if separable:
        depthwise = nn.Conv2d(in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False)
        he_normal_(depthwise.weight, kernel * kernel)
        pointwise = build_conv(in_channels, out_channels, 1, bias=bias, std=std)
        return nn.Sequential(depthwise, pointwise)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)
    if std is None:
        he_normal_(conv.weight, kernel * kernel * out_channels)
    else:
        nn.init.normal_(conv.weight, 0.0, std)
    if bias:
        nn.init.zeros_(conv.bias)
    return conv


def apply_norm(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """``norm(x)`` for x (N, C) or (N, C, H, W), also where a batch norm in training has no statistics to take.

    No region (N = 0) or a single row (1, C) is normalised by the running statistics, which stay as they are.
    SyncBN is applied as it is: its statistics are those of all processes.

    Raises:
        InputError: a batch norm in training over a 1x1 map at batch 1: the image is too small for the pyramid.
    """
    batch_norm = isinstance(norm, nn.modules.batchnorm._BatchNorm) and not isinstance(norm, nn.SyncBatchNorm)
    if not batch_norm or not norm.training or x.numel() > norm.num_features:
        return norm(x)
    if x.dim() == 4 and len(x):
        raise InputError(
            "expected more than one value per channel under a batch norm in training, got a 1x1 map "
            "at batch 1, in the coarsest level of a neck or dense head. Use larger images "
            "(data_preprocessor.pad_size_divisor), a batch of 2 or more, or norm_cfg type GN."
        )
    return nn.functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
    )


class ConvNormAct(nn.Module):
    """conv (bias kept) -> norm -> activation: (N, C_in, H, W) -> (N, C_out, H, W).

    Args:
        in_channels, out_channels: channels.
        kernel: odd kernel size; the size of the map is kept.
        norm_cfg, act_cfg: as mmcv has them; None leaves the layer out.
        separable: depthwise and 1x1 in place of the full convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        separable: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        self.conv = build_conv(in_channels, out_channels, kernel, separable=separable, bias=bias)
        self.norm = build_norm(norm_cfg, out_channels)
        self.act = build_activation(act_cfg)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C_in, H, W)
        return self.norm_act(self.conv(x))  # (N, C_out, H, W)

    def norm_act(self, x: torch.Tensor) -> torch.Tensor:
        """What follows the convolution, (N, C_out, H, W) -> the same."""
        return self.act(apply_norm(self.norm, x))


class LinearNormAct(nn.Linear):
    """linear (bias kept) -> norm -> activation: (N, C_in) -> (N, C_out). The linear layer keeps its own keys."""

    def __init__(self, in_features: int, out_features: int, norm_cfg: dict | None = None, act_cfg: dict | None = None):
        super().__init__(in_features, out_features)
        self.norm = build_norm(norm_cfg, out_features, one_dimensional=True)
        self.act = build_activation(act_cfg)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C_in)
        return self.act(apply_norm(self.norm, super().forward(x)))  # (N, C_out)
