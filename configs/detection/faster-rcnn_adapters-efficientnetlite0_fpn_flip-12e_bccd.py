"""Blood cells (BCCD), adapter variant: parallel 1x1 adapters on a frozen backbone; otherwise as the `frozen` config.

expected: not published; measured numbers with two seeds: docs/results.md.
    frozen-det train CONFIG --seed 0 --cfg-options data_root=DIR
"""
_base_ = ["faster-rcnn_frozen-efficientnetlite0_fpn_flip-12e_bccd.py"]

model = dict(detector=dict(backbone=dict(adapters=dict(type="parallel"))))
