"""ResNet-50 trained at 128 px, tuned and tested at 224: the cheap training.

Touvron et al., arXiv 1906.06423; abstract. Length and rate are those released for 384 px.
expected: 77.1 top-1 (abstract); its base is a ResNet-50 trained at 128 px. Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_resnet.py"]

fixres = dict(train_size=128)
model = dict(backbone=dict(type="torchvision", name="resnet50"))
train_dataloader = dict(dataset=dict(transform=dict(size=224)))
val_dataloader = dict(dataset=dict(transform=dict(size=224)))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=56, val_interval=56)
