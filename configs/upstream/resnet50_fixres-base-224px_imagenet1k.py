"""ResNet-50 trained at 224 px as FixRes' authors do: the starting point of its fine-tuning.

Touvron et al., arXiv 1906.06423; facebookresearch/FixRes. Then: frozen-det fixres fixres/resnet50_fixres-... CHECKPOINT
expected: 77.0 top-1, 93.4 top-5 at 224 px (README). Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres-base.py"]
