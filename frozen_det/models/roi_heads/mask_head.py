"""The authors' mask head: a norm after every convolution including the transposed one, biases kept.

Source: `MaskrcnnHead` in modeling/architecture/heads.py of the detection code of tensorflow/tpu (the same layers in
official/vision/modeling/heads/instance_heads.py of tensorflow/models). mmdet's FCNMaskHead has no norm after its
transposed convolution.
"""

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead as HostFCNMaskHead
from torch import nn

from ...registry import MODELS
from ..layers.conv_norm_act import AUTHORS_NORM, RELU, ConvNormAct, apply_norm, build_activation, build_norm


@MODELS.register_module()
class FCNMaskHead(HostFCNMaskHead):
    """mmdet's FCNMaskHead with the authors' layers: (R, C, 14, 14) -> (R, classes, 28, 28) logits.

    Args:
        norm_cfg, act_cfg: after each of the ``num_convs`` convolutions and after the transposed one.
        kwargs: as in mmdet's FCNMaskHead.
    """

    def __init__(self, norm_cfg: dict | None = AUTHORS_NORM, act_cfg: dict = RELU, **kwargs):
        super().__init__(norm_cfg=None, **kwargs)
        self.convs = nn.ModuleList(
            ConvNormAct(
                self.in_channels if i == 0 else self.conv_out_channels,
                self.conv_out_channels,
                self.conv_kernel_size,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
            )
            for i in range(self.num_convs)
        )
        if self.upsample_method == "deconv":
            self.relu = _NormAct(self.upsample.out_channels, norm_cfg, act_cfg)  # what mmdet runs after it


class _NormAct(nn.Module):
    def __init__(self, channels: int, norm_cfg: dict | None, act_cfg: dict):
        super().__init__()
        self.norm, self.act = build_norm(norm_cfg, channels), build_activation(act_cfg)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (R, C, H, W)
        return self.act(apply_norm(self.norm, x))
