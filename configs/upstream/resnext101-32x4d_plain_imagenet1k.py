"""ResNeXt-101 (32 x 4d) on ImageNet as in CutMix's comparison: no mixing.

Yun et al., "CutMix", arXiv 1905.04899, Table 4.
expected: 78.82 top-1 (21.18 error), the best epoch of one run; the last epoch's is lower. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-imagenet.py"]

model = dict(backbone=dict(name="resnext101_32x4d"), mixing=None)
