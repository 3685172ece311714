"""ATSS (arXiv 1912.02424), the light one, on a frozen ResNet-50 of torchvision's first recipe: 24 epochs, 640 x 640.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which has no such decoder. expected: not published. Not run on COCO here; one step on random weights
is tested. A fine-tuned one gives 39.4 box AP in 12 epochs at 800 px (mmdet's atss_r50_fpn_1x_coco).
    frozen-det train atss_frozen-resnet50tv_fpn_lsj-24e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/datasets/coco_lsj_640.py",
    "../_base_/datasets/coco_eval_square_640.py",
]

model = dict(type="frozen_det.Detector", num_classes=80, detector=dict(
    type="ATSS",
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="torchvision", name="resnet50"),
        weights="torchvision:IMAGENET1K_V1", strides=(8, 16, 32), freeze=True),
    neck=dict(type="FPN", out_channels=256, add_extra_convs="on_output", num_outs=5),
    bbox_head=dict(
        type="ATSSHead", stacked_convs=4, feat_channels=256,
        anchor_generator=dict(type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0)),
    train_cfg=dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6),
                  max_per_img=100)))

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=24, milestones=[16, 22], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=16)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=24, val_interval=2)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
