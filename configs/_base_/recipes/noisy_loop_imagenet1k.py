"""Noisy Student on ImageNet with teacher and student of one size: one round; a config sets `_student` and `_ratio`.

Xie et al., arXiv 1911.04252, with the released scripts' values (google-research/noisystudent, local_scripts/imagenet):
confidence from 0.3, 130,000 images of each class, soft labels, the sum of both losses. The pool was JFT-300M, which is
not public: give your own.
"""
data_root = "data/imagenet"
_student = "noisy_student/efficientnet-b0_noisy_imagenet1k"
_ratio = 1  # unlabelled images for a labelled one
_part = dict(config=_student, options=dict(data_root=data_root))

teacher = dict(**_part)
pool = dict(sources=[dict(shards="data/pool/*.tar")])
guards = []
rounds = [dict(**_part, labels="soft", temperature=1.0, ratio=_ratio, weighting="sum", min_confidence=0.3,
               per_class=130_000)]
labelling = dict(batch_size=256, num_workers=8, min_vector_confidence=0.3)
fixres = None
test = True
