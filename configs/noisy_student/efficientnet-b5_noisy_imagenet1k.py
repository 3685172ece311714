"""EfficientNet-B5 as teacher or student of Noisy Student at 456 px: 350 epochs.

Xie et al., arXiv 1911.04252, with the released script's values (local_scripts/imagenet/train_offline.sh).
RandAugment at 18; dropout 0.4, stochastic depth 0.2,
decay every 2.4 epochs. expected: 86.1 for the published student, as timm
measures its weights; not trained here.
    frozen-det noisy_student noisy_student/efficientnet-b5_imagenet1k
"""
_base_ = ["../_base_/recipes/noisy_imagenet1k.py"]

epochs = 350
model = dict(backbone=dict(type="timm", name="tf_efficientnet_b5", drop_rate=0.4, drop_path_rate=0.2))
train_dataloader = dict(dataset=dict(transform=dict(size=456, magnitude=18)))
val_dataloader = dict(dataset=dict(transform=dict(size=456, crop_ratio=456 / 488)))
test_dataloader = val_dataloader
param_scheduler = dict(step_size=2.4)
train_cfg = dict(max_epochs=epochs)
