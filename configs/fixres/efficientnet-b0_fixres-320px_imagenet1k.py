"""EfficientNet-B0 trained at 224, tuned and tested at 320 px, with label smoothing.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Bases: AdvProp's weights (weights='timm');
for Noisy Student's take the name tf_efficientnet_b0.ns_jft_in1k.
expected: 79.3 top-1; with Noisy Student's weights 80.2 (README's tables). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_efficientnet.py"]

fixres = dict(train_size=224)
model = dict(backbone=dict(name="tf_efficientnet_b0.ap_in1k"))
train_dataloader = dict(dataset=dict(transform=dict(size=320)))
val_dataloader = dict(dataset=dict(transform=dict(size=320)))
test_dataloader = val_dataloader
