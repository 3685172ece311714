"""EfficientNet-B2 trained at 260, tuned and tested at 420 px, with label smoothing.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Bases: AdvProp's weights (weights='timm');
for Noisy Student's take the name tf_efficientnet_b2.ns_jft_in1k.
expected: 82.0 top-1; with Noisy Student's weights 83.6 (README's tables). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_efficientnet.py"]

fixres = dict(train_size=260)
model = dict(backbone=dict(name="tf_efficientnet_b2.ap_in1k"))
train_dataloader = dict(dataset=dict(transform=dict(size=420)))
val_dataloader = dict(dataset=dict(transform=dict(size=420)))
test_dataloader = val_dataloader
