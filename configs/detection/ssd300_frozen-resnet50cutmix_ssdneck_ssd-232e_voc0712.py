"""SSD300 on Pascal VOC, frozen: ResNet-50 that was trained with CutMix, features of layers 2 and 3.

Yun et al., "CutMix", arXiv 1905.04899, Table 10 and appendix C, which fine-tunes (the `finetune` config): batch 32, SGD
at 0.001, 120,000 steps (232 epochs of 16,551 images), a tenth at 80,000 and 100,000; heads, priors and augmentation are
mmdet's ssd300_voc0712. expected: not published (frozen). Not run on VOC here. Other backbones: weights=torchvision and
body.type=torchvision for plain ones, or the run of upstream/resnet50_{mixup,cutout}_imagenet1k.
    frozen-det train CONFIG --cfg-options data_root=DIR model.detector.backbone.weights=work_dirs/resnet50_cutmix_imagenet1k
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/voc0712.py"]

data_root = "data/VOCdevkit/"
model = dict(type="frozen_det.Detector", num_classes=20, detector=dict(
    type="SingleStageDetector",
    data_preprocessor=dict(type="mmdet.DetDataPreprocessor", pad_size_divisor=1),
    backbone=dict(type="frozen_det.FrozenBackbone", body=dict(type="timm", name="resnet50"),
                  weights="work_dirs/resnet50_cutmix_imagenet1k", strides=(8, 16), freeze=True),
    neck=dict(type="SSDNeck", out_channels=[512, 1024, 512, 256, 256, 256], level_strides=(2, 2, 1, 1),
              level_paddings=(1, 1, 0, 0), l2_norm_scale=20),
    bbox_head=dict(
        type="frozen_det.SSDHead",
        anchor_generator=dict(
            type="SSDAnchorGenerator", scale_major=False, input_size=300, basesize_ratio_range=(0.2, 0.9),
            strides=[8, 16, 32, 64, 100, 300], ratios=[[2], [2, 3], [2, 3], [2, 3], [2], [2]]),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])),
    train_cfg=dict(
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.0, ignore_iof_thr=-1,
                      gt_max_assign_all=False),
        sampler=dict(type="PseudoSampler"), smoothl1_beta=1.0, allowed_border=-1, pos_weight=-1, neg_pos_ratio=3,
        debug=False),
    test_cfg=dict(nms_pre=1000, nms=dict(type="nms", iou_threshold=0.45), min_bbox_size=0, score_thr=0.02,
                  max_per_img=200)))

_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Expand", mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 4)),
    dict(type="MinIoURandomCrop", min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    dict(type="Resize", scale=(300, 300), keep_ratio=False),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion", brightness_delta=32, contrast_range=(0.5, 1.5), saturation_range=(0.5, 1.5),
         hue_delta=18),
    dict(type="PackDetInputs"),
]
_test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(300, 300), keep_ratio=False),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(batch_size=32, dataset=dict(datasets=[
    dict(type="VOCDataset", data_root=data_root, ann_file=f"VOC{year}/ImageSets/Main/trainval.txt",
         data_prefix=dict(sub_data_root=f"VOC{year}/"), filter_cfg=dict(filter_empty_gt=True, min_size=32),
         pipeline=_train_pipeline) for year in (2007, 2012)]))
val_dataloader = dict(dataset=dict(pipeline=_test_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(save_best="pascal_voc/mAP"))

epochs = 232
auto_scale_lr = dict(enable=True, base_batch_size=32)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3, momentum=0.9, weight_decay=5e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[155, 193], gamma=0.1)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=8)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
