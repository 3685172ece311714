"""12 epochs as DINO's authors train: batch 16, AdamW 1e-4, a drop after epoch 11.

No smaller rate for the backbone: it is frozen. mmengine scales the learning rate to the batch in use and prints the factor.
"""
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[11], gamma=0.1)]
auto_scale_lr = dict(enable=True, base_batch_size=16)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
