"""What every classifier's run shares: hooks, a checkpoint every epoch, reproducible steps. The last epoch counts."""
default_scope = "mmdet"
custom_imports = dict(imports=["frozen_det"], allow_failed_imports=False)

# One number: steps whose gradients are added up before the weights move. The learning rate follows the whole batch:
# `auto_scale_lr.base_batch_size` is the batch of one update that the rate is given for.
accumulate = 1

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # No best checkpoint: picking the best epoch by the validation set overstates a recipe. The final one is reported.
    checkpoint=dict(type="frozen_det.LeanCheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    # Here, where it is merged by name: a recipe that replaces `custom_hooks` keeps it.
    norm_statistics=dict(type="frozen_det.NormStatisticsHook"),
)
custom_hooks = [
    dict(type="frozen_det.StepSeedHook"),
    dict(type="frozen_det.NaNGuardHook"),
    dict(type="frozen_det.MixedPicturesHook"),  # mixed/batch.png: a batch as the network gets it
    dict(type="frozen_det.HostMemoryHook"),
]
# Averaged weights: --cfg-options is not enough; add dict(type="frozen_det.EMAHook", ema_type="ExponentialMovingAverage",
# momentum=1e-4, update_buffers=True) to custom_hooks. Validation and the checkpoint's `state_dict` are the average.
randomness = dict(seed=0)
# Images and batches of one size each: cuDNN measures its algorithms once.
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
               dist_cfg=dict(backend="nccl"))

vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
visualizer = dict(type="Visualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
