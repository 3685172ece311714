"""Faster R-CNN, two convolutions for a neck, on a randomly initialised ResNet-RS-101: 600 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), the probe of decoder capacity. expected: not published. Not run on COCO here.
From 1 to 2 convolutions the paper reports directions: scratch falls, fine-tuned and frozen rise, frozen most.
The probe's exact form and input size are not published: see frozen_det.ConvNeck.
The backbone has the authors' operations, Swish among them; its initial weights are timm's.
    frozen-det train faster-rcnn_scratch-resnetrs101_convneck2_lsj-600e_coco
"""
_base_ = ["faster-rcnn_frozen-resnetrs101_convneck2_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(
    body=dict(_delete_=True, type="frozen_det.ResNetRS", depth=101), weights="random", freeze=False)))
