"""LVIS v1 train and val with masks, large-scale jitter, 1280 x 1280.

No repeat-factor sampling: with a second stage it lowers the AP (arXiv 2012.07177: 32.0 against 33.0 mask AP); for a
single stage take sampler=dict(type="frozen_det.RepeatFactorSampler", threshold=0.001). Images are COCO's, found below
`data_root` by the end of their coco_url (train2017/..., val2017/...); val has images of both folders.
"""
data_root = "data/lvis"

train_dataloader = dict(
    batch_size=2, num_workers=4, persistent_workers=True,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(
        type="frozen_det.LVISDataset", data_root=data_root, ann_file="annotations/lvis_v1_train.json",
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            dict(type="frozen_det.LargeScaleJitter", size_hw=1280, planar=True),
            dict(type="frozen_det.MaxObjects", max_objects=100),
            dict(type="PackDetInputs"),
        ]))
val_dataloader = dict(
    batch_size=2, num_workers=2, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="frozen_det.LVISDataset", data_root=data_root, ann_file="annotations/lvis_v1_val.json", test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1280, 1280), keep_ratio=True),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.LVISMetric", ann_file=f"{data_root}/annotations/lvis_v1_val.json",
                     metric=["bbox", "segm"])
test_evaluator = val_evaluator
