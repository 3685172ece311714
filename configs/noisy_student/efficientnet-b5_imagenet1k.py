"""Noisy Student with EfficientNet-B5 as teacher and student of the same size: one round, 3 unlabelled for 1 labelled.

Xie et al., arXiv 1911.04252, with the released scripts' values (google-research/noisystudent, local_scripts/imagenet):
confidence from 0.3, 130,000 images of each class, soft labels, the sum of both losses. The pool was JFT-300M, which is
not public: give your own. expected: 86.1 (timm's measurement of the published weights); not run here.
    frozen-det noisy_student CONFIG --cfg-options data_root=DIR pool.sources.0.shards='DIR2/*.tar'
"""
data_root = "data/imagenet"
_part = dict(config="noisy_student/efficientnet-b5_noisy_imagenet1k", options=dict(data_root=data_root))

teacher = dict(**_part)
pool = dict(sources=[dict(shards="data/pool/*.tar")])
guards = []
rounds = [dict(**_part, labels="soft", temperature=1.0, ratio=3, weighting="sum", min_confidence=0.3,
               per_class=130_000)]
labelling = dict(batch_size=256, num_workers=8, min_vector_confidence=0.3)
fixres = None
test = True
