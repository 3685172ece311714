"""DeiT-S by its own recipe.

Touvron et al., "Training data-efficient image transformers", arXiv 2012.12877.
expected: 79.8 top-1 (arXiv 2012.12877). Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/deit.py"]

model = dict(backbone=dict(type="timm", name="deit_small_patch16_224", drop_path_rate=0.1))
