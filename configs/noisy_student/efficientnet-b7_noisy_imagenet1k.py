"""EfficientNet-B7 as teacher or student of Noisy Student at 600 px: 350 epochs.

Xie et al., arXiv 1911.04252, with the released script's values (local_scripts/imagenet/train_offline.sh).
RandAugment at 27; dropout 0.5, stochastic depth 0.2,
decay every 2.4 epochs. expected: 86.85 for the published student, as timm
measures its weights; not trained here.
    frozen-det noisy_student noisy_student/efficientnet-b7_imagenet1k
"""
_base_ = ["../_base_/recipes/noisy_imagenet1k.py"]

epochs = 350
model = dict(backbone=dict(type="timm", name="tf_efficientnet_b7", drop_rate=0.5, drop_path_rate=0.2))
train_dataloader = dict(dataset=dict(transform=dict(size=600, magnitude=27)))
val_dataloader = dict(dataset=dict(transform=dict(size=600, crop_ratio=600 / 632)))
test_dataloader = val_dataloader
param_scheduler = dict(step_size=2.4)
train_cfg = dict(max_epochs=epochs)
