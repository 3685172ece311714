"""CIFAR ResNet-20 without noise: padded crops and flips alone. A teacher, or a student without noise.

Xie et al., arXiv 1911.04252, ablate noise so. expected: measured variants in docs/noisy_student.md.
    frozen-det train noisy_student/resnet20_plain_cifar10 --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/noisy_cifar10.py"]
