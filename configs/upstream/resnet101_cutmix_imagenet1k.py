"""ResNet-101 on ImageNet as in CutMix's comparison: CutMix, alpha 1, every batch.

Yun et al., "CutMix", arXiv 1905.04899, Table 4.
expected: 79.83 top-1 (20.17 error), the best epoch of one run; the last epoch's is lower. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-imagenet.py"]

model = dict(backbone=dict(name="resnet101"),
             mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=1.0))
