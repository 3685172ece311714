"""What CIFAR-10's teachers and students share: ResNet-20, few updates, averaged weights, cosine rate.

Batches of 64 in all: 64 labelled images for a teacher; a student's config has fewer, and pseudo-labels fill up.
"""
_base_ = ["../classifier_runtime.py", "../datasets/cifar10.py"]

epochs = 16
model = dict(
    type="frozen_det.NoisyClassifier",
    backbone=dict(type="frozen_det.CifarResNet", depth=20),
    num_classes=10,
    loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1))

train_dataloader = dict(batch_size=64)
optim_wrapper = dict(type="OptimWrapper",
                     optimizer=dict(type="SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, T_max=epochs, convert_to_iter_based=True)]
auto_scale_lr = dict(enable=True, base_batch_size=64)
custom_hooks = [
    dict(type="frozen_det.StepSeedHook"),
    dict(type="frozen_det.NaNGuardHook"),
    dict(type="frozen_det.EMAHook", ema_type="frozen_det.WarmUpAverage", momentum=0.01, update_buffers=True),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=1000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
