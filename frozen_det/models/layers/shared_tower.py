"""Convolutions shared by all pyramid levels, with separate norms per level, as in the authors' dense heads."""

import torch
from torch import nn

from .conv_norm_act import apply_norm, build_activation, build_conv, build_norm


class SharedTower(nn.Module):
    """``num_convs`` times: 3x3 convolution (shared by all levels) -> norm of the level -> activation.

    Activation statistics differ between levels, so each level has its own norms. Kernels are initialised from
    N(0, 0.01), separable ones with He fan-out.

    Args:
        in_channels, channels: channels of the input and of every convolution.
        num_convs: number of convolutions.
        num_levels: number of pyramid levels.
        norm_cfg, act_cfg: configs as in mmcv; None for no such layer.
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

    def forward(self, x: torch.Tensor, level: int) -> torch.Tensor:  # (N, C_in, H, W), index of the level from 0
        for conv, norm in zip(self.convs, self.norms[level]):
            x = self.act(apply_norm(norm, conv(x)))
        return x  # (N, C, H, W)
