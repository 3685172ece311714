"""ResNet-50 with the last stage at stride 1 for localisation on ImageNet: no mixing.

Yun et al., "CutMix", arXiv 1905.04899, Table 9 and appendix B.
expected: 46.30 top-1 localisation by `analyze wsol --wsol-protocol cutmix`, the best of one run. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/wsol-imagenet.py"]

model = dict(mixing=None)
