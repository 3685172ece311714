"""YOLOF (arXiv 2103.09460) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder. One level, of stride 32: 4 x 4 cells.
expected: not published; measured: docs/results.md.
    frozen-det train yolof_frozen-efficientnetlite0_dilatedencoder_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

model = dict(detector=dict(
    type="YOLOF",
    backbone=dict(strides=(32,)),
    neck=dict(type="DilatedEncoder", out_channels=128, block_mid_channels=64, num_residual_blocks=3, block_dilations=[1, 2, 3]),
    bbox_head=dict(type="YOLOFHead", reg_decoded_bbox=True,
                   anchor_generator=dict(type="AnchorGenerator", ratios=[1.0], scales=[0.5, 1, 2]),
                   bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4,
                                   add_ctr_clamp=True, ctr_clamp=32),
                   loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
                   loss_bbox=dict(type="GIoULoss", loss_weight=1.0)),
    train_cfg=dict(assigner=dict(type="UniformAssigner", pos_ignore_thr=0.15, neg_ignore_thr=0.7), allowed_border=-1,
                   pos_weight=-1),
    test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100)))
