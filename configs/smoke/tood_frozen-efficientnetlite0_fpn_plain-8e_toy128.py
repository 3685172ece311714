"""TOOD (arXiv 2108.07755) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder. Its head has deformable convolutions.
expected: not published; measured: docs/results.md.
    frozen-det train tood_frozen-efficientnetlite0_fpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

_norm = dict(type="GN", num_groups=8)
model = dict(detector=dict(
    type="TOOD",
    neck=dict(type="FPN", out_channels=64, num_outs=3, norm_cfg=_norm),
    bbox_head=dict(type="TOODHead", stacked_convs=2, feat_channels=64, norm_cfg=_norm, anchor_type="anchor_free",
                   anchor_generator=dict(type="AnchorGenerator", ratios=[1.0], octave_base_scale=3, scales_per_octave=1),
                   bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
                   initial_loss_cls=dict(type="FocalLoss", use_sigmoid=True, activated=True, gamma=2.0, alpha=0.25,
                                         loss_weight=1.0),
                   loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, activated=True, beta=2.0, loss_weight=1.0),
                   loss_bbox=dict(type="GIoULoss", loss_weight=2.0)),
    train_cfg=dict(initial_epoch=2, initial_assigner=dict(type="ATSSAssigner", topk=9),
                   assigner=dict(type="TaskAlignedAssigner", topk=13), alpha=1, beta=6, allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100)))
