"""CutMix's own recipe on CIFAR-100: 300 epochs, batch 64, SGD with Nesterov momentum, two steps; PyramidNet-200, alpha 240.

Yun et al., "CutMix", ICCV 2019 (arXiv 1905.04899), section 4.1. The data are torchvision's download, `cifar-100-python` in
data_root, in memory.
"""
_base_ = ["../classifier_runtime.py"]

epochs = 300
data_root = "data/cifar100"
_collate = dict(type="frozen_det.collate_images")
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="frozen_det.CifarPyramidNet", depth=200, alpha=240),
    num_classes=100,
    weights=None,
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))

train_dataloader = dict(
    batch_size=64, num_workers=0, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(type="frozen_det.Cifar", data_root=data_root, name="cifar100", split="train",
                 transform=dict(type="frozen_det.CifarTrain", padding=4, flip=0.5)))
val_dataloader = dict(
    batch_size=250, num_workers=0, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=False),
    dataset=dict(type="frozen_det.Cifar", data_root=data_root, name="cifar100", split="test", test_mode=True,
                 transform=dict(type="frozen_det.CifarEval")))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.ClassificationMetric")
test_evaluator = val_evaluator

auto_scale_lr = dict(enable=True, base_batch_size=64)
optim_wrapper = dict(type="OptimWrapper",
                     optimizer=dict(type="SGD", lr=0.25, momentum=0.9, nesterov=True, weight_decay=1e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[150, 225], gamma=0.1)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
