"""ResNet-50 trained at 224 and tested at 384 px, its pooled activations mapped back to their distribution at 224 px.

Touvron et al., arXiv 1906.06423: the parametric adaptation; nothing is tuned. `train` trains the base of it.
expected: not read; the tuning of the same network gives 79.0 top-1. Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../upstream/resnet50_fixres-base-224px_imagenet1k.py"]

fixres = dict(train_size=224, parametric=True)
val_dataloader = dict(dataset=dict(transform=dict(size=384, crop_ratio=0.875)))
test_dataloader = val_dataloader
