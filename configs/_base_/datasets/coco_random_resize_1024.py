"""COCO train2017, boxes only: the jitter of coco_lsj_1024.py by mmdet's own transforms, 1024 x 1024.

A choice for comparison, several times slower: it resizes whole images before it crops.
"""
train_dataloader = dict(
    batch_size=4, num_workers=4, persistent_workers=True,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(
        type="frozen_det.CocoDataset", data_root="data/coco", ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"), filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomResize", scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True),
            dict(type="RandomCrop", crop_size=(1024, 1024), crop_type="absolute", allow_negative_crop=True),
            dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ]))
