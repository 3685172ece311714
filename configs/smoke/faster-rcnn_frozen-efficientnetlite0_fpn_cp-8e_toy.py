"""Toy scenes, frozen, standard jitter (0.8 to 1.25) and Copy-Paste (arXiv 2012.07177) at 224 px.

The `_ssj-` config differs in the paste alone; the `_plain-` config has no jitter either.
expected: not published; measured: docs/results.md.
    frozen-det train faster-rcnn_frozen-efficientnetlite0_fpn_cp-8e_toy --seed 0 --fraction 0.1
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes_cp.py", "../_base_/models/faster_rcnn_narrow.py",
          "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    neck=dict(type="frozen_det.FPN", out_channels=48, norm_cfg=dict(type="BN", momentum=0.1))))
