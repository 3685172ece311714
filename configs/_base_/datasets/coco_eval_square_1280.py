"""COCO val2017 as the authors evaluate: the image fitted into 1280 x 1280 (as mmdet does: coco_eval_1333.py).
"""
data_root = "data/coco"

val_dataloader = dict(
    batch_size=2, num_workers=2, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="frozen_det.CocoDataset", data_root=data_root, ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"), test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1280, 1280), keep_ratio=True),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.CocoMetric", ann_file=f"{data_root}/annotations/instances_val2017.json",
                     metric="bbox")
test_evaluator = val_evaluator
