"""ResNet-110 (bottlenecks) without mixing, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 6.
Bottlenecks give 1.17 M parameters (the paper prints 1.1 M); basic blocks have 1.7 M.
expected: 76.86 top-1 (23.14 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(backbone=dict(_delete_=True, type="frozen_det.CifarResNet", depth=110, bottleneck=True))
