"""CIFAR ResNet-20 with Feature CutMix, alpha 1, every second batch, at a layer drawn for each. All else as in resnet20_plain_cifar10.

Yun et al., "CutMix", arXiv 1905.04899, section 4.1: its settings for CIFAR, on a small network that it does not measure.
expected: no published number; the measured variants are in docs/results.md. So small a network may lose accuracy by mixing.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["./resnet20_plain_cifar10.py"]

model = dict(mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=0.5, level="feature",
                         layers=("image", "bn1", "layer1", "layer2", "layer3")))
