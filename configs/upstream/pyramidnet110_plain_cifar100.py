"""PyramidNet-110 (bottlenecks, alpha 64) without mixing, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 6.
Bottlenecks give the 1.7 M parameters that the paper prints beside alpha 64; basic blocks would have 2.6 M.
expected: 80.15 top-1 (19.85 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(backbone=dict(depth=110, alpha=64, bottleneck=True))
