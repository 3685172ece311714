"""72 epochs as ViTDet (arXiv 2203.16527, appendix A.2) trains: batch 64, AdamW, drops after 8/9 and 26/27 of the run.

Its decoder has LayerNorm and no batch norm, for which the authors' SGD at 0.16 is not made. No layer-wise decay: the
backbone is frozen. mmengine scales the learning rate to the batch in use and prints the factor.
"""
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(norm_decay_mult=0.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=72, milestones=[64, 69], gamma=0.1),
]
auto_scale_lr = dict(enable=True, base_batch_size=64)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=72, val_interval=6)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
