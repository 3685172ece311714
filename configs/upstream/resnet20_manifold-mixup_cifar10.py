"""CIFAR ResNet-20 with Manifold Mixup, alpha 1, at a layer drawn for each batch. All else as in resnet20_plain_cifar10.

Yun et al., "CutMix", arXiv 1905.04899, section 4.1: its settings for CIFAR, on a small network that it does not measure.
expected: no published number; the measured variants are in docs/results.md. So small a network may lose accuracy by mixing.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["./resnet20_plain_cifar10.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=1.0, level="feature",
                         layers=("image", "bn1", "layer1", "layer2", "layer3")))
