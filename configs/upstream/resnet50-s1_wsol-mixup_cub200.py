"""ResNet-50 with the last stage at stride 1 for localisation on CUB-200-2011: Mixup, alpha 1.

Yun et al., "CutMix", arXiv 1905.04899, Table 9 and appendix B.
expected: 49.30 top-1 localisation by `analyze wsol --wsol-protocol cutmix`, the best of one run. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/wsol-cub200.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=1.0))
