"""The models of frozen_det: bodies, frozen backbones, decoders and heads. Importing it registers them."""

from .anchor_assigner import ForcedMatchAssigner
from .box_coder import InclusiveBoxCoder
from .box_heads import ConvFCBBoxHead
from .cascade import CascadeRoIHead
from .cifar_resnet import CifarResNet
from .class_balance import ClassBalancedLoss
from .classifier_stage import ClassifierStage
from .conv_neck import ConvNeck
from .detector import Detector, fill_blanks
from .fpn import FPN
from .frozen_backbone import FrozenBackbone
from .huber import HuberLoss
from .mask_head import FCNMaskHead
from .nas_fpn import NASFPN
from .resnet_rs import ResNetRS
from .retina_head import RetinaHead
from .roi_extractor import RoIExtractor
from .rpn import RPNHead
from .simple_pyramid import SimpleFeaturePyramid

__all__ = ["FPN", "NASFPN", "CascadeRoIHead", "CifarResNet", "ClassBalancedLoss", "ClassifierStage", "ConvFCBBoxHead",
           "ConvNeck", "Detector", "FCNMaskHead", "ForcedMatchAssigner", "FrozenBackbone", "HuberLoss",
           "InclusiveBoxCoder", "RPNHead", "ResNetRS", "RetinaHead", "RoIExtractor", "SimpleFeaturePyramid",
           "fill_blanks"]
