"""COCO train2017, boxes only, standard jitter 0.8 to 1.25 and flip, 1280 x 1280: the ablation of `coco_lsj_1280.py`.

The weak jitter of the Copy-Paste paper (arXiv 2012.07177, section 3), which calls it SSJ.
"""
_base_ = ["coco_lsj_1280.py"]

train_dataloader = dict(dataset=dict(pipeline=[
    dict(type="frozen_det.LargeScaleJitter", size_hw=1280, scale_range=(0.8, 1.25), with_mask=False, planar=True),
    dict(type="PackDetInputs"),
]))
