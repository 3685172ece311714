"""CutMix's own recipe on ImageNet: 300 epochs, batch 256, SGD with Nesterov momentum, three steps.

Yun et al., "CutMix", ICCV 2019 (arXiv 1905.04899), section 4.1; augmentation by clovaai/CutMix-PyTorch, train.py.
"""
_base_ = ["../classifier_runtime.py", "../datasets/imagenet1k.py"]

epochs = 300
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="timm", name="resnet50"),
    num_classes=1000,
    weights=None,
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))

train_dataloader = dict(dataset=dict(transform=dict(preset="cutmix-imagenet", size=224)))
val_dataloader = dict(dataset=dict(transform=dict(size=224, crop_ratio=0.875, interpolation="bilinear")))
test_dataloader = val_dataloader

auto_scale_lr = dict(enable=True, base_batch_size=256)
optim_wrapper = dict(type="OptimWrapper",
                     optimizer=dict(type="SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[75, 150, 225], gamma=0.1)]
train_cfg = dict(max_epochs=epochs)
