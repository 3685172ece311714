"""Cascade R-CNN, NAS-FPN, on a randomly initialised ResNet-RS-50: 600 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 1. expected: 50.0 box AP, AP50 68.1. Not run on COCO here.
The backbone has the authors' operations, Swish among them; its initial weights are timm's.
    frozen-det train cascade-rcnn_scratch-resnetrs50_nasfpn_lsj-600e_coco
"""
_base_ = ["cascade-rcnn_frozen-resnetrs50_nasfpn_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(
    body=dict(_delete_=True, type="frozen_det.ResNetRS", depth=50), weights="random", freeze=False)))
