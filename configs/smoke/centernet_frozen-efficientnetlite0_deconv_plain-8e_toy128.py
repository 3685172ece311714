"""CenterNet (arXiv 1904.07850) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder. A heat map of stride 4 from one level of stride 32.
expected: not published; measured: docs/results.md.
    frozen-det train centernet_frozen-efficientnetlite0_deconv_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

model = dict(detector=dict(
    type="CenterNet",
    backbone=dict(strides=(32,)),
    neck=dict(type="CTResNetNeck", num_deconv_filters=(128, 96, 64), num_deconv_kernels=(4, 4, 4), use_dcn=False),
    bbox_head=dict(type="CenterNetHead", feat_channels=64,
                   loss_center_heatmap=dict(type="GaussianFocalLoss", loss_weight=1.0),
                   loss_wh=dict(type="L1Loss", loss_weight=0.1), loss_offset=dict(type="L1Loss", loss_weight=1.0)),
    test_cfg=dict(topk=100, local_maximum_kernel=3, max_per_img=100)))
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),  # required by RandomCenterCropPad
    dict(type="Resize", scale=(128, 128), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    # Pads to an odd size and notes the border, which the head needs.
    dict(type="RandomCenterCropPad", ratios=None, border=None, mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True, test_mode=True,
         test_pad_mode=["logical_or", 31], test_pad_add_pix=1),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "border")),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
