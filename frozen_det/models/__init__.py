"""The models of frozen_det: bodies, frozen backbones, decoders and heads. Importing it registers them."""

from .conv_neck import ConvNeck
from .detector import Detector, fill_blanks
from .fpn import FPN
from .frozen_backbone import FrozenBackbone
from .nas_fpn import NASFPN

__all__ = ["FPN", "NASFPN", "ConvNeck", "Detector", "FrozenBackbone", "fill_blanks"]
