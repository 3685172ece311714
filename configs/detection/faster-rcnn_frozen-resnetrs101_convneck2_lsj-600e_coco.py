"""Faster R-CNN, two convolutions for a neck, on a frozen ImageNet ResNet-RS-101: 600 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), the probe of decoder capacity. expected: not published. Not run on COCO here.
The authors' files are of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of
the same shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
From 1 to 2 convolutions the paper reports directions: scratch falls, fine-tuned and frozen rise, frozen most.
The probe's exact form and input size are not published: see frozen_det.ConvNeck.
    frozen-det train faster-rcnn_frozen-resnetrs101_convneck2_lsj-600e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/faster_rcnn.py",
    "../_base_/datasets/coco_lsj_1024.py",
    "../_base_/datasets/coco_eval_square_1024.py",
    "../_base_/schedules/schedule_600e.py",
]

model = dict(detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="resnetrs101.tf_in1k"),
        weights="timm", strides=(4, 8, 16, 32), freeze=True, norm_momentum=0.003),
    neck=dict(type="frozen_det.ConvNeck", num_convs=2, num_outs=5),))
