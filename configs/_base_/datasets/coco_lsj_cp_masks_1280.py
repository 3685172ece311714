"""COCO as in coco_lsj_masks_1280.py, and Copy-Paste (arXiv 2012.07177).

Image and donor are jittered independently; a random subset of the donor's objects is pasted, without blending.
"""
_base_ = "coco_lsj_masks_1280.py"

train_dataloader = dict(dataset=dict(pipeline=[
    dict(type="frozen_det.LargeScaleJitter", size_hw=1280),
    dict(type="frozen_det.CopyPaste", planar=True,
         donor_pipeline=[dict(type="frozen_det.LargeScaleJitter", size_hw=1280)]),
    dict(type="frozen_det.MaxObjects", max_objects=100),
    dict(type="PackDetInputs"),
]))
