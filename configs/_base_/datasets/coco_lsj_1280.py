"""COCO train2017, boxes only, large-scale jitter 0.1 to 2.0 and flip, 1280 x 1280.

All 118 287 images are kept, those without an object too: the authors' 1848 steps of 64 count them.
A batch of another size scales the learning rate (`auto_scale_lr`); the evaluation comes from a coco_eval_ file.
"""
train_dataloader = dict(
    batch_size=2, num_workers=4, persistent_workers=True,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(
        type="frozen_det.CocoDataset", data_root="data/coco", ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"), filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            dict(type="frozen_det.LargeScaleJitter", size_hw=1280, with_mask=False, planar=True),
            dict(type="PackDetInputs"),
        ]))
