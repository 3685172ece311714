"""Faster R-CNN with an FPN on Pascal VOC, frozen: ResNet-50 that was trained with CutMix.

Yun et al., "CutMix", arXiv 1905.04899, Table 10 and appendix C, which fine-tunes (the `finetune` config): batch 8, SGD at
0.01, 120,000 steps (58 epochs of 16,551 images), a tenth at 100,000. Its detector is jwyang/faster-rcnn.pytorch's, layer 4
behind the pooling; here mmdet's with an FPN (faster-rcnn_r50_fpn_1x_voc0712), because a frozen backbone gives its features
once. expected: not published (frozen). Not run on VOC here.
    frozen-det train CONFIG --cfg-options data_root=DIR model.detector.backbone.weights=work_dirs/resnet50_cutmix_imagenet1k
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/voc0712.py"]

data_root = "data/VOCdevkit/"
model = dict(type="frozen_det.Detector", num_classes=20, detector=dict(
    type="FasterRCNN",
    data_preprocessor=dict(type="mmdet.DetDataPreprocessor", pad_size_divisor=32),
    backbone=dict(type="frozen_det.FrozenBackbone", body=dict(type="timm", name="resnet50"),
                  weights="work_dirs/resnet50_cutmix_imagenet1k", strides=(4, 8, 16, 32), freeze=True),
    neck=dict(type="FPN", out_channels=256, num_outs=5),
    rpn_head=dict(
        type="RPNHead",
        anchor_generator=dict(type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0]),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0)),
    roi_head=dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(type="SingleRoIExtractor",
                                roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0)),
        bbox_head=dict(
            type="Shared2FCBBoxHead", fc_out_channels=1024, roi_feat_size=7, reg_class_agnostic=False,
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type="L1Loss", loss_weight=1.0))),
    train_cfg=dict(
        rpn=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
                               match_low_quality=True, ignore_iof_thr=-1),
                 sampler=dict(type="RandomSampler", num=256, pos_fraction=0.5, neg_pos_ub=-1,
                              add_gt_as_proposals=False),
                 allowed_border=-1, pos_weight=-1, debug=False),
        rpn_proposal=dict(nms_pre=2000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5,
                                match_low_quality=False, ignore_iof_thr=-1),
                  sampler=dict(type="RandomSampler", num=512, pos_fraction=0.25, neg_pos_ub=-1,
                               add_gt_as_proposals=True),
                  pos_weight=-1, debug=False)),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100))))

_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(1000, 600), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
_test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(1000, 600), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(dataset=dict(datasets=[
    dict(type="VOCDataset", data_root=data_root, ann_file=f"VOC{year}/ImageSets/Main/trainval.txt",
         data_prefix=dict(sub_data_root=f"VOC{year}/"), filter_cfg=dict(filter_empty_gt=True, min_size=32),
         pipeline=_train_pipeline) for year in (2007, 2012)]))
val_dataloader = dict(dataset=dict(pipeline=_test_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(save_best="pascal_voc/mAP"))

epochs = 58
auto_scale_lr = dict(enable=True, base_batch_size=8)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=5e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[48], gamma=0.1)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
