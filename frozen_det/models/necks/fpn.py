"""The FPN of the authors' baseline: mmdet's FPN with a norm on every output and the authors' extra levels.

Source: official/vision/modeling/decoders/fpn.py of tensorflow/models. Differences to mmdet's FPN: batch norm on every
output map, none on the laterals; extra levels are stride-2 convolutions on the last output before its norm, with an
activation before all of them but the first; stride-2 padding is TensorFlow's 'same'; biases are kept.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from ...errors import InputError
from ...ops.pyramid import doubled_strides, pad_same, upsample_to
from ...registry import MODELS
from ..layers.conv_norm_act import AUTHORS_NORM, SWISH, apply_norm, build_activation, build_norm, keras_default_init_


@MODELS.register_module()
class FPN(BaseModule):
    """1x1 laterals, top-down sum with nearest upsampling, 3x3 convolution per level, extra levels, norm per level.

    Any input size is accepted: maps are upsampled to the size of the next finer one.

    Args:
        in_channels: channels of every backbone map, finest first.
        out_channels: channels of every output map.
        num_outs: output maps; those beyond the backbone's come from stride-2 convolutions.
        start_level: index of the first map used (0 with strides (4, 8, 16, 32) gives the authors' levels 2-6).
        act_cfg: activation before the extra levels but the first (authors: Swish; ReLU in their RetinaNet).
        norm_cfg: norm of every output; None leaves it out.
        init_cfg: mmengine's; None keeps Keras' VarianceScaling default (fan-in, truncated normal), biases zero.

    Raises:
        InputError: start_level or num_outs does not fit the number of maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_outs: int = 5,
        start_level: int = 0,
        act_cfg: dict = SWISH,
        norm_cfg: dict | None = AUTHORS_NORM,
        init_cfg=None,
    ):
        super().__init__(init_cfg=init_cfg)
        used = list(in_channels)[start_level:]
        if not used or num_outs < len(used):
            raise InputError(
                f"expected a start_level that leaves at least one map and at most num_outs={num_outs} "
                f"of them, got start_level={start_level} of {len(in_channels)} maps, in model.neck of "
                "type frozen_det.FPN. Raise num_outs or start_level."
            )
        self.in_channels, self.out_channels = list(in_channels), out_channels
        self.start_level, self.num_outs = start_level, num_outs
        self.laterals = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in used)
        self.outputs = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in used)
        self.extras = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, stride=2) for _ in range(num_outs - len(used))
        )
        self.act = build_activation(act_cfg)
        self.norms = nn.ModuleList(build_norm(norm_cfg, out_channels) for _ in range(num_outs))
        for conv in [*self.laterals, *self.outputs, *self.extras]:
            keras_default_init_(conv)

    def out_strides(self, in_strides: Sequence[int]) -> list[int]:
        """Strides of the output maps for a backbone whose maps have ``in_strides`` (finest first)."""
        return doubled_strides(list(in_strides)[self.start_level :], self.num_outs)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """``num_outs`` maps (N, out_channels, H_l, W_l) from the backbone's maps (N, C_l, H_l, W_l), finest first."""
        merged = [lateral(x) for lateral, x in zip(self.laterals, inputs[self.start_level :], strict=True)]
        for i in range(len(merged) - 1, 0, -1):
            merged[i - 1] = merged[i - 1] + upsample_to(merged[i], merged[i - 1].shape[-2:])
        maps = [conv(x) for conv, x in zip(self.outputs, merged)]
        for i, conv in enumerate(self.extras):
            x = self.act(maps[-1]) if i else maps[-1]
            maps.append(conv(pad_same(x, 3, 2)))
        return tuple(apply_norm(norm, x) for norm, x in zip(self.norms, maps))  # num_outs x (N, C, H_l, W_l)
