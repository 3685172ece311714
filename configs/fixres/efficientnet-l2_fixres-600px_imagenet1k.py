"""EfficientNet-L2 with Noisy Student's weights of 475 px, tuned and tested at 600 px, with label smoothing.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Base: Noisy Student's weights, weights='timm'.
expected: 88.5 top-1, 98.7 top-5 (README). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_efficientnet.py"]

fixres = dict(train_size=475)
model = dict(backbone=dict(name="tf_efficientnet_l2.ns_jft_in1k_475"))
train_dataloader = dict(batch_size=8, dataset=dict(transform=dict(size=600)))
val_dataloader = dict(batch_size=8, dataset=dict(transform=dict(size=600)))
test_dataloader = val_dataloader
