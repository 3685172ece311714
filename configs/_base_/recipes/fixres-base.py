"""FixRes' own ResNet-50: 120 epochs of two passes, each image three times, plain SGD; sizes by recipe.

facebookresearch/FixRes, main_resnet50_scratch.py and imnet_resnet50_scratch/train.py: SGD at 0.16 for 512 images without
Nesterov, a tenth every 30 of its epochs, crops, flips, colours by 0.3. Its epoch is 5005 steps of 512 images, two passes
of N samples (RASampler, len_factor 2); an epoch here is N samples, so that 120 are 240 and 30 are 60.
"""
_base_ = ["../classifier_runtime.py", "../datasets/imagenet1k.py"]

model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="torchvision", name="resnet50"),
    num_classes=1000,
    weights=None,
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))

train_dataloader = dict(
    batch_size=64,
    sampler=dict(_delete_=True, type="frozen_det.RepeatAugSampler", num_repeats=3),
    dataset=dict(transform=dict(preset="basic", size=224, interpolation="bilinear", color_jitter=0.3)))
val_dataloader = dict(dataset=dict(transform=dict(size=224, crop_ratio=0.875, interpolation="bilinear")))
test_dataloader = val_dataloader

accumulate = 8
auto_scale_lr = dict(enable=True, base_batch_size=512)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.16, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type="StepLR", by_epoch=True, step_size=60, gamma=0.1)]
train_cfg = dict(max_epochs=240)
