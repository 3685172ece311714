"""Blood cells (BCCD), Copy-Paste without masks: whole boxes of another image are pasted; otherwise as the `_flip-12e_` config.

What to copy for data with boxes only: with_mask=False in both jitters and paste_by_box=True. The scale is fixed at 1
here, so that the paste is the only difference. expected: not published; Copy-Paste's paper has masks.
    frozen-det train CONFIG --seed 0 --cfg-options data_root=DIR
"""
_base_ = ["faster-rcnn_frozen-efficientnetlite0_fpn_flip-12e_bccd.py"]

_jitter = dict(type="frozen_det.LargeScaleJitter", size_hw=(240, 320), scale_range=(1.0, 1.0), with_mask=False)
train_dataloader = dict(dataset=dict(pipeline=[
    _jitter,
    dict(type="frozen_det.CopyPaste", donor_pipeline=[_jitter], paste_by_box=True, planar=True),
    dict(type="PackDetInputs"),
]))
