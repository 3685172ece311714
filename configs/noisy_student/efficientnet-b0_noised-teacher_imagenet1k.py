"""Noisy Student with EfficientNet-B0, one round, with a teacher that labels with its noise on: an ablation of the paper.

Xie et al., arXiv 1911.04252; else as efficientnet-b0_imagenet1k. On which network the paper ablates was not read.
expected: not read; not run here.
    frozen-det noisy_student CONFIG --cfg-options data_root=DIR pool.sources.0.shards='DIR2/*.tar'
"""
_base_ = ["./efficientnet-b0_imagenet1k.py"]

data_root = "data/imagenet"
rounds = [dict(config="noisy_student/efficientnet-b0_noisy_imagenet1k", options=dict(data_root=data_root),
               labels="soft", temperature=1.0, ratio=1, weighting="sum", min_confidence=0.3,
               per_class=130_000)]
labelling = dict(noise=True)
