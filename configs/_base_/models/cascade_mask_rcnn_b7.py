"""The Cascade Mask R-CNN of the paper's Table 4: NAS-FPN with bottlenecks and sums, 9 anchors, IoU 0.6, 0.7, 0.8.

Numbers of cascade_maskrcnn_effb7_nasfpn_1280.yaml in the detection code of tensorflow/tpu (Ghiasi et al., "Simple
Copy-Paste", arXiv 2012.07177), which the paper builds on. A region between IoU 0.5 and 0.6 trains nothing in the
first stage. Norms are plain BN; mmengine makes them SyncBN where there are several processes (`sync_bn`).
"""
sync_bn = "torch"
_relu = dict(type="ReLU")  # their `activation`; except in NAS-FPN
model = dict(type="frozen_det.Detector", num_classes=80, detector=dict(
    type="CascadeRCNN",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        batch_augments=[dict(type="BatchFixedSizePad", size=(1280, 1280), pad_mask=True)]),
    neck=dict(type="frozen_det.NASFPN", out_channels=1024, block="bottleneck", combine="sum", drop_connect=0.2),
    rpn_head=dict(
        type="frozen_det.RPNHead", num_convs=2, score_anchors_per_image=256, act_cfg=_relu, output_std=0.01,
        anchor_generator=dict(type="AnchorGenerator", octave_base_scale=4, scales_per_octave=3,
                              ratios=[0.5, 1.0, 2.0], center_offset=0.5),
        bbox_coder=dict(type="frozen_det.InclusiveBoxCoder", inclusive_targets=False, target_means=[0.0] * 4,
                        target_stds=[1.0] * 4),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0)),
    roi_head=dict(
        type="frozen_det.CascadeRoIHead", iou_thresholds=(0.6, 0.7, 0.8), mask_stages="last", max_mask_rois=128,
        bbox_roi_extractor=dict(
            type="frozen_det.RoIExtractor", roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=1)),
        bbox_head=dict(
            type="frozen_det.ConvFCBBoxHead", act_cfg=_relu, fc_init="glorot",
            bbox_coder=dict(type="frozen_det.InclusiveBoxCoder"),
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
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100, mask_thr_binary=0.5))))
