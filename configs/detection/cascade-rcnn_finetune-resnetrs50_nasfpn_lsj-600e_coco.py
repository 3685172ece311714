"""Cascade R-CNN, NAS-FPN, on a fine-tuned ImageNet ResNet-RS-50: 600 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 1. expected: 50.3 box AP, AP50 68.0. Not run on COCO here.
The number is of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of the same
shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
Expected numbers are those with ImageNet weights; the paper's JFT-300M weights are not public.
    frozen-det train cascade-rcnn_finetune-resnetrs50_nasfpn_lsj-600e_coco
"""
_base_ = ["cascade-rcnn_frozen-resnetrs50_nasfpn_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
