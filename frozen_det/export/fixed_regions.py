"""Pooling of regions as a program can hold it: of every region on every level, of which one is taken.

Grouping regions by level gives lists whose lengths depend on the image. Here a region is pooled on its own level, and
on the others a region without an area, which costs next to nothing where the number of samples follows from the size.
"""

import torch
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from ..errors import InputError


class FixedRegions(nn.Module):
    """A `SingleRoIExtractor` as a function without lists of unknown length; same attributes, same values.

    Args:
        extractor: a SingleRoIExtractor or a subclass that changes its layers alone; its layers are used and changed.

    Raises:
        InputError: an extractor or layer of another kind.
    """

    def __init__(self, extractor: nn.Module):
        super().__init__()
        if getattr(type(extractor), "forward", None) is not SingleRoIExtractor.forward:
            raise _refusal(extractor, "combines levels in its own way")
        for layer in extractor.roi_layers.modules():
            if isinstance(layer, RoIAlign) and layer.pool_mode == "avg":
                layer.use_torchvision = True
        kinds = [one for one in extractor.roi_layers.modules() if not list(one.children())]
        for layer in kinds:
            if not getattr(layer, "use_torchvision", False):
                raise _refusal(layer, "is not an averaging RoIAlign")
        self.extractor = extractor

    @property
    def num_inputs(self) -> int:
        return self.extractor.num_inputs

    def forward(self, feats, rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """(N, C, H_l, W_l) maps and (R, 5) regions -> (R, C, n, n)."""
        layers, whose = self.extractor.roi_layers, None
        if len(feats) > 1:
            whose = self.extractor.map_roi_levels(rois, len(feats))
        if roi_scale_factor is not None and whose is not None:
            rois = self.extractor.roi_rescale(rois, roi_scale_factor)
        if whose is None:
            return layers[0](feats[0], rois)
        pooled = 0.0
        for level, (layer, features) in enumerate(zip(layers, feats)):
            here = (whose == level)[:, None]
            index, boxes = rois[:, :1], torch.where(here, rois[:, 1:], 0.0)
            values = layer(features, torch.cat([index, boxes], dim=1))
            pooled = pooled + torch.where(here[..., None, None], values, 0.0)
        return pooled


def fix_regions(roi_head: nn.Module) -> None:
    """Replace every extractor of a RoI head by its :class:`FixedRegions`."""
    for name in ("bbox_roi_extractor", "mask_roi_extractor"):
        one = getattr(roi_head, name, None)
        if isinstance(one, nn.ModuleList):
            fixed = nn.ModuleList(each if isinstance(each, FixedRegions) else FixedRegions(each) for each in one)
        elif one is None or isinstance(one, FixedRegions):
            continue
        else:
            fixed = FixedRegions(one)
        setattr(roi_head, name, fixed)


def _refusal(part: nn.Module, why: str) -> InputError:
    return InputError(
        f"{type(part).__name__} cannot be part of a program: it {why}, which ONNX's RoiAlign is not. Use a "
        "SingleRoIExtractor with RoIAlign layers, or export the backbone (--part backbone)."
    )
