"""ResNet-50 by RSB A1: 600 epochs, 224 px.

Wightman et al., "ResNet strikes back", arXiv 2110.00476.
expected: 80.38 top-1, the last epoch's: timm's resnet50.a1_in1k on ImageNet val at 224 px (the paper: 80.4). Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a1.py"]

model = dict(backbone=dict(type="timm", name="resnet50", drop_path_rate=0.05))
