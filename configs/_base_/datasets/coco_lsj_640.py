"""COCO train2017 as in coco_lsj_1280.py, 640 x 640, 8 images a process."""
_base_ = ["coco_lsj_1280.py"]

train_dataloader = dict(batch_size=8, dataset=dict(pipeline=[
    dict(type="frozen_det.LargeScaleJitter", size_hw=640, with_mask=False, planar=True),
    dict(type="PackDetInputs"),
]))
