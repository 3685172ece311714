"""Faster R-CNN with two convolutions for a neck on a frozen EfficientNet-Lite0, narrow, on toy scenes: minutes on one CPU core.

In small what arXiv 2204.00484 asks. expected: not published; measured: docs/results.md.
    frozen-det train faster-rcnn_frozen-efficientnetlite0_convneck2_plain-8e_toy
    frozen-det train faster-rcnn_frozen-efficientnetlite0_convneck2_plain-8e_toy --cfg-options model.detector.backbone.freeze=False
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes.py", "../_base_/models/faster_rcnn_narrow.py", "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    neck=dict(type="frozen_det.ConvNeck", out_channels=48, num_convs=2, num_outs=5,
              norm_cfg=dict(type="BN", momentum=0.1))))
