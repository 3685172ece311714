"""EfficientNet-B6 trained at 528, tuned and tested at 576 px, with label smoothing.

Touvron et al., arXiv 2003.08237; facebookresearch/FixRes, README (sizes). Bases: AdvProp's weights (weights='timm');
for Noisy Student's take the name tf_efficientnet_b6.ns_jft_in1k.
expected: 84.9 top-1 at 576; with Noisy Student's weights 86.7 at 680 (README's tables). Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_efficientnet.py"]

fixres = dict(train_size=528)
model = dict(backbone=dict(name="tf_efficientnet_b6.ap_in1k"))
train_dataloader = dict(dataset=dict(transform=dict(size=576)))
val_dataloader = dict(dataset=dict(transform=dict(size=576)))
test_dataloader = val_dataloader
