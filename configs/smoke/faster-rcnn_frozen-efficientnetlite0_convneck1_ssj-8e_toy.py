"""Toy scenes with standard jitter, one convolution for a neck, frozen variant.

Otherwise as the `finetune` config. expected: not published; measured: docs/results.md.
    frozen-det train faster-rcnn_frozen-efficientnetlite0_convneck1_ssj-8e_toy --seed 0 --fraction 0.1
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes_ssj.py", "../_base_/models/faster_rcnn_narrow.py",
          "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    neck=dict(type="frozen_det.ConvNeck", out_channels=48, num_convs=1, num_outs=5,
              norm_cfg=dict(type="BN", momentum=0.1))))
