"""50 epochs as Deformable DETR's authors train: batch 32, AdamW 2e-4, a drop after epoch 40.

Sampling points learn slower. mmengine scales the learning rate to the batch in use and prints the factor.
"""
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(custom_keys=dict(sampling_offsets=dict(lr_mult=0.1), reference_points=dict(lr_mult=0.1))))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, begin=0, end=50, milestones=[40], gamma=0.1)]
auto_scale_lr = dict(enable=True, base_batch_size=32)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=50, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
