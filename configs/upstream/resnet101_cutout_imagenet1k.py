"""ResNet-101 on ImageNet as in CutMix's comparison: Cutout, 112 px.

Yun et al., "CutMix", arXiv 1905.04899, Table 4.
expected: 79.28 top-1 (20.72 error), the best epoch of one run; the last epoch's is lower. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-imagenet.py"]

model = dict(backbone=dict(name="resnet101"),
             mixing=dict(type="frozen_det.BatchMixing", cutout_size=112))
