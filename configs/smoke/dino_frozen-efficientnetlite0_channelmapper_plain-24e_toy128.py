"""DINO (arXiv 2203.03605) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder. 50 queries, 20 of denoising, 2 encoder and 3 decoder layers.
expected: not published; measured: docs/results.md.
    frozen-det train dino_frozen-efficientnetlite0_channelmapper_plain-24e_toy128
"""
_base_ = ["../_base_/recipes/toy_detr.py"]

model = dict(detector=dict(
    type="DINO", as_two_stage=True,
    positional_encoding=dict(offset=0.0),
    bbox_head=dict(type="DINOHead", loss_cls=dict(loss_weight=1.0)),
    dn_cfg=dict(label_noise_scale=0.5, box_noise_scale=1.0,
                group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=20))))
