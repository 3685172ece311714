"""RoIAlign at the authors' sample positions, for regions of any size, also smaller than one cell.

Source: `multilevel_crop_and_resize` in official/vision/ops/spatial_transform_ops.py of tensorflow/models. Sample i of n
along a side lies at (start + (i + 0.5) * length / n) / stride in cells, cell 0 at coordinate 0. mmdet's RoIAlign with
`aligned=False` has the same positions but takes no region smaller than one cell (8 px at stride 8, of which large-scale
jitter makes many); with `aligned=True` it takes any, half a cell further up and left. Half a cell added to the
region gives the authors' positions from the latter.
"""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import nn

from ...errors import InputError
from ...registry import MODELS


@MODELS.register_module()
class RoIExtractor(SingleRoIExtractor):
    """mmdet's SingleRoIExtractor with the authors' sample positions.

    Args:
        roi_layer: ``dict(type='RoIAlign', output_size=7, sampling_ratio=1)``: one sample per bin as in the
            authors' code. `aligned` cannot be set.
        out_channels, featmap_strides, finest_scale: as in mmdet; set by `frozen_det.Detector`.

    Raises:
        InputError: a layer other than RoIAlign, or `aligned=False`.
    """

    def build_roi_layers(self, layer_cfg: dict, featmap_strides: list[int]) -> nn.ModuleList:
        if layer_cfg.get("type") != "RoIAlign" or not layer_cfg.get("aligned", True):
            raise InputError(
                f"expected roi_layer of type RoIAlign without `aligned`, got {dict(layer_cfg)}, in an "
                "extractor of type frozen_det.RoIExtractor. Use mmdet's SingleRoIExtractor for it."
            )
        layers = super().build_roi_layers({**layer_cfg, "aligned": True}, featmap_strides)
        return nn.ModuleList(_HalfCellOn(layer, stride) for layer, stride in zip(layers, featmap_strides))


class _HalfCellOn(nn.Module):
    """A RoIAlign whose regions are moved by half a cell to the right and down."""

    def __init__(self, layer: nn.Module, stride: int):
        super().__init__()
        self.layer, self.shift = layer, 0.5 * stride

    @property
    def output_size(self) -> tuple[int, int]:
        return self.layer.output_size

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:  # (N, C, H, W), (R, 5)
        return self.layer(x, torch.cat([rois[:, :1], rois[:, 1:] + self.shift], dim=1))  # (R, C, n, n)
