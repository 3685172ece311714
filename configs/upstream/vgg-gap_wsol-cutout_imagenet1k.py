"""VGG-GAP for localisation on ImageNet: Cutout, 112 px.

Yun et al., "CutMix", arXiv 1905.04899, Table 9 and appendix B.
At ResNet-50's rates, for the paper gives no others. Weights: torchvision's vgg16-397923af.pth, all but its linear layers.
expected: 43.13 top-1 localisation by `analyze wsol --wsol-protocol cutmix`, the best of one run. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/wsol-imagenet.py"]

model = dict(
    backbone=dict(_delete_=True, type="frozen_det.VggGap"), last_stride=None,
    weights=dict(path="data/vgg16-397923af.pth", head="new"),
    mixing=dict(type="frozen_det.BatchMixing", cutout_size=112))
