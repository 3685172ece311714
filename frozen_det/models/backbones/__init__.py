"""The frozen backbone: what is frozen, how it runs, what it folds and keeps."""

from ..._moved import former
from .frozen_backbone import FrozenBackbone

__all__ = ["FrozenBackbone"]

__getattr__ = former("frozen_det.models.backbones", "frozen_det.models.backbone_sources.build")
