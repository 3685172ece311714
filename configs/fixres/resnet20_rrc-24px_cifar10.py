"""CIFAR ResNet-20 trained at 24 px with random resized crops: a small classifier that shows the train-test discrepancy.

Touvron et al., "Fixing the train-test resolution discrepancy", arXiv 1906.06423, section 3: crops of 8 to 100 % of the
area make objects look larger in training than in a central test crop. A short run, on two fifths of the images.
expected: no published number; the measured ones are in docs/fixres.md.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/classifier_runtime.py", "../_base_/datasets/cifar10.py"]

epochs = 12
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="frozen_det.CifarResNet", depth=20),
    num_classes=10,
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))

train_dataloader = dict(dataset=dict(
    num_images=20000, transform=dict(_delete_=True, type="frozen_det.TrainTransform", preset="basic", size=24)))
val_dataloader = dict(dataset=dict(
    transform=dict(_delete_=True, type="frozen_det.EvalTransform", size=24, crop_ratio=0.875)))
test_dataloader = val_dataloader

optim_wrapper = dict(type="OptimWrapper",
                     optimizer=dict(type="SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=157),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, begin=1, T_max=epochs - 1, end=epochs,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=True, base_batch_size=128)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
