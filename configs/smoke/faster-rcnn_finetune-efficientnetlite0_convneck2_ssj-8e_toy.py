"""Toy scenes with standard jitter, two convolutions for a neck, fine-tuned variant: everything trains, norm statistics too.

Otherwise as the `frozen` config. expected: not published; measured: docs/results.md.
    frozen-det train faster-rcnn_finetune-efficientnetlite0_convneck2_ssj-8e_toy --seed 0 --fraction 0.1
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes_ssj.py", "../_base_/models/faster_rcnn_narrow.py",
          "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    backbone=dict(freeze=False),
    neck=dict(type="frozen_det.ConvNeck", out_channels=48, num_convs=2, num_outs=5,
              norm_cfg=dict(type="BN", momentum=0.1))))
