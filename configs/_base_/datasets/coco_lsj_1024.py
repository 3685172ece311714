"""COCO train2017 as in coco_lsj_1280.py, 1024 x 1024, 4 images a process."""
_base_ = ["coco_lsj_1280.py"]

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=[
    dict(type="frozen_det.LargeScaleJitter", size_hw=1024, with_mask=False, planar=True),
    dict(type="PackDetInputs"),
]))
