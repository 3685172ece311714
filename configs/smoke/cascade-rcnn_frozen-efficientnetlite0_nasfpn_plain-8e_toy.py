"""Cascade R-CNN with NAS-FPN on a frozen EfficientNet-Lite0, narrow, on toy scenes: minutes on one CPU core.

In small what arXiv 2204.00484 asks. expected: not published; measured: docs/results.md. Anchors of 4 cells: toy objects are small.
    frozen-det train cascade-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy
    frozen-det train cascade-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy --cfg-options model.detector.backbone.freeze=False
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes.py", "../_base_/models/cascade_rcnn_narrow.py", "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    neck=dict(type="frozen_det.NASFPN", out_channels=48, num_repeats=3, norm_cfg=dict(type="BN", momentum=0.1)),
    rpn_head=dict(anchor_generator=dict(scales=[4]))))
