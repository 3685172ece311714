"""ResNet-50 on ImageNet as in CutMix's comparison: CutMix, alpha 1, every batch.

Yun et al., "CutMix", arXiv 1905.04899, Table 3.
expected: 78.60 top-1 (21.40 error), the best epoch of one run; the last epoch's is lower. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-imagenet.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=1.0))
