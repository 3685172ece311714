"""FCOS (arXiv 1904.01355) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder.
expected: not published; measured: docs/results.md.
    frozen-det train fcos_frozen-efficientnetlite0_fpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

_norm = dict(type="GN", num_groups=8)
model = dict(detector=dict(
    type="FCOS",
    neck=dict(type="FPN", out_channels=64, num_outs=3, norm_cfg=_norm),
    bbox_head=dict(type="FCOSHead", stacked_convs=2, feat_channels=64, norm_cfg=_norm, norm_on_bbox=True,
                   centerness_on_reg=True, center_sampling=True, regress_ranges=((-1, 24), (24, 40), (40, 1e8)),
                   loss_bbox=dict(type="GIoULoss", loss_weight=1.0)),
    test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100)))
