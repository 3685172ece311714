"""ResNet-50 trained at 160 px as FixRes' authors do: the starting point of its fine-tuning.

Touvron et al., arXiv 1906.06423; facebookresearch/FixRes. Then: frozen-det fixres fixres/resnet50_fixres-... CHECKPOINT
expected: not read. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres-base.py"]

train_dataloader = dict(dataset=dict(transform=dict(size=160)))
val_dataloader = dict(dataset=dict(transform=dict(size=160)))
test_dataloader = val_dataloader
