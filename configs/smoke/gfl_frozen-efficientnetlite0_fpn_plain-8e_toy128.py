"""GFL (arXiv 2006.04388) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder.
expected: not published; measured: docs/results.md.
    frozen-det train gfl_frozen-efficientnetlite0_fpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

_norm = dict(type="GN", num_groups=8)
model = dict(detector=dict(
    type="GFL",
    neck=dict(type="FPN", out_channels=64, num_outs=3, norm_cfg=_norm),
    bbox_head=dict(type="GFLHead", stacked_convs=2, feat_channels=64, norm_cfg=_norm, reg_max=8,
                   anchor_generator=dict(type="AnchorGenerator", ratios=[1.0], octave_base_scale=3, scales_per_octave=1),
                   loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
                   loss_dfl=dict(type="DistributionFocalLoss", loss_weight=0.25),
                   loss_bbox=dict(type="GIoULoss", loss_weight=2.0)),
    train_cfg=dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100)))
