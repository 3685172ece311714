"""ResNet-50 trained with CutMix at 224, tuned and tested at 320 px.

Touvron et al., arXiv 1906.06423; facebookresearch/FixRes, README (its base: CutMix's released weights).
Length and rate as released for the v2 run on this base.
expected: 79.7 top-1, 94.9 top-5 (README), from 78.6 at 224. Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_resnet.py"]

fixres = dict(train_size=224)
model = dict(backbone=dict(type="timm", name="resnet50"))
train_dataloader = dict(dataset=dict(transform=dict(size=320)))
val_dataloader = dict(dataset=dict(transform=dict(size=320)))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=11, val_interval=11)
