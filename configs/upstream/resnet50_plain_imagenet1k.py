"""ResNet-50 on ImageNet as in CutMix's comparison: no mixing.

Yun et al., "CutMix", arXiv 1905.04899, Table 3.
expected: 76.32 top-1 (23.68 error), the best epoch of one run; the last epoch's is lower. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-imagenet.py"]

model = dict(mixing=None)
