"""PyramidNet-200 (alpha 240) with stochastic depth, 0.25 at the last block, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 5.
expected: 84.14 top-1 (15.86 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(
    type="frozen_det.NoisyClassifier",
    noise=dict(stochastic_depth=0.25, branches="layer*.*.bn4"))
