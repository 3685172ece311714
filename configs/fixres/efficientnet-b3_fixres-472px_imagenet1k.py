"""EfficientNet-B3 trained at 300, tuned and tested at 472 px, with label smoothing.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Bases: AdvProp's weights (weights='timm');
for Noisy Student's take the name tf_efficientnet_b3.ns_jft_in1k.
expected: 83.0 top-1; with Noisy Student's weights 85.0 (README's tables). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_efficientnet.py"]

fixres = dict(train_size=300)
model = dict(backbone=dict(name="tf_efficientnet_b3.ap_in1k"))
train_dataloader = dict(dataset=dict(transform=dict(size=472)))
val_dataloader = dict(dataset=dict(transform=dict(size=472)))
test_dataloader = val_dataloader
