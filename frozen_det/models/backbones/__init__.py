"""The frozen backbone: freezing, options of the forward pass, BatchNorm folding, recorded settings."""

from ..._moved import former
from .frozen_backbone import FrozenBackbone

__all__ = ["FrozenBackbone"]

__getattr__ = former("frozen_det.models.backbones", "frozen_det.models.backbone_sources.build")
