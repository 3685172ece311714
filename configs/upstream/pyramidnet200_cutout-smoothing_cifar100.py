"""PyramidNet-200 (alpha 240) with Cutout, 16 px, and label smoothing, 0.1, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 5.
expected: 84.39 top-1 (15.61 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(loss=dict(label_smoothing=0.1), mixing=dict(type="frozen_det.BatchMixing", cutout_size=16))
