"""PyramidNet-200 (alpha 240) with Manifold Mixup, alpha 1 on CIFAR-10, CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 7.
expected: 96.85 top-1 (3.15 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=1.0, level="feature",
                         layers=("image", "bn1", "layer1", "layer2", "layer3")))
