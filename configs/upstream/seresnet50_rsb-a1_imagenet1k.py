"""SE-ResNet-50 by RSB A1: 600 epochs, 224 px.

Wightman et al., "ResNet strikes back", arXiv 2110.00476, Table 3: ResNet-50's recipe, unchanged, on another architecture.
expected: 80.01 top-1, the last epoch's: timm's seresnet50.a1_in1k on ImageNet val at 224 px. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a1.py"]

model = dict(backbone=dict(type="timm", name="seresnet50", drop_path_rate=0.05))
