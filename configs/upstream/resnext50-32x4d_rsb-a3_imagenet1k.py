"""ResNeXt-50 (32 x 4d) by RSB A3: 100 epochs, trained at 160 px, tested at 224.

Wightman et al., "ResNet strikes back", arXiv 2110.00476, Table 3: ResNet-50's recipe, unchanged, on another architecture.
expected: 79.26 top-1, the last epoch's: timm's resnext50_32x4d.a3_in1k on ImageNet val at 224 px. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a3.py"]

model = dict(backbone=dict(type="timm", name="resnext50_32x4d"))
