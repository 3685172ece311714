"""PyramidNet-200 (alpha 240) with CutMix, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 5.
Figure 3's other alphas: --cfg-options model.mixing.cutmix_alpha=2.0; its layers: model.mixing.level=feature.
expected: 85.53 top-1 (14.47 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=0.5))
