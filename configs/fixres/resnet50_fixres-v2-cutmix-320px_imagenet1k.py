"""ResNet-50 trained with CutMix at 224, tuned at 320 px with light augmentation (v2).

Touvron et al., arXiv 1906.06423; facebookresearch/FixRes, README: 11 epochs, 1e-3 for 64 images.
expected: 79.8 top-1, 94.9 top-5 (README). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_resnet.py"]

fixres = dict(train_size=224, transform="v2")
model = dict(backbone=dict(type="timm", name="resnet50"))
train_dataloader = dict(dataset=dict(transform=dict(type="frozen_det.FixResTransform", size=320)))
val_dataloader = dict(dataset=dict(transform=dict(size=320)))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=11, val_interval=11)
