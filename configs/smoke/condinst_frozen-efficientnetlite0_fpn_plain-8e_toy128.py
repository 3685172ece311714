"""CondInst (arXiv 2003.05664) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder. Boxes and masks.
expected: not published; measured: docs/results.md.
    frozen-det train condinst_frozen-efficientnetlite0_fpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

_norm = dict(type="GN", num_groups=8)
model = dict(detector=dict(
    type="CondInst",
    data_preprocessor=dict(type="mmdet.DetDataPreprocessor", pad_mask=True),
    neck=dict(type="FPN", out_channels=64, num_outs=3, norm_cfg=_norm),
    bbox_head=dict(type="CondInstBboxHead", num_params=169, stacked_convs=2, feat_channels=64, norm_cfg=_norm,
                   norm_on_bbox=True, centerness_on_reg=True, center_sampling=True, conv_bias=True,
                   regress_ranges=((-1, 24), (24, 40), (40, 1e8)), loss_bbox=dict(type="GIoULoss", loss_weight=1.0)),
    mask_head=dict(type="CondInstMaskHead", num_layers=3, feat_channels=8, size_of_interest=8, mask_out_stride=4,
                   max_masks_to_train=50,
                   mask_feature_head=dict(in_channels=64, feat_channels=64, start_level=0, end_level=2, out_channels=8,
                                          mask_stride=8, num_stacked_convs=2, norm_cfg=_norm),
                   loss_mask=dict(type="DiceLoss", use_sigmoid=True, activate=True, eps=5e-6, loss_weight=1.0)),
    test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100, mask_thr=0.5)))
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(128, 128), keep_ratio=True),
    dict(type="PackDetInputs"),
]))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
