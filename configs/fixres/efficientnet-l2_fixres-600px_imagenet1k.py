"""EfficientNet-L2 with Noisy Student's weights of 475 px, tuned and tested at 600 px, with label smoothing.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Base: Noisy Student's weights, weights='timm'.
Epochs, rate and smoothing 0.1 are not published for it: the README's 11 epochs of v2 at 1e-4 are taken.
expected: 88.5 top-1, 98.7 top-5 (README). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/upstream_fixres.py"]

fixres = dict(train_size=475, transform="v2")
model = dict(backbone=dict(type="timm", name="tf_efficientnet_l2.ns_jft_in1k_475"),
             loss=dict(label_smoothing=0.1))

train_dataloader = dict(batch_size=8, dataset=dict(transform=dict(
    _delete_=True, type="frozen_det.FixResTransform", size=600, crop_ratio=0.875, interpolation="bicubic")))
val_dataloader = dict(batch_size=8, dataset=dict(transform=dict(size=600, crop_ratio=0.875, interpolation="bicubic")))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=11, val_interval=11)
