"""Convolution or linear layer, norm and activation as in the authors' decoders; a bias before a norm is kept.

mmcv's ConvModule drops the bias before a norm; the authors' Keras layers keep it (redundant, but counted in Table 3 of
arXiv 2204.00484). Weights are initialised with He fan-out, as in the authors' decoders.
"""

import math

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import nn

from ...errors import InputError

AUTHORS_NORM = dict(type="BN", eps=1e-4, momentum=0.003)
"""Norm of the authors' two-stage decoders: eps 1e-4 and momentum 0.997 in TensorFlow, which is 0.003 in PyTorch."""

SWISH = dict(type="Swish")
RELU = dict(type="ReLU")


def build_activation(act_cfg: dict | None) -> nn.Module:
    """Build the activation of ``act_cfg`` (``dict(type='ReLU' | 'Swish' | ...)``), never in place; None: identity.

    'Swish' becomes ``nn.SiLU``: the same function in one kernel, which stores one tensor for backward instead of two.
    """
    if act_cfg is None:
        return nn.Identity()
    if act_cfg.get("type") in ("Swish", "SiLU"):
        return nn.SiLU()
    return build_activation_layer({"inplace": False, **act_cfg} if act_cfg["type"] == "ReLU" else act_cfg)


def build_norm(norm_cfg: dict | None, num_features: int, one_dimensional: bool = False) -> nn.Module:
    """Build the norm layer of ``norm_cfg`` for ``num_features`` channels; None: identity.

    Args:
        norm_cfg: mmcv's norm config; type BN, SyncBN, GN (with num_groups), LN2d, ...
        num_features: number of channels.
        one_dimensional: the input is (N, C), so BN becomes BN1d; other types are unchanged.

    Raises:
        InputError: num_groups of GN does not divide the channels.
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
    """Initialise from N(0, sqrt(2 / fan_out)): Keras VarianceScaling(2, 'fan_out', 'untruncated_normal')."""
    nn.init.normal_(weight, 0.0, math.sqrt(2.0 / fan_out))


def keras_default_init_(layer: nn.Conv2d) -> None:
    """Initialise the kernel as Keras' ``VarianceScaling()`` does, and the bias with zero.

    A normal distribution truncated at two standard deviations, scaled to variance 1 / fan_in after truncation.
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
    """Build a convolution of stride 1 with padding ``kernel // 2`` and zero bias.

    Args:
        in_channels, out_channels: number of channels.
        kernel: odd kernel size.
        separable: a depthwise convolution without bias, then a 1x1 convolution. The fan-out of the depthwise kernel is
            that of one output channel, as in Keras (PyTorch uses all channels).
        bias: whether the (last) convolution has a bias.
        std: standard deviation of the initial weights; None is He fan-out, sqrt(2 / fan_out).
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
    """``norm(x)`` for x (N, C) or (N, C, H, W), also where a BatchNorm in train mode cannot compute statistics.

    For N = 0 and for a single row (1, C) the running statistics are used and not updated. SyncBN is applied
    unchanged: its statistics are those of all processes.

    Raises:
        InputError: a BatchNorm in train mode on a 1x1 map at batch size 1: the image is too small for the pyramid.
    """
    batch_norm = isinstance(norm, nn.modules.batchnorm._BatchNorm) and not isinstance(norm, nn.SyncBatchNorm)
    if not batch_norm or not norm.training or x.numel() > norm.num_features:
        return norm(x)
    if x.dim() == 4 and len(x):
        raise InputError(
            "expected more than one value per channel for a BatchNorm in train mode, got a 1x1 map "
            "at batch size 1, in the coarsest level of a neck or dense head. Use larger images "
            "(data_preprocessor.pad_size_divisor), a batch of 2 or more, or norm_cfg type GN."
        )
    return nn.functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
    )


class ConvNormAct(nn.Module):
    """Convolution -> norm -> activation: (N, C_in, H, W) -> (N, C_out, H, W).

    Args:
        in_channels, out_channels: number of channels.
        kernel: odd kernel size; padding keeps height and width.
        norm_cfg, act_cfg: configs as in mmcv; None for no such layer.
        separable: depthwise-separable convolution.
        bias: whether the convolution has a bias, also before a norm.

    Raises:
        InputError: see :func:`build_norm` and, in forward, :func:`apply_norm`.
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
        """Norm and activation, without the convolution: (N, C_out, H, W) -> the same shape."""
        return self.act(apply_norm(self.norm, x))


class LinearNormAct(nn.Linear):
    """Linear layer -> norm -> activation: (N, C_in) -> (N, C_out). State dict keys of the linear layer are nn.Linear's.

    Args:
        in_features, out_features: number of channels.
        norm_cfg, act_cfg: configs as in mmcv; None for no such layer. BN becomes BN1d.
    """

    def __init__(self, in_features: int, out_features: int, norm_cfg: dict | None = None, act_cfg: dict | None = None):
        super().__init__(in_features, out_features)
        self.norm = build_norm(norm_cfg, out_features, one_dimensional=True)
        self.act = build_activation(act_cfg)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C_in)
        return self.act(apply_norm(self.norm, super().forward(x)))  # (N, C_out)
