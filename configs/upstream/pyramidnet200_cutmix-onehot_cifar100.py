"""PyramidNet-200 (alpha 240) with CutMix, the label of the larger part alone, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 8.
expected: 84.11 top-1 (15.89 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=0.5, target="one_hot"))
