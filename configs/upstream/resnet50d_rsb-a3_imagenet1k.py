"""ResNet-50-D by RSB A3: 100 epochs, trained at 160 px, tested at 224.

Wightman et al., "ResNet strikes back", arXiv 2110.00476, Table 3: ResNet-50's recipe, unchanged, on another architecture.
expected: 78.74 top-1, the last epoch's: timm's resnet50d.a3_in1k on ImageNet val at 224 px. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a3.py"]

model = dict(backbone=dict(type="timm", name="resnet50d"))
