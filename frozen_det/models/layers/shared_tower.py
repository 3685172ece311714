"""Convolutions shared by all pyramid levels, a norm per level: the trunk of the authors' dense heads."""

import torch
from torch import nn

from .conv_norm_act import apply_norm, build_activation, build_conv, build_norm


class SharedTower(nn.Module):
    """``num_convs`` times: 3x3 convolution (one for all levels, bias kept) -> norm of the level -> activation.

    Levels differ in statistics, so a shared batch norm would average them away. N(0, 0.01) initial kernels.

    Args:
        in_channels, channels: channels of the input and of every convolution.
        num_convs: convolutions.
        num_levels: pyramid levels, each with its own norms.
        norm_cfg, act_cfg: None leaves the layer out.
        separable: depthwise-separable convolutions.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_convs: int,
        num_levels: int,
        norm_cfg: dict | None,
        act_cfg: dict | None,
        separable: bool = False,
    ):
        super().__init__()
        self.convs = nn.ModuleList(
            build_conv(
                in_channels if i == 0 else channels, channels, 3, separable=separable, std=None if separable else 0.01
            )
            for i in range(num_convs)
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(build_norm(norm_cfg, channels) for _ in range(num_convs)) for _ in range(num_levels)
        )
        self.act = build_activation(act_cfg)

    def forward(self, x: torch.Tensor, level: int) -> torch.Tensor:  # (N, C_in, H, W)
        for conv, norm in zip(self.convs, self.norms[level]):
            x = self.act(apply_norm(norm, conv(x)))
        return x  # (N, C, H, W)
