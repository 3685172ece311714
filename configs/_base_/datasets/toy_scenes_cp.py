"""Toy scenes at 224 px with Copy-Paste (arXiv 2012.07177); scene and donor are jittered on their own, as in toy_scenes_ssj.py.

A random subset of the donor's digits is pasted, without blending: the best of the paper.
"""
_base_ = ["toy_scenes.py"]

_jitter = dict(type="frozen_det.LargeScaleJitter", size_hw=224, scale_range=(0.8, 1.25), flip_prob=0.0)
train_dataloader = dict(dataset=dict(pipeline=[
    _jitter,
    dict(type="frozen_det.CopyPaste", donor_pipeline=[_jitter], planar=True),
    dict(type="PackDetInputs"),
]))
