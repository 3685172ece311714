"""Toy scenes with standard jitter, NAS-FPN and Cascade heads, frozen variant.

Otherwise as the `finetune` config. expected: not published; measured: docs/results.md.
    frozen-det train cascade-rcnn_frozen-efficientnetlite0_nasfpn_ssj-8e_toy --seed 0 --fraction 0.1
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes_ssj.py", "../_base_/models/cascade_rcnn_narrow.py",
          "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    neck=dict(type="frozen_det.NASFPN", out_channels=48, num_repeats=3, norm_cfg=dict(type="BN", momentum=0.1)),
    rpn_head=dict(anchor_generator=dict(scales=[4]))))
