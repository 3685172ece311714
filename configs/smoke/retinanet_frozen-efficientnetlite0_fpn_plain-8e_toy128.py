"""RetinaNet (arXiv 1708.02002) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder.
expected: not published; measured: docs/results.md.
    frozen-det train retinanet_frozen-efficientnetlite0_fpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

_norm = dict(type="GN", num_groups=8)
model = dict(detector=dict(
    type="RetinaNet",
    neck=dict(type="FPN", out_channels=64, num_outs=3, norm_cfg=_norm),
    bbox_head=dict(type="RetinaHead", stacked_convs=2, feat_channels=64, norm_cfg=_norm,
                   anchor_generator=dict(type="AnchorGenerator", ratios=[0.5, 1.0, 2.0], octave_base_scale=2,
                                         scales_per_octave=3)),
    train_cfg=dict(assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
                   sampler=dict(type="PseudoSampler"), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100)))
