"""Sparse R-CNN (arXiv 2011.12450) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder. 50 proposals, 3 stages.
expected: not published; measured: docs/results.md.
    frozen-det train sparse-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

_stages, _width = 3, 64
model = dict(detector=dict(
    type="SparseRCNN",
    neck=dict(type="FPN", out_channels=_width, num_outs=3, norm_cfg=dict(type="GN", num_groups=8)),
    rpn_head=dict(type="EmbeddingRPNHead", num_proposals=50, proposal_feature_channel=_width),
    roi_head=dict(
        type="SparseRoIHead", num_stages=_stages, stage_loss_weights=[1] * _stages, proposal_feature_channel=_width,
        bbox_roi_extractor=dict(type="SingleRoIExtractor",
                                roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=2)),
        bbox_head=[dict(
            type="DIIHead", num_ffn_fcs=2, num_heads=4, num_cls_fcs=1, num_reg_fcs=2, feedforward_channels=256, dropout=0.0,
            dynamic_conv_cfg=dict(type="DynamicConv", in_channels=_width, feat_channels=16, out_channels=_width,
                                  input_feat_shape=7, norm_cfg=dict(type="LN")),
            loss_bbox=dict(type="L1Loss", loss_weight=5.0), loss_iou=dict(type="GIoULoss", loss_weight=2.0),
            loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", clip_border=False, target_means=[0.0] * 4,
                            target_stds=[0.5, 0.5, 1.0, 1.0]))] * _stages),
    train_cfg=dict(rpn=None, rcnn=[dict(
        assigner=dict(type="HungarianAssigner", match_costs=[
            dict(type="FocalLossCost", weight=2.0), dict(type="BBoxL1Cost", weight=5.0, box_format="xyxy"),
            dict(type="IoUCost", iou_mode="giou", weight=2.0)]),
        sampler=dict(type="PseudoSampler"), pos_weight=1)] * _stages),
    test_cfg=dict(rpn=None, rcnn=dict(max_per_img=50))))
