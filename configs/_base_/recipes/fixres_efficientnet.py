"""FixRes of EfficientNets: label smoothing, v2, bicubic images; a config sets name and sizes.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Epochs, rate and smoothing 0.1 are not published
for them: the README's 11 epochs of v2 at 1e-4 are taken.
"""
_base_ = ["fixres.py"]

fixres = dict(transform="v2")
model = dict(backbone=dict(type="timm"), loss=dict(label_smoothing=0.1))
train_dataloader = dict(dataset=dict(transform=dict(
    _delete_=True, type="frozen_det.FixResTransform", size=224, crop_ratio=0.875, interpolation="bicubic")))
val_dataloader = dict(dataset=dict(transform=dict(size=224, crop_ratio=0.875, interpolation="bicubic")))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=11, val_interval=11)
