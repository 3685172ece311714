"""ResNet-18 by RSB A2: 300 epochs, 224 px.

Wightman et al., "ResNet strikes back", arXiv 2110.00476.
expected: 70.63 top-1, the last epoch's: timm's resnet18.a2_in1k on ImageNet val at 224 px. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a2.py"]

model = dict(backbone=dict(type="timm", name="resnet18", drop_path_rate=0.05))
