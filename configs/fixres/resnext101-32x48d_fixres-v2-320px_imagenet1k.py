"""ResNeXt-101 32x48d, weakly supervised at 224, tuned at 320 px with light augmentation (v2).

Touvron et al., arXiv 1906.06423; facebookresearch/FixRes, README: 11 epochs, 1e-4 for 64 images.
Base: facebookresearch WSL-Images (CC BY-NC).
expected: 86.4 top-1, 98.0 top-5 (README). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_resnet.py"]

fixres = dict(train_size=224, transform="v2")
model = dict(backbone=dict(type="torchvision", name="resnet101", groups=32, width_per_group=48))
train_dataloader = dict(batch_size=8, dataset=dict(transform=dict(type="frozen_det.FixResTransform", size=320)))
val_dataloader = dict(batch_size=8, dataset=dict(transform=dict(size=320)))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=11, val_interval=11)
