"""resnet20_short_cifar10 with one round, for its variants.

expected: docs/noisy_student.md.
    frozen-det noisy_student CONFIG --cfg-options data_root=DIR rounds.0.labels=hard          hard pseudo-labels
    ... rounds.0.config=noisy_student/resnet20_plain_cifar10                                   a student without noise
    ... rounds.0.ratio=0 rounds.0.options.train_dataloader.batch_size=64 rounds.0.options.train_cfg.max_epochs=24 \
        rounds.0.options.auto_scale_lr.base_batch_size=64 rounds.0.options.param_scheduler.0.T_max=24   no pseudo-labels
    ... teacher.weights=FIRST/teacher/epoch_20.pth                         the teacher of another variant with the same seed
"""
_base_ = ["./resnet20_short_cifar10.py"]

rounds = [dict(
    config="noisy_student/resnet20_noisy_cifar10",
    options=dict(data_root="data/cifar10", train_dataloader=dict(batch_size=16),
                 auto_scale_lr=dict(base_batch_size=16), train_cfg=dict(max_epochs=6),
                 param_scheduler={"0": dict(T_max=6)}),
    labels="soft", ratio=3, weighting="mean", min_confidence=0.3, per_class=2000)]
