"""ViT-B/16 by RSB A3: the recipe that was tuned for ResNet-50 on another architecture.

Wightman et al., "ResNet strikes back", arXiv 2110.00476, Table 3, which has A2 ahead of A1 for it (too little regularisation
for the longer run). Its values were not seen.
expected: not read. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a3.py"]

model = dict(backbone=dict(type="timm", name="vit_base_patch16_224", dynamic_img_size=True))
