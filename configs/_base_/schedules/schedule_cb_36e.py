"""The class-balanced second stage's 3x schedule (arXiv 2012.07177): 36 epochs, drops after 28 and 33.

3x means three times 12 epochs, as everywhere in detection; where it drops and its learning rate are not published.
The rate here is a guess, the first stage's; set it by --cfg-options optim_wrapper.optimizer.lr=0.1. mmengine scales
it to the batch in use and prints the factor.
"""
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.32, momentum=0.9, weight_decay=4e-5),  # for 256 images an update
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))  # kernels only
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=36, milestones=[28, 33], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=256)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=36, val_interval=6)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
