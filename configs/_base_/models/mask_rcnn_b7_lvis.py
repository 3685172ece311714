"""The LVIS model of the paper's Tables 4 to 6: Mask R-CNN without cascade, bottleneck NAS-FPN, 300 detections.

Ghiasi et al., "Simple Copy-Paste" (arXiv 2012.07177), which the paper builds on: 300 detections an image, score
threshold 0; a cascade raises AP of frequent classes and lowers that of rare ones, so there is none. Neck, RPN and
widths as in its COCO system (`cascade_mask_rcnn_b7.py`); box targets as the authors' Faster R-CNN has them, a box for
each class. Norms are plain BN; mmengine makes them SyncBN where there are several processes (`sync_bn`).
"""
sync_bn = "torch"
_relu = dict(type="ReLU")  # their `activation`; except in NAS-FPN
model = dict(type="frozen_det.Detector", num_classes=1203, detector=dict(
    type="MaskRCNN",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        batch_augments=[dict(type="BatchFixedSizePad", size=(1280, 1280), pad_mask=True)]),
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_b7.ns_jft_in1k", drop_path_rate=0.2),
        weights="timm", strides=(8, 16, 32), freeze=True, norm_momentum=0.01),
    neck=dict(type="frozen_det.NASFPN", out_channels=1024, block="bottleneck", combine="sum", drop_connect=0.2),
    rpn_head=dict(
        type="frozen_det.RPNHead", num_convs=2, score_anchors_per_image=256, act_cfg=_relu, output_std=0.01,
        anchor_generator=dict(type="AnchorGenerator", octave_base_scale=4, scales_per_octave=3,
                              ratios=[0.5, 1.0, 2.0], center_offset=0.5),
        bbox_coder=dict(type="frozen_det.InclusiveBoxCoder", inclusive_targets=False, target_means=[0.0] * 4,
                        target_stds=[1.0] * 4),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0)),
    roi_head=dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(
            type="frozen_det.RoIExtractor", roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=1)),
        bbox_head=dict(
            type="frozen_det.ConvFCBBoxHead", reg_class_agnostic=False, act_cfg=_relu, fc_init="glorot",
            bbox_coder=dict(type="frozen_det.InclusiveBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type="frozen_det.HuberLoss", delta=1.0)),
        mask_roi_extractor=dict(
            type="frozen_det.RoIExtractor", roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=1)),
        mask_head=dict(type="frozen_det.FCNMaskHead", num_convs=4,
                       loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0))),
    train_cfg=dict(
        rpn=dict(assigner=dict(type="frozen_det.ForcedMatchAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3),
                 sampler=dict(type="RandomSampler", num=256, pos_fraction=0.5, neg_pos_ub=-1,
                              add_gt_as_proposals=False),
                 allowed_border=-1, pos_weight=-1, debug=False),
        rpn_proposal=dict(nms_pre=2000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5,
                                match_low_quality=False, ignore_iof_thr=-1),
                  sampler=dict(type="RandomSampler", num=512, pos_fraction=0.25, neg_pos_ub=-1,
                               add_gt_as_proposals=True),
                  mask_size=28, pos_weight=-1, debug=False)),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.0, nms=dict(type="nms", iou_threshold=0.5), max_per_img=300, mask_thr_binary=0.5))))
