"""ResNet-50 by RSB A2 with cross entropy in place of BCE: the paper's ablation, which changes one option.

Wightman et al., "ResNet strikes back", arXiv 2110.00476.
expected: below A2's 79.83: the paper says the loss costs clearly, its figure is not known to us. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a2.py"]

model = dict(backbone=dict(type="timm", name="resnet50", drop_path_rate=0.05),
             loss=dict(_delete_=True, type="frozen_det.SoftTargetCrossEntropy"))
