"""The whole Noisy Student loop in seconds, on a few small images: two rounds and the fix-resolution step.

Data: data_root/train/CLASS/* of any classes, with test or val beside it or without, and images without labels in
data_root/pool; those are taken from elsewhere by pool.sources.0.folder=DIR2.
Xie et al., arXiv 1911.04252, with everything small. expected: nothing; it shows that a loop runs.
    frozen-det noisy_student noisy_student/quick --cfg-options data_root=DIR
"""
data_root = "data/quick"
_student = dict(config="noisy_student/resnet8_noisy_folder", options=dict(data_root=data_root), labels="soft", ratio=2,
                temperature=1.0, min_confidence=0.0, per_class=8)

teacher = dict(config="noisy_student/resnet8_noisy_folder", options=dict(data_root=data_root))
pool = dict(sources=[dict(folder=data_root + "/pool")])
guards = []
rounds = [dict(**_student), {**_student, "labels": "hard", "start": "warm"}]
labelling = dict(batch_size=8, part_size=10)
fixres = dict(test_size=16, epochs=1)
test = True
