"""Deformable DETR (arXiv 2010.04159) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder. Refined boxes, 50 queries, 2 encoder and 3 decoder layers.
expected: not published; measured: docs/results.md.
    frozen-det train deformable-detr_frozen-efficientnetlite0_channelmapper_plain-24e_toy128
"""
_base_ = ["../_base_/recipes/toy_detr.py"]

model = dict(detector=dict(
    type="DeformableDETR", as_two_stage=False,
    positional_encoding=dict(offset=-0.5),
    bbox_head=dict(type="DeformableDETRHead", loss_cls=dict(loss_weight=2.0))))
