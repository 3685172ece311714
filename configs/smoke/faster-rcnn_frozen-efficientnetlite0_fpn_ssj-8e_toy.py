"""Toy scenes, frozen, standard jitter (0.8 to 1.25) at 224 px: what Copy-Paste, the `_cp-` config, is measured against.

The `_plain-` config has no jitter; here it is that of the `_cp-` config, so that they differ in Copy-Paste alone.
expected: not published; measured: docs/results.md.
    frozen-det train faster-rcnn_frozen-efficientnetlite0_fpn_ssj-8e_toy --seed 0 --fraction 0.1
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes_ssj.py", "../_base_/models/faster_rcnn_narrow.py",
          "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    neck=dict(type="frozen_det.FPN", out_channels=48, norm_cfg=dict(type="BN", momentum=0.1))))
