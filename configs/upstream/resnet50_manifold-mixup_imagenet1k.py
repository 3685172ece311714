"""ResNet-50 on ImageNet as in CutMix's comparison: Manifold Mixup, alpha 1.

Yun et al., "CutMix", arXiv 1905.04899, Table 3.
A layer is drawn from those that the paper's Figure 3 lists: the image, after the first convolution and norm, layers 1 to 3.
expected: 77.50 top-1 (22.50 error), the best epoch of one run; the last epoch's is lower. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-imagenet.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=1.0, level="feature",
                         layers=("image", "bn1", "layer1", "layer2", "layer3")))
