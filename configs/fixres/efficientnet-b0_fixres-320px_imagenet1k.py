"""EfficientNet-B0 trained at 224, tuned and tested at 320 px, with label smoothing.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Bases: AdvProp's weights (weights='timm');
for Noisy Student's take the name tf_efficientnet_b0.ns_jft_in1k.
Epochs, rate and smoothing 0.1 are not published for it: the README's 11 epochs of v2 at 1e-4 are taken.
expected: 79.3 top-1; with Noisy Student's weights 80.2 (README's tables). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/upstream_fixres.py"]

fixres = dict(train_size=224, transform="v2")
model = dict(backbone=dict(type="timm", name="tf_efficientnet_b0.ap_in1k"),
             loss=dict(label_smoothing=0.1))

train_dataloader = dict(dataset=dict(transform=dict(
    _delete_=True, type="frozen_det.FixResTransform", size=320, crop_ratio=0.875, interpolation="bicubic")))
val_dataloader = dict(dataset=dict(transform=dict(size=320, crop_ratio=0.875, interpolation="bicubic")))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=11, val_interval=11)
