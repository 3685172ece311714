"""Faster R-CNN, two convolutions for a neck, on a fine-tuned ImageNet ResNet-RS-101: 600 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), the probe of decoder capacity. expected: not published. Not run on COCO here.
The authors' files are of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of
the same shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
From 1 to 2 convolutions the paper reports directions: scratch falls, fine-tuned and frozen rise, frozen most.
The probe's exact form and input size are not published: see frozen_det.ConvNeck.
    frozen-det train faster-rcnn_finetune-resnetrs101_convneck2_lsj-600e_coco
"""
_base_ = ["faster-rcnn_frozen-resnetrs101_convneck2_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
