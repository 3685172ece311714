"""DeiT-S (ViT-S/16) by RSB A2: the recipe that was tuned for ResNet-50 on another architecture, 300 epochs.

Wightman et al., arXiv 2110.00476: ResNet-50 beats DeiT-S under A2, and DeiT-S wins under a recipe of its own.
expected: below 79.83, ResNet-50's number under A2; the paper's figure for this pair was not seen. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a2.py"]

model = dict(backbone=dict(type="timm", name="deit_small_patch16_224", drop_path_rate=0.05))
