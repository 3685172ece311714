"""Faster R-CNN (arXiv 1506.01497) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder.
expected: not published; measured: docs/results.md.
    frozen-det train faster-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

_norm = dict(type="GN", num_groups=8)
model = dict(detector=dict(
    type="FasterRCNN",
    neck=dict(type="FPN", out_channels=64, num_outs=3, norm_cfg=_norm),
    rpn_head=dict(type="RPNHead", feat_channels=64,
                  anchor_generator=dict(type="AnchorGenerator", ratios=[0.5, 1.0, 2.0], scales=[3])),
    roi_head=dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(type="SingleRoIExtractor",
                                roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0)),
        bbox_head=dict(type="Shared2FCBBoxHead", fc_out_channels=128, roi_feat_size=7)),
    train_cfg=dict(
        rpn=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
                 sampler=dict(type="RandomSampler", num=128, pos_fraction=0.5, add_gt_as_proposals=False),
                 allowed_border=-1, pos_weight=-1),
        rpn_proposal=dict(nms_pre=300, max_per_img=150, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5),
                  sampler=dict(type="RandomSampler", num=48, pos_fraction=0.25, add_gt_as_proposals=True), pos_weight=-1)),
    test_cfg=dict(
        rpn=dict(nms_pre=300, max_per_img=150, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100))))
