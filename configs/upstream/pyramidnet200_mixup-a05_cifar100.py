"""PyramidNet-200 (alpha 240) with Mixup, alpha 0.5, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 5.
expected: 84.22 top-1 (15.78 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=0.5))
