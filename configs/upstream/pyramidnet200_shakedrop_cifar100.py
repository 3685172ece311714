"""PyramidNet-200 (alpha 240) with ShakeDrop, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 5.
ShakeDrop as in its paper: linear to 0.5, factors in [-1, 1] and [0, 1], drawn for each image.
expected: 84.92 top-1 (15.08 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(backbone=dict(shake_drop=0.5))
