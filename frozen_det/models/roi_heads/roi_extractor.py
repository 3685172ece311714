"""Pooling of regions in float32, and RoIAlign at the authors' sample positions, for regions of any size.

mmdet casts regions to the dtype of the maps. In bfloat16 a corner at 1280 px is then known to 4 px, in float16 to half
a pixel; so both are pooled in float32 here, and what is pooled returns in the maps' dtype.

Source of the positions: `multilevel_crop_and_resize` in official/vision/ops/spatial_transform_ops.py of
tensorflow/models. Sample i of n along a side lies at (start + (i + 0.5) * length / n) / stride in cells, cell 0 at
coordinate 0. mmdet's RoIAlign with `aligned=False` has the same positions but takes no region smaller than one cell
(8 px at stride 8, of which large-scale jitter makes many); with `aligned=True` it takes any, half a cell further up and
left. Half a cell added to the region gives the authors' positions from the latter.
"""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor as HostSingleRoIExtractor
from torch import nn

from ...errors import InputError
from ...host.mmcv_ops.precision import wide
from ...registry import MODELS


@MODELS.register_module()
class SingleRoIExtractor(HostSingleRoIExtractor):
    """mmdet's SingleRoIExtractor, computing in float32 under mixed precision; equal otherwise.

    Args:
        roi_layer, out_channels, featmap_strides, finest_scale: as in mmdet.

    `frozen_det.Detector` puts it in the place of mmdet's.
    """

    def forward(self, feats, rois: torch.Tensor, roi_scale_factor: float | None = None) -> torch.Tensor:
        """Pooled regions (R, C, n, n), of the maps' dtype.

        Args:
            feats: pyramid maps, each (N, C, H_l, W_l), in any order in memory.
            rois: (R, 5), image index and box in pixels; not in 16 bits.
            roi_scale_factor: factor on the regions' sides.
        """
        pooled = super().forward(tuple(wide(level).contiguous() for level in feats), rois, roi_scale_factor)
        return pooled.to(feats[0].dtype)


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
