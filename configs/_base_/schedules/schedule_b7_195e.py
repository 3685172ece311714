"""90 000 steps of 256 images (195 epochs of COCO), drops at 0.9, 0.95 and 0.975: arXiv 2012.07177.

mmengine scales the learning rate to the batch in use and prints the factor.
"""
lr = 0.32  # for 256 images an update

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=lr, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))  # kernels only
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=195, milestones=[176, 185, 190], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=256)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=195, val_interval=15)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
