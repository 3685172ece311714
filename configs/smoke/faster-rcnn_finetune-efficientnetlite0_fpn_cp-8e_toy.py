"""Toy scenes with standard jitter and Copy-Paste, fine-tuned variant: everything trains, norm statistics too.

Otherwise as the `frozen` config; the `_ssj-` config differs in the paste alone.
expected: not published; measured: docs/results.md.
    frozen-det train faster-rcnn_finetune-efficientnetlite0_fpn_cp-8e_toy --seed 0 --fraction 0.1
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes_cp.py", "../_base_/models/faster_rcnn_narrow.py",
          "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    backbone=dict(freeze=False),
    neck=dict(type="frozen_det.FPN", out_channels=48, norm_cfg=dict(type="BN", momentum=0.1))))
