"""Faster R-CNN, NAS-FPN, on a randomly initialised ResNet-RS-101: 600 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 1. expected: 47.2 box AP, AP50 68.2. Not run on COCO here.
The backbone has the authors' operations, Swish among them; its initial weights are timm's.
The paper's Table 3 counts 40.9 M trained parameters for this row, the released YAML has 38.92 M (91 outputs):
the number is of a system that no released file defines.
    frozen-det train faster-rcnn_scratch-resnetrs101_nasfpn_lsj-600e_coco
"""
_base_ = ["faster-rcnn_frozen-resnetrs101_nasfpn_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(
    body=dict(_delete_=True, type="frozen_det.ResNetRS", depth=101), weights="random", freeze=False)))
