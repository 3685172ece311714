"""VGG-GAP for localisation on CUB-200-2011: CutMix, alpha 1, every batch.

Yun et al., "CutMix", arXiv 1905.04899, Table 9 and appendix B.
A tenth of ResNet-50's rates. Weights: torchvision's vgg16-397923af.pth, all but its linear layers.
expected: 52.53 top-1 localisation by `analyze wsol --wsol-protocol cutmix`, the best of one run. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/wsol-cub200.py"]

model = dict(
    backbone=dict(_delete_=True, type="frozen_det.VggGap"), last_stride=None,
    weights=dict(path="data/vgg16-397923af.pth", head="new"),
    mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=1.0))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
