"""Toy scenes on a frozen ResNet-20 that was trained on CIFAR-10: the detection probe of `analyze transfer`, in small.

Body: 0.27 M parameters, one feature at stride 4; the levels above it are the neck's own convolutions. A fixed budget of
3 epochs of 360 images at 160 px (CIFAR's objects fill 32 px), batches of 4, the same for every candidate: 1 to 2
minutes on one core. expected: not published; AP 9, AP50 20 measured here with a fifth of CIFAR-10 behind the backbone.
    frozen-det train CONFIG --cfg-options model.detector.backbone.weights=FILE
    frozen-det analyze transfer upstream/resnet20_plain_cifar10 FILE --detector CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes.py", "../_base_/models/faster_rcnn_fpn_small.py"]

epochs = 3
model = dict(
    num_classes=10,
    detector=dict(
        backbone=dict(
            type="frozen_det.FrozenBackbone", body=dict(type="frozen_det.CifarResNet", depth=20),
            weights="data/cifar10_resnets/resnet20-12fca82f.th", strides=(4,), freeze=True),
        neck=dict(out_channels=64, num_outs=4, add_extra_convs="on_output"),
        # anchors of 24, 48, 96 and 192 px: digits have 17 to 64
        rpn_head=dict(feat_channels=64, anchor_generator=dict(scales=[6])),
        roi_head=dict(bbox_head=dict(fc_out_channels=256)),
        train_cfg=dict(rcnn=dict(sampler=dict(num=64)))))

_scale = (160, 160)
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
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=epochs, T_max=epochs, convert_to_iter_based=True,
         eta_min=1e-5),
]
auto_scale_lr = dict(enable=True, base_batch_size=4)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=epochs)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
