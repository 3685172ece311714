"""ResNeXt-101 32x48d, weakly supervised at 224, tuned and tested at 320 px.

Touvron et al., arXiv 1906.06423; facebookresearch/FixRes, README: 1 epoch, 32 x 8 images, 1e-3 for 64.
Base: facebookresearch WSL-Images (CC BY-NC).
expected: 86.3 top-1, 97.9 top-5 (README), from 85.4 at 224. Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_resnet.py"]

fixres = dict(train_size=224)
model = dict(backbone=dict(type="torchvision", name="resnet101", groups=32, width_per_group=48))
train_dataloader = dict(batch_size=8, dataset=dict(transform=dict(size=320)))
val_dataloader = dict(batch_size=8, dataset=dict(transform=dict(size=320)))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
