"""Pooling of regions as a program can hold it: of every region on every level, of which one is taken.

Grouping regions by level gives lists whose lengths depend on the image. Here a region is pooled on its own level, and
on the others a region without an area, which costs next to nothing where the number of samples follows from the size.
"""

from typing import Any

import torch
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor as HostSingleRoIExtractor
from torch import Tensor, nn

from ..errors import InputError
from ..models.roi_heads.roi_extractor import SingleRoIExtractor

_NAMES = ("bbox_roi_extractor", "mask_roi_extractor")


class FixedRegions(nn.Module):
    """A `SingleRoIExtractor` as a function without lists of unknown length; same attributes, same values.

    Args:
        extractor: a SingleRoIExtractor or a subclass that changes its layers alone; its layers are used and changed.

    Raises:
        InputError: an extractor or layer of another kind.
    """

    def __init__(self, extractor: nn.Module):
        super().__init__()
        refuse_extractor(extractor)
        for layer in _layers(extractor):
            layer.use_torchvision = True
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
    for name in _NAMES:
        one = getattr(roi_head, name, None)
        if isinstance(one, nn.ModuleList):
            setattr(roi_head, name, nn.ModuleList(map(_fixed, one)))
        elif one is not None:
            setattr(roi_head, name, _fixed(one))


def extractors(roi_head: nn.Module) -> list[nn.Module]:
    """The extractors of a RoI head, of boxes and masks and of every stage."""
    parts = [getattr(roi_head, name, None) for name in _NAMES]
    return [each for one in parts if one is not None for each in (one if isinstance(one, nn.ModuleList) else [one])]


def refuse_extractor(extractor: nn.Module) -> None:
    """Raise InputError unless it is a SingleRoIExtractor, or one that changes its layers alone, of RoIAlign layers."""
    forward = getattr(type(extractor), "forward", None)
    if forward not in (HostSingleRoIExtractor.forward, SingleRoIExtractor.forward):
        raise _refusal(extractor, "combines levels in its own way")
    for layer in _layers(extractor):
        if not isinstance(layer, RoIAlign) or layer.pool_mode != "avg":
            raise _refusal(layer, "is not an averaging RoIAlign")


def _fixed(extractor: nn.Module) -> FixedRegions:
    return extractor if isinstance(extractor, FixedRegions) else FixedRegions(extractor)


def _layers(extractor: nn.Module) -> list[Any]:
    return [one for one in extractor.roi_layers.modules() if not list(one.children())]


def _refusal(part: nn.Module, why: str) -> InputError:
    return InputError(f"{type(part).__name__} {why}; RoIAlign layers of a SingleRoIExtractor can be exported")
