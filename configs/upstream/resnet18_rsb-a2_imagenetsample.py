"""ResNet-18 by all of RSB A2 for 20 iterations of 100 images: shows that the recipe runs and its loss falls.

Wightman et al., arXiv 2110.00476. Only batch, length and data differ from resnet18_rsb-a2_imagenet1k; the rate is the one
for 2048 images, unscaled, so that 20 steps show something. The data are a list file, `data_root/labels.txt`, with lines
`path index`, 1000 of them: 10 iterations make an epoch, so a run that is stopped can go on in the middle.
expected: a loss from 0.70 to 0.53 (measured on one image of each ImageNet class); no accuracy worth the name.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/rsb-a2.py"]

data_root = "data/imagenet_sample"
epochs = 2
_iterations = 10 * epochs
model = dict(backbone=dict(type="timm", name="resnet18", drop_path_rate=0.05))
train_dataloader = dict(
    batch_size=100, num_workers=1, pin_memory=False,
    dataset=dict(_delete_=True, type="frozen_det.ImageList", ann_file=f"{data_root}/labels.txt", num_classes=1000,
                 transform=dict(type="frozen_det.TrainTransform", preset="rsb", size=224)))
val_dataloader = dict(
    batch_size=50, num_workers=1, pin_memory=False,
    dataset=dict(_delete_=True, type="frozen_det.ImageList", ann_file=f"{data_root}/labels.txt", num_classes=1000,
                 test_mode=True,
                 transform=dict(type="frozen_det.EvalTransform", size=224, crop_ratio=0.95)))
test_dataloader = val_dataloader

accumulate = 1
auto_scale_lr = dict(enable=False)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, by_epoch=False, begin=0, end=5),
    dict(type="CosineAnnealingLR", eta_min=1e-6, by_epoch=False, begin=5, T_max=_iterations - 5, end=_iterations),
]
default_hooks = dict(logger=dict(interval=1))
log_processor = dict(window_size=1)
train_cfg = dict(max_epochs=epochs, val_interval=2)
