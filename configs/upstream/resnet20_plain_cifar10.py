"""CIFAR ResNet-20 as in its paper: no mixing, SGD, 164 epochs.

He et al., "Deep Residual Learning for Image Recognition", arXiv 1512.03385, section 4.2 and Table 6: learning rate 0.1,
divided by 10 after 32k and 48k of 64k iterations of 128 images, momentum 0.9, weight decay 1e-4 on everything.
expected: 91.25 (Table 6) on the original pixels; JPEG copies of the images give less. Not run in full here.
    frozen-det train CONFIG --cfg-options data_root=DIR
    frozen-det test CONFIG resnet20-12fca82f.th --cfg-options data_root=DIR     (akamaster's checkpoint: 91.78)
"""
_base_ = ["../_base_/classifier_runtime.py", "../_base_/datasets/cifar10.py"]

epochs = 164
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="frozen_det.CifarResNet", depth=20),
    num_classes=10,
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[82, 123], gamma=0.1)]
auto_scale_lr = dict(enable=True, base_batch_size=128)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
