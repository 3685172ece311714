"""Noisy Student on CIFAR-10, cut to minutes on a CPU: 4,000 labels, a pool of 20,000, two rounds of 1,500 updates each.

A teacher sees 80,000 images, a student 96,000, in batches of 64 (a student's: 16 labelled, 48 pseudo-labelled ones).
Xie et al., arXiv 1911.04252. expected: docs/noisy_student.md has the measured variants.
    frozen-det noisy_student noisy_student/resnet20_short_cifar10 --seed 0 --cfg-options data_root=DIR
"""
data_root = "data/cifar10"
_student = dict(
    config="noisy_student/resnet20_noisy_cifar10",
    options=dict(data_root=data_root, train_dataloader=dict(batch_size=16), auto_scale_lr=dict(base_batch_size=16),
                 train_cfg=dict(max_epochs=6), param_scheduler={"0": dict(T_max=6)}),
    labels="soft", ratio=3, weighting="mean", min_confidence=0.3, per_class=2000)

split = dict(data_root=data_root, split="train", per_class=400, pool_images=20_000, seed=0)
teacher = dict(
    config="noisy_student/resnet20_plain_cifar10", weights=None,
    options=dict(data_root=data_root, train_cfg=dict(max_epochs=20), param_scheduler={"0": dict(T_max=20)}))
rounds = [dict(**_student), dict(**_student)]
labelling = dict(batch_size=250, part_size=5000)
fixres = None
test = True
