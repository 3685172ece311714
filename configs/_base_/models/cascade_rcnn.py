"""Cascade R-CNN as the authors of arXiv 2204.00484 train it: IoU 0.5, 0.7, 0.8, regions kept from stage to stage.

The numbers are those of `maskrcnn.py` in official/vision/configs of tensorflow/models and of the paper's YAML files;
a config adds the backbone and the neck. Norms are plain BN; mmengine makes them SyncBN where there are several
processes (`sync_bn`). Padding comes after normalisation, so it is the mean colour, up to the full square.
How the cascade differs from mmdet's: `frozen_det.CascadeRoIHead`.
"""
sync_bn = "torch"
model = dict(type="frozen_det.Detector", num_classes=80, detector=dict(
    type="CascadeRCNN",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        batch_augments=[dict(type="BatchFixedSizePad", size=(1280, 1280))]),
    rpn_head=dict(
        type="frozen_det.RPNHead",
        anchor_generator=dict(type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0], center_offset=0.5),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0)),
    roi_head=dict(
        type="frozen_det.CascadeRoIHead",
        bbox_roi_extractor=dict(
            type="frozen_det.RoIExtractor", roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=1)),
        bbox_head=dict(
            type="frozen_det.ConvFCBBoxHead",
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type="frozen_det.HuberLoss", delta=1.0))),
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
                  pos_weight=-1, debug=False)),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100))))
