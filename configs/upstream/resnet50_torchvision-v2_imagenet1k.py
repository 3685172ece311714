"""ResNet-50 by torchvision's second recipe (IMAGENET1K_V2): a control beside RSB, 600 epochs, 176 px, tested at 224.

pytorch/vision, issue 3995 (the command) and references/classification: TrivialAugment, erasing 0.1, smoothing 0.1,
Mixup 0.2 or CutMix 1, SGD 0.5 for 1024 images, weight decay 2e-5 but not on norms, EMA, repeated augmentation of 4.
expected: 80.858 top-1, 95.434 top-5 (torchvision's weights). Not run on ImageNet here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/classifier_runtime.py", "../_base_/datasets/imagenet1k.py"]

epochs = 600
warmup_epochs = 5
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="torchvision", name="resnet50"),
    num_classes=1000,
    weights=None,
    mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=0.2, cutmix_alpha=1.0, prob=1.0, switch_prob=0.5),
    loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1))

train_dataloader = dict(
    batch_size=128,
    sampler=dict(_delete_=True, type="frozen_det.RepeatAugSampler", num_repeats=4),
    dataset=dict(transform=dict(preset="torchvision-v2", size=176)))
val_dataloader = dict(dataset=dict(transform=dict(size=224, resize=232, interpolation="bilinear")))
test_dataloader = val_dataloader

accumulate = 8
auto_scale_lr = dict(enable=True, base_batch_size=1024)
# Biases get no decay here; torchvision spares norms alone. In a ResNet only fc.bias differs.
optim_wrapper = dict(type="OptimWrapper", constructor="frozen_det.DecayGroups",
                     optimizer=dict(type="SGD", lr=0.5, momentum=0.9, weight_decay=2e-5))
param_scheduler = [
    dict(type="frozen_det.WarmUpCosineLR", by_epoch=True, warm_up=warmup_epochs, start_lr=0.005,
         T_max=epochs, cosine_after=True),
]
train_cfg = dict(max_epochs=epochs)
# EMA every 32 updates; 2e-5 * 1024 images * 32 / 600 epochs. Validation and checkpoint have the average.
custom_hooks = [
    dict(type="frozen_det.StepSeedHook"),
    dict(type="frozen_det.NaNGuardHook"),
    dict(type="frozen_det.EMAHook", ema_type="ExponentialMovingAverage", momentum=1.0923e-3, interval=32, update_buffers=True),
]
