"""8 epochs of toy scenes by AdamW: about 360 updates of 8 images."""
epochs = 8
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=epochs, T_max=epochs, convert_to_iter_based=True,
         eta_min=1e-5),
]
auto_scale_lr = dict(enable=True, base_batch_size=8)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
