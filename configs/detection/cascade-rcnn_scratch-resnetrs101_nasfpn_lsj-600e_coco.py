"""Cascade R-CNN, NAS-FPN, on a randomly initialised ResNet-RS-101: 600 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 1. expected: 50.4 box AP, AP50 68.4. Not run on COCO here.
The backbone has the authors' operations, Swish among them; its initial weights are timm's.
    frozen-det train cascade-rcnn_scratch-resnetrs101_nasfpn_lsj-600e_coco
"""
_base_ = ["cascade-rcnn_frozen-resnetrs101_nasfpn_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(
    body=dict(_delete_=True, type="frozen_det.ResNetRS", depth=101), weights="random", freeze=False)))
