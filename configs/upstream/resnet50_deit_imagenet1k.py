"""ResNet-50 by DeiT's recipe: the other half of the comparison with deit-small_rsb-a2.

Touvron et al., "Training data-efficient image transformers", arXiv 2012.12877.
expected: no number is known to us; the RSB paper warns that a recipe made for one architecture ranks another too low. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/deit.py"]

model = dict(backbone=dict(type="timm", name="resnet50", drop_path_rate=0.1))
