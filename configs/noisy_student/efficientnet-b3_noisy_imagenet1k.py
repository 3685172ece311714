"""EfficientNet-B3 as teacher or student of Noisy Student at 300 px: 700 epochs.

Xie et al., arXiv 1911.04252, with the released script's values (local_scripts/imagenet/train_offline.sh).
RandAugment at 12; dropout 0.3, stochastic depth 0.2,
decay every 4.8 epochs. expected: 84.05 for the published student, as timm
measures its weights; not trained here.
    frozen-det noisy_student noisy_student/efficientnet-b3_imagenet1k
"""
_base_ = ["../_base_/recipes/noisy_imagenet1k.py"]

epochs = 700
model = dict(backbone=dict(type="timm", name="tf_efficientnet_b3", drop_rate=0.3, drop_path_rate=0.2))
train_dataloader = dict(dataset=dict(transform=dict(size=300, magnitude=12)))
val_dataloader = dict(dataset=dict(transform=dict(size=300, crop_ratio=300 / 332)))
test_dataloader = val_dataloader
param_scheduler = dict(step_size=4.8)
train_cfg = dict(max_epochs=epochs)
