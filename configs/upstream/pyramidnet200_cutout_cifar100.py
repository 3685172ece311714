"""PyramidNet-200 (alpha 240) with Cutout, 16 px, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 5.
expected: 83.47 top-1 (16.53 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", cutout_size=16))
