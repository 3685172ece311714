"""ResNet-50 by RSB A2 with BCE with targets that sum to 1: the paper's ablation, which changes one option.

Wightman et al., "ResNet strikes back", arXiv 2110.00476.
expected: slightly below A2's 79.83; the paper's figure was not seen. Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a2.py"]

model = dict(backbone=dict(type="timm", name="resnet50", drop_path_rate=0.05),
             loss=dict(target_threshold=None, sum_to_one=True))
