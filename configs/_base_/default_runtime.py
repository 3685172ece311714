"""Settings of every run: hooks, logging, reproducible steps. At most two levels of `_base_` build on this."""
default_scope = "mmdet"
custom_imports = dict(imports=["frozen_det"], allow_failed_imports=False)

# One number: steps whose gradients are added up before the weights move. The learning rate follows the whole batch.
accumulate = 1

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="frozen_det.LeanCheckpointHook", interval=1, max_keep_ckpts=2, save_best="coco/bbox_mAP", rule="greater"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="DetVisualizationHook"),
)
custom_hooks = [
    dict(type="frozen_det.StepSeedHook"),
    dict(type="frozen_det.FrozenProofHook"),
    dict(type="frozen_det.NaNGuardHook"),
    dict(type="frozen_det.NormStatisticsHook"),
    dict(type="frozen_det.ValidationPicturesHook", num_images=8),
    dict(type="frozen_det.SplitOverlapHook"),
]
randomness = dict(seed=0)
# cudnn_benchmark measures every new shape anew: a gain with images of one size and dense heads alone. The number of
# regions, and of those with a mask, changes from step to step.
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
               dist_cfg=dict(backend="nccl"))

# To log to W&B: --cfg-options visualizer.vis_backends.1.type=WandbVisBackend
vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
visualizer = dict(type="DetLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(type="LogProcessor", window_size=20, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
