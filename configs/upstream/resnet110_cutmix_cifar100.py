"""ResNet-110 (bottlenecks) with CutMix, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 6.
Bottlenecks give 1.17 M parameters (the paper prints 1.1 M); basic blocks have 1.7 M.
expected: 79.89 top-1 (20.11 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(
    backbone=dict(_delete_=True, type="frozen_det.CifarResNet", depth=110, bottleneck=True),
    mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=0.5))
