"""ResNet-50 on ImageNet as in CutMix's comparison: stochastic depth, 0.25 at the last block.

Yun et al., "CutMix", arXiv 1905.04899, Table 3.
expected: 77.54 top-1 (22.46 error), the best epoch of one run; the last epoch's is lower. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-imagenet.py"]

model = dict(backbone=dict(type="timm", name="resnet50", drop_path_rate=0.25))
