"""PyramidNet-200 (alpha 240) with CutMix, boxes about the centre, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 8.
The deviation of the centre is not published: here a quarter of the side.
expected: 84.05 top-1 (15.95 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=0.5, centre="gaussian"))
