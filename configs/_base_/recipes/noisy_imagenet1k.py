"""Noisy Student on ImageNet: what all sizes share, with the released code's values.

Xie et al., arXiv 1911.04252; google-research/noisystudent, main.py: RMSProp (0.9, 0.9, 1e-3), 0.128 for 2048 labelled
images, 5 epochs of warm-up, times 0.97 in steps, weight decay 1e-5 but on norms, smoothing 0.1 on labels, averages
with 0.9999. Joint batches are the loop's (frozen-det noisy_student).
"""
_base_ = ["../classifier_runtime.py", "../datasets/imagenet1k.py"]

model = dict(
    type="frozen_det.NoisyClassifier",
    num_classes=1000,
    weights=None,
    loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1))

# 2048 labelled images for an update: eight processes of 256.
train_dataloader = dict(
    batch_size=256,
    dataset=dict(transform=dict(_delete_=True, type="frozen_det.NoisyTrain", size=224, magnitude=None)))
auto_scale_lr = dict(enable=True, base_batch_size=2048)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="frozen_det.RMSpropTF", lr=0.128, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=1e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0))
# Counted in epochs of labelled images, whatever the processes and the accumulated steps; a size sets its step_size.
param_scheduler = dict(type="frozen_det.WarmUpStepLR", warm_up=5, step_size=2.4, gamma=0.97, convert_to_iter_based=True)
custom_hooks = [
    dict(type="frozen_det.StepSeedHook"),
    dict(type="frozen_det.NaNGuardHook"),
    dict(type="frozen_det.EMAHook", ema_type="frozen_det.WarmUpAverage", momentum=1e-4, update_buffers=True),
]
