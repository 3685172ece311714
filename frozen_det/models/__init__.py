"""The models of frozen_det: bodies, frozen backbones, decoders and heads. Importing it registers them."""

from .detector import Detector, fill_blanks
from .frozen_backbone import FrozenBackbone

__all__ = ["Detector", "FrozenBackbone", "fill_blanks"]
