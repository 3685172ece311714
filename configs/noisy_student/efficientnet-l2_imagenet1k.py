"""Noisy Student as in the paper's best result: B7 teaches L2, L2 teaches L2 twice; then a step at a larger resolution.

Xie et al., arXiv 1911.04252: ratios 14, 14 and 28 give 87.6, 88.1 and 88.4; the last step is 1.5 epochs on labelled
images without augmentation with the shallow layers frozen (two epochs here, an epoch being the unit). The pool was
JFT-300M, which is not public; one round took 6 days on 2048 TPU cores. expected: 88.4; not run here.
    frozen-det noisy_student CONFIG --cfg-options data_root=DIR pool.sources.0.shards='DIR2/*.tar'
"""
data_root = "data/imagenet"
_l2 = dict(config="noisy_student/efficientnet-l2_noisy_imagenet1k", options=dict(data_root=data_root), labels="soft",
           temperature=1.0, weighting="sum", min_confidence=0.3, per_class=130_000)

teacher = dict(config="noisy_student/efficientnet-b7_noisy_imagenet1k", options=dict(data_root=data_root))
pool = dict(sources=[dict(shards="data/pool/*.tar")])
guards = []
rounds = [dict(**_l2, ratio=14), dict(**_l2, ratio=14), dict(**_l2, ratio=28)]
labelling = dict(batch_size=64, num_workers=8, min_vector_confidence=0.3)
fixres = dict(test_size=800, epochs=2, whole=["blocks.4", "blocks.5", "blocks.6", "conv_head", "bn2"])
test = True
