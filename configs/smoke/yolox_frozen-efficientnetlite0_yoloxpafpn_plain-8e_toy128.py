"""YOLOX (arXiv 2107.08430) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder. No mosaics.
expected: not published; measured: docs/results.md.
    frozen-det train yolox_frozen-efficientnetlite0_yoloxpafpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

model = dict(detector=dict(
    type="YOLOX",
    neck=dict(type="YOLOXPAFPN", out_channels=64, num_csp_blocks=1),
    bbox_head=dict(type="YOLOXHead", feat_channels=64, stacked_convs=2,
                   loss_l1=dict(type="L1Loss", reduction="sum", loss_weight=1.0)),
    train_cfg=dict(assigner=dict(type="SimOTAAssigner", center_radius=2.5)),
    test_cfg=dict(score_thr=0.01, nms=dict(type="nms", iou_threshold=0.65))))
