"""One or two convolutions instead of a pyramid: the paper's ablation of the decoder that a frozen backbone needs.

The paper replaces the FPN by one or two convolutions and reports the trend only (from one to two, scratch falls,
fine-tuned and frozen rise). The exact architecture is not published. Here every backbone map has its own stack of
convolutions, maps are not fused, and further levels are max-pools (no parameters). So capacity depends only on the
number of convolutions, and the neck works in every detector with a pyramid. With a single map and ``num_outs=1`` it is
a single-stride neck.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from ...errors import InputError
from ...ops.pyramid import doubled_strides, halve
from ...registry import MODELS
from ..layers.conv_norm_act import AUTHORS_NORM, SWISH, ConvNormAct


@MODELS.register_module()
class ConvNeck(BaseModule):
    """Per map: ``num_convs`` 3x3 convolutions with norm, activation between them and none after the last.

    Args:
        in_channels: channels of every backbone map, finest first.
        out_channels: channels of every output map.
        num_convs: convolutions per map, at least 1 (the paper: 1 and 2).
        num_outs: number of output maps; None for the number of maps used. Further ones are 2x2 max-pools of the last.
        start_level: index of the first map used.
        kernel_size: of every convolution, odd.
        act_cfg, norm_cfg: between and after the convolutions; None leaves them out.
        init_cfg: mmengine's; None keeps He fan-out, biases zero.

    Raises:
        InputError: num_convs below 1, or start_level or num_outs do not fit the number of maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_convs: int = 1,
        num_outs: int | None = None,
        start_level: int = 0,
        kernel_size: int = 3,
        act_cfg: dict | None = SWISH,
        norm_cfg: dict | None = AUTHORS_NORM,
        init_cfg=None,
    ):
        super().__init__(init_cfg=init_cfg)
        used = list(in_channels)[start_level:]
        num_outs = len(used) if num_outs is None else num_outs
        if num_convs < 1 or not used or num_outs < len(used):
            raise InputError(
                "expected num_convs of 1 or more and a start_level that leaves at least one map and at "
                f"most num_outs, got num_convs={num_convs}, num_outs={num_outs}, "
                f"start_level={start_level} of {len(in_channels)} maps, in model.neck of type "
                "frozen_det.ConvNeck. Correct that key."
            )
        self.in_channels, self.out_channels = list(in_channels), out_channels
        self.start_level, self.num_outs = start_level, num_outs
        self.stacks = nn.ModuleList(
            nn.Sequential(
                *(
                    ConvNormAct(
                        width if i == 0 else out_channels,
                        out_channels,
                        kernel_size,
                        norm_cfg=norm_cfg,
                        act_cfg=act_cfg if i < num_convs - 1 else None,
                    )
                    for i in range(num_convs)
                )
            )
            for width in used
        )

    def out_strides(self, in_strides: Sequence[int]) -> list[int]:
        """Strides of the output maps for a backbone whose maps have ``in_strides`` (finest first)."""
        return doubled_strides(list(in_strides)[self.start_level :], self.num_outs)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """``num_outs`` maps (N, out_channels, H_l, W_l) from the backbone's maps (N, C_l, H_l, W_l), finest first."""
        maps = [stack(x) for stack, x in zip(self.stacks, inputs[self.start_level :], strict=True)]
        while len(maps) < self.num_outs:
            maps.append(halve(maps[-1]))
        return tuple(maps)  # num_outs x (N, C, H_l, W_l)
