"""ResNet-50 trained at 224, tuned and tested at 384 px with the test's transform.

Touvron et al., arXiv 1906.06423; facebookresearch/FixRes, README: 56 epochs of 8 x 64 images, 1e-3 for 64.
expected: 79.0 top-1, 94.6 top-5 (README), from 77.0 at 224; the base is its authors' own 120 epochs. Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_resnet.py"]

fixres = dict(train_size=224)
model = dict(backbone=dict(type="torchvision", name="resnet50"))
train_dataloader = dict(dataset=dict(transform=dict(size=384)))
val_dataloader = dict(dataset=dict(transform=dict(size=384)))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=56, val_interval=56)
