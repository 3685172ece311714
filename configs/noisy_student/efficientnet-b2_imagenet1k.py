"""Noisy Student with EfficientNet-B2 as teacher and student of the same size: one round, 3 unlabelled for 1 labelled.

Xie et al., arXiv 1911.04252. expected: 82.41 (timm's measurement of the published weights); not run here.
    frozen-det noisy_student CONFIG --cfg-options data_root=DIR pool.sources.0.shards='DIR2/*.tar'
"""
_base_ = ["../_base_/recipes/noisy_loop_imagenet1k.py"]

_student = "noisy_student/efficientnet-b2_noisy_imagenet1k"
_ratio = 3
