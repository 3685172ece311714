"""Blood cells (BCCD), fine-tuned variant: everything trains, norm statistics too; otherwise as the `frozen` config.

expected: not published; measured numbers with two seeds: docs/results.md.
    frozen-det train CONFIG --seed 0 --cfg-options data_root=DIR
"""
_base_ = ["faster-rcnn_frozen-efficientnetlite0_fpn_flip-12e_bccd.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
