"""CutMix's own recipe on CIFAR: 300 epochs, batch 64, SGD with Nesterov momentum, two steps.

Yun et al., "CutMix", ICCV 2019 (arXiv 1905.04899), section 4.1.
"""
_base_ = ["../classifier_runtime.py", "../datasets/cifar10.py"]

epochs = 300
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="frozen_det.CifarPyramidNet", depth=200, alpha=240),
    num_classes=10,
    weights=None,
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))

train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(enable=True, base_batch_size=64)
optim_wrapper = dict(type="OptimWrapper",
                     optimizer=dict(type="SGD", lr=0.25, momentum=0.9, nesterov=True, weight_decay=1e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[150, 225], gamma=0.1)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
