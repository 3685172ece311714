"""Models: backbone sources, frozen backbones, adapters, necks, heads, losses. Importing this registers them."""

from .backbone_sources.cifar_resnet import CifarResNet
from .backbone_sources.resnet_rs import ResNetRS
from .backbones.frozen_backbone import FrozenBackbone
from .dense_heads.retina_head import RetinaHead
from .dense_heads.rpn_head import RPNHead
from .dense_heads.ssd_head import SSDHead
from .detectors.detector import Detector, fill_blanks
from .detectors.second_stage import ClassifierStage
from .losses.class_balanced_loss import ClassBalancedLoss
from .losses.eqlv2_loss import EQLV2Loss
from .losses.huber_loss import HuberLoss
from .losses.logit_adjusted_loss import LogitAdjustedLoss
from .necks.conv_neck import ConvNeck
from .necks.fpn import FPN
from .necks.nas_fpn import NASFPN
from .necks.simple_pyramid import SimpleFeaturePyramid
from .roi_heads.bbox_head import ConvFCBBoxHead
from .roi_heads.cascade_roi_head import CascadeRoIHead
from .roi_heads.mask_head import FCNMaskHead
from .roi_heads.roi_extractor import RoIExtractor, SingleRoIExtractor
from .task_modules.anchor_assigner import ForcedMatchAssigner
from .task_modules.box_coder import InclusiveBoxCoder

__all__ = [
    "FPN",
    "EQLV2Loss",
    "NASFPN",
    "CascadeRoIHead",
    "CifarResNet",
    "ClassBalancedLoss",
    "ClassifierStage",
    "ConvFCBBoxHead",
    "ConvNeck",
    "Detector",
    "FCNMaskHead",
    "ForcedMatchAssigner",
    "FrozenBackbone",
    "HuberLoss",
    "InclusiveBoxCoder",
    "LogitAdjustedLoss",
    "RPNHead",
    "ResNetRS",
    "RetinaHead",
    "RoIExtractor",
    "SSDHead",
    "SimpleFeaturePyramid",
    "SingleRoIExtractor",
    "fill_blanks",
]
