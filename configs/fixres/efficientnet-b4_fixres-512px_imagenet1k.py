"""EfficientNet-B4 trained at 380, tuned and tested at 512 px, with label smoothing.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Bases: AdvProp's weights (weights='timm');
for Noisy Student's take the name tf_efficientnet_b4.ns_jft_in1k.
expected: 84.0 top-1 at 512; with Noisy Student's weights 85.9 at 472 (README's tables). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_efficientnet.py"]

fixres = dict(train_size=380)
model = dict(backbone=dict(name="tf_efficientnet_b4.ap_in1k"))
train_dataloader = dict(dataset=dict(transform=dict(size=512)))
val_dataloader = dict(dataset=dict(transform=dict(size=512)))
test_dataloader = val_dataloader
